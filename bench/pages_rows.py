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
from tests import factories as make

BATCH = 2_000
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
    say(f"making {events:,} audit events")
    _long_trail(events, [application.name for application in applications])
    return who, MigrationRun.objects.get(pk=run.pk)


def _another(name: str, who: make.People) -> Application:
    of = make.application(name)
    for person, role in ((who.lead, "lead"), (who.ops, "ops"), (who.qa, "qa"), (who.viewer, "viewer")):
        make.member(of, person, role)
    return of


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
