"""An installation after years of use: applications, runs and a long audit trail, for measuring pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.audit.standalone import GENESIS, event_hash
from controlplane.audit.trail import as_mapping
from controlplane.registry.models import Application
from migrations_app.models import MigrationRun
from migrations_app.models.states import PlanState, RunKind, RunState
from monitoring_app.models import Sample, Series
from monitoring_app.services import markers, samples
from tests import factories as make
from tests import scenes_monitoring as night

BATCH = 2_000
WATCHED = 6
# Of the first target: as many series of each metric as an application with some volumes and endpoints has.
SERIES = {
    "query_time": 1, "endpoint_time": 6, "pool_used": 1, "error_rate": 1, "requests": 1, "disk_used": 4,
    "replication_lag": 2, "database_size": 1, "connections": 6, "transaction_age": 1, "cache_hits": 1,
}  # fmt: skip
LABELS = {"endpoint_time": "endpoint", "disk_used": "volume", "replication_lag": "replica", "connections": "state"}
Say = Callable[[str], None]


def fill(*, runs: int, events: int, say: Say) -> tuple[make.People, MigrationRun]:
    """The people of every application, and a production run in the middle of its load."""
    say(f"making {runs} runs")
    first = make.application("yukyu")
    who = make.people(first)
    applications = [first, *(_another(f"app-{number:02}", who) for number in range(39))]
    per_application = max(1, runs // len(applications))
    for application in applications:
        plan = make.plan(application, who.second_lead, state=PlanState.SUBMITTED)
        make.finding(plan, severity="warn", choices=[])
        for _ in range(per_application - 1):
            make.verified(make.rehearsed(plan, who.ops))
        _in_use(make.run(plan, who.ops), application, who)
    run = MigrationRun.objects.filter(application=first, kind=RunKind.PRODUCTION).get()
    make.load_progress(make.reach(run, "load", signers={"lead": who.lead, "ops": who.ops, "qa": who.qa}))
    make.verified(run)
    make.reality(run, up=False)
    say(f"watching {WATCHED} applications")
    for application in applications[:WATCHED]:
        _watched(application, days=7 if application == first else 0)
    say(f"making {events:,} audit events")
    _long_trail(events, [application.name for application in applications])
    return who, MigrationRun.objects.get(pk=run.pk)


def _another(name: str, who: make.People) -> Application:
    of = make.application(name)
    for person, role in ((who.lead, "lead"), (who.ops, "ops"), (who.qa, "qa"), (who.viewer, "viewer")):
        make.member(of, person, role)
    return of


def _watched(application: Application, *, days: int) -> None:
    """Three hours of samples; of the first application a day of raw ones, and `days` of those that are rolled up."""
    volumes = [{"name": f"disk_used-{number}", "path": f"/srv/{number}"} for number in range(SERIES["disk_used"])]
    replicas = [f"replication_lag-{number}" for number in range(SERIES["replication_lag"])]
    target = night.watched(application, volumes=volumes, replicas=replicas)
    names = [f"endpoint_time-{number}" for number in range(SERIES["endpoint_time"])]
    endpoints = [{"name": name, "process": "web", "path": f"/api/{name}"} for name in names]
    Application.objects.filter(pk=application.pk).update(endpoints=endpoints)
    markers.mark(
        application=application, kind=markers.CUT_OVER, at=timezone.now() - timedelta(hours=11), text="run 1 switched"
    )
    for metric, count in SERIES.items():
        for number in range(count):
            labels = {LABELS[metric]: f"{metric}-{number}"} if metric in LABELS else {}
            series = night.measured(
                target, metric, lambda ago: 40 + ago % 7, hours=24 if days else 3, step=15, events=300, **labels
            )
            _rolled_up(series, timedelta(days=days) or timedelta(hours=3))
    night.rounds(target)
    night.burning(target, "query-time", Series.objects.get(target=target, metric="query_time"), minutes=9,
                  value=612, peak=688)  # fmt: skip


def _rolled_up(series: Series, length: timedelta) -> None:
    """Five minutes and hours, as far as they are due."""
    now, rows = timezone.now(), []
    for seconds in (300, 3600):
        began = samples.floor(now - length, seconds)
        until = samples.floor(now, seconds)
        for place in range(int((until - began).total_seconds() / seconds)):
            at = began + place * timedelta(seconds=seconds)
            rows.append(Sample(series=series, resolution=seconds, at=at, minimum=40, average=44, maximum=49, n=20))
    Sample.objects.bulk_create(rows, batch_size=BATCH)


def _in_use(run: MigrationRun, application: Application, who: make.People) -> None:
    """A quarter each waits at a gate, is held, can be started, or is a draft."""
    kind = application.pk % 4
    if kind == 0:
        make.reach(run, "gate_qa", run_state=RunState.WAITING, signers={"lead": who.lead, "ops": who.ops})
    elif kind == 1:
        MigrationRun.objects.filter(pk=run.pk).update(state=RunState.HELD, held_reason="The disk is full.")
    elif kind == 2:
        MigrationRun.objects.filter(pk=run.pk).update(state=RunState.APPROVED)


def _long_trail(count: int, names: list[str]) -> None:
    """Events of steps, chained as record() chains them, so that the guards take them."""
    batch: list[AuditEvent] = []
    for event in _events(count, names):
        batch.append(event)
        if len(batch) == BATCH:
            AuditEvent.objects.bulk_create(batch)
            batch = []
    AuditEvent.objects.bulk_create(batch)


def _events(count: int, names: list[str]) -> Iterator[AuditEvent]:
    last = AuditEvent.objects.order_by("-sequence").first()
    sequence, previous = (last.sequence, last.hash) if last else (0, GENESIS)
    numbers = list(MigrationRun.objects.values_list("pk", "application__name"))
    began = timezone.now() - timedelta(days=365)
    for place in range(count):
        run, name = numbers[place % len(numbers)]
        sequence += 1
        event = AuditEvent(
            sequence=sequence,
            at=began + timedelta(seconds=place * 300),
            actor="system" if place % 3 else "ana",
            role="" if place % 3 else "ops",
            action="step.succeeded" if place % 3 else "run.held",
            object_type="migrations_app.migrationrun",
            object_id=str(run),
            object=f"Run {run} · {name}",
            application=name,
            payload={"run": run, "step": "load", "message": "7 tables, 2,135,033 rows", "reason": "measured"},
            salt=f"{place:032x}",
            after_checkpoint=0,
            previous_hash=previous,
        )
        event.hash = previous = event_hash(as_mapping(event))
        yield event
