"""The run page: where are we, and can we still go back? Its live part is polled with an ETag."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db.models import prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from controlplane.pages.looks import look_of
from controlplane.registry.models import Role
from migrations_app.models import Gate, MigrationRun, RollbackRequest, RunStep, StepLogLine
from migrations_app.models.states import RUN_ACTIVE, STEP_HOLDS_RUN, GateState, RunKind, RunState, StepState
from migrations_app.services import gates, overview, permissions, price, schedule
from migrations_app.services.break_glass import uncountersigned
from migrations_app.services.downtime import downtime_of
from migrations_app.services.pace import pace_of, speed_of
from migrations_app.services.permissions import Offer
from migrations_app.views import endpoint_times, strip
from migrations_app.views.common import page, polled_run, render_page, run_frame, visible_run
from migrations_app.views.next_run import NextRun, next_run_of
from migrations_app.views.reality import Fact, Recovery, facts_of, recovery_of
from migrations_app.views.replication import Window, crossing_of, flow_of, replication_of, window_of
from migrations_app.views.timetable import tasks_by_phase

POLL_SECONDS = 2
# Times and prices age without a change of the run: the live part is rendered anew at least this often.
FRESH_SECONDS = 10
PRICE_SECONDS = 5
SHOWN_TABLES = 8
SHOWN_STEPS = 7
SHOWN_LINES = 3

# What each action means, beside its button; those that need no reason are done by one press.
_EXPLAINED = {
    "submit": "Freezes the plan and asks a team lead for gate 1.",
    "start": "Sets the first step going. It stops at every gate.",
    "hold": "Stops after the step that runs now. Nothing is undone.",
    "resume": "Does the step that stopped once more, and goes on.",
    "cancel": "Ends the run before it has begun. It can't be taken up again.",
    "fail": "Ends the run as failed. The application was not touched.",
}
_DIRECT = frozenset({"submit", "start", "resume"})
_NEXT = ("resume", "start", "submit")


@dataclass(frozen=True)
class Action:
    offer: Offer
    url: str
    direct: bool
    next: bool
    explains: str


@page
@require_GET
def show(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request, number)
    return render_page(request, "runs/run.html", live_context(request, run))


@never_cache
@require_GET
def live(request: HttpRequest, number: int) -> HttpResponse:
    """The page's live part; 304 while nothing has changed, 401 once the session is over."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    asked = request.headers.get("If-None-Match")
    if asked and asked == (tag := _etag(request, polled_run(request, number))):
        return HttpResponse(status=304, headers={"ETag": tag})
    run = visible_run(request, number)
    context = {
        **live_context(request, run),
        "user": request.user,
        "now": timezone.now(),
        "zone_name": timezone.localtime().tzname(),
    }
    answer = render(request, "runs/live.html", context)
    # Of the same rows as the content: a change between the two looks is sent with the next poll.
    answer.headers["ETag"] = context["etag"]
    return answer


def live_context(request: HttpRequest, run: MigrationRun) -> dict[str, Any]:
    """All that the live part shows."""
    now = timezone.now()
    prefetch_related_objects([run], "steps")  # the timeline goes through them phase by phase
    steps = list(run.steps.all())
    offers = permissions.offers(request.user, run)
    tag = None if run.is_finished else cached_price(run)
    headline = overview.headline(run, tag)
    limit = None if run.is_finished or run.kind == RunKind.REHEARSAL else schedule.last_safe_moment(run)
    tables = _tables(overview.tables(run) if run.started_at else [], run, now)
    speed = tables["speed"]
    pace = pace_of(run, steps, now, expected_left=speed.seconds_left if speed else None)
    replication = crossing_of(run)
    window = window_of(replication) if replication is not None else None
    return {
        **run_frame(run, "run"),
        "etag": _etag(request, run),
        "poll_seconds": POLL_SECONDS,
        "is_live": not run.is_finished,
        # One that fell back goes on being followed: its page tells how far.
        "polls": not run.is_finished or (replication is not None and replication.is_live),
        "headline": headline,
        "shape": look_of("run", headline.shape).shape,
        "actions": [action for action in _actions(run, offers) if action.offer.name != "hold"],
        "hold": offers["hold"],
        "next_run": _next_run(request, run),
        "stopped": _stopped(run),
        "roll_back": offers["roll_back"],
        "price": tag,
        "limit": limit,
        "limit_passed": limit is not None and limit <= now,
        "pace": pace,
        "too_late": bool(limit and limit > now and pace and pace.verified_at and pace.verified_at > limit),
        "waiting_rollback": run.rollback_requests.filter(state=RollbackRequest.State.WAITING).first(),
        "alone": uncountersigned().filter(run=run).first(),
        "gate": _open_gate(run, request.user),
        "reality": (reality := _reality(run)),
        "recovery": _recovery(run, window) if reality else None,
        "flow": flow_of(replication, now) if replication is not None else None,
        "window": window,
        "picture": strip.draw(
            overview.timeline(run), now=now, limit=limit, finished=run.is_finished, begin=run.started_at
        ),
        "timetable": tasks_by_phase(steps, now),
        "down": downtime_of(run, steps, now),
        "down_planned": schedule.rehearsed_downtime(run) if run.kind == RunKind.PRODUCTION else None,
        "planned_from": run.rehearsal_id,
        "endpoint_times": endpoint_times.picture_of(steps),
        **tables,
        **_log(run),
    }


def _reality(run: MigrationRun) -> list[Fact]:
    """What the probe said last. Nothing of before the end of a run that is over: that is not true any more."""
    if run.finished_at is not None and (run.reality_at is None or run.reality_at < run.finished_at):
        return []
    return [] if run.is_finished and run.kind == RunKind.REHEARSAL else facts_of(run.reality)


def _recovery(run: MigrationRun, window: Window | None) -> Recovery | None:
    """What recovery would do; not that all is well where the way back has ended: the sides alone don't know that."""
    found = recovery_of(run.reality.get("crossing"))
    ended = window is not None and not window.open and run.switched_at is not None
    return None if found is not None and found.settled and ended else found


def cached_price(run: MigrationRun) -> price.PriceTag:
    """The price of a rollback. After the switch the target is asked: once in a few seconds for all viewers."""
    key = f"price-{run.pk}-{run.version}"
    tag: price.PriceTag | None = cache.get(key)
    if tag is None:
        tag = price.price_of(run)
        cache.set(key, tag, PRICE_SECONDS)
    return tag


def _etag(request: HttpRequest, run: MigrationRun) -> str:
    roles = sorted(permissions.roles_of(request.user, run.application))
    bucket = int(timezone.now().timestamp() // FRESH_SECONDS)
    zone = timezone.get_current_timezone_name()
    replication = replication_of(run.application)
    flow = f"{replication.pk}.{replication.version}" if replication is not None else ""
    seen = f"{run.pk}|{run.version}|{flow}|{request.user.pk}|{roles}|{bucket}|{zone}"
    return f'W/"{hashlib.sha256(seen.encode()).hexdigest()[:24]}"'


def _actions(run: MigrationRun, offers: dict[str, Offer]) -> list[Action]:
    """What can be done now, and what could be done by someone else; not what the run's state makes senseless."""
    shown = [offer for name, offer in offers.items() if name != "roll_back" and (offer.allowed or offer.who)]
    first = next((name for name in _NEXT if offers[name].allowed), "")
    return [
        Action(
            offer=offer,
            url=reverse("run_action", args=[run.pk, offer.name]),
            direct=offer.name in _DIRECT,
            next=offer.name == first,
            explains=_explained(run, offer.name),
        )
        for offer in sorted(shown, key=lambda offer: offer.name != first)
    ]


def _explained(run: MigrationRun, name: str) -> str:
    if name == "start" and run.kind == RunKind.REHEARSAL:
        return "Goes through the whole crossing by itself, with copies. A rehearsal has no gates."
    return _EXPLAINED.get(name, "")


def _next_run(request: HttpRequest, run: MigrationRun) -> NextRun | None:
    """After a rehearsal that succeeded, for those who may draft: what it was made for."""
    if run.kind != RunKind.REHEARSAL or run.state != RunState.COMPLETED:
        return None
    held = permissions.roles_of(request.user, run.application)
    return next_run_of(run.plan) if held & {Role.OPS, Role.LEAD} else None


def _stopped(run: MigrationRun) -> RunStep | None:
    """The step that holds the run."""
    if run.state != RunState.HELD:
        return None
    return run.steps.filter(state__in=sorted(STEP_HOLDS_RUN)).order_by("-position").first()


def _open_gate(run: MigrationRun, user: Any) -> gates.GateView | None:
    gate = run.gates.filter(state=GateState.OPEN).select_related("step").first()
    if gate is None:
        return None
    gate.run = run
    return gates.gate_view(gate, user)


def _tables(rows: Sequence[Any], run: MigrationRun, now: datetime) -> dict[str, Any]:
    """Loading ones first, then those to come, then the largest of the loaded."""
    order = {"running": 0, "loading": 0, "pending": 1}
    ranked = sorted(rows, key=lambda row: (order.get(row.state, 2), -row.total, row.name))
    done = sum(row.done for row in rows)
    total = sum(row.total for row in rows)
    loaded = sum(1 for row in rows if order.get(row.state, 2) == 2)
    loading = sum(1 for row in rows if order.get(row.state, 2) == 0)
    load = next((step for step in run.steps.all() if step.name in overview.LOADS), None)
    return {
        "speed": speed_of(load, done, total, now),
        "load_planned": load.planned_seconds if load else None,
        "tables": ranked[:SHOWN_TABLES],
        "tables_hidden": max(0, len(ranked) - SHOWN_TABLES),
        "tables_loaded": loaded,
        "tables_loading": loading,
        "tables_waiting": len(rows) - loaded - loading,
        "rows_done": done,
        "rows_total": total,
        "show_progress": bool(total) and done < total and run.state in RUN_ACTIVE and (loading or done),
    }


def _log(run: MigrationRun) -> dict[str, Any]:
    """Steps that began, the newest first; under the newest one the last lines of its log."""
    steps = list(run.steps.exclude(state=StepState.PENDING, started_at=None).order_by("-position")[: SHOWN_STEPS + 1])
    steps.sort(key=lambda step: (step.started_at or step.run.created_at, step.position), reverse=True)
    lines: list[StepLogLine] = []
    if steps and steps[0].state != StepState.SUCCEEDED:
        lines = list(steps[0].log.order_by("-id")[:SHOWN_LINES])
    return {
        "log_steps": [LogStep.of(step) for step in steps[:SHOWN_STEPS]],
        "log_more": len(steps) > SHOWN_STEPS,
        "log_lines": lines,
    }


@dataclass(frozen=True)
class LogStep:
    """A step as a line of the log."""

    step: RunStep
    state: str
    seconds: float | None
    said: str

    @classmethod
    def of(cls, step: RunStep) -> LogStep:
        seconds = (step.finished_at - step.started_at).total_seconds() if step.finished_at and step.started_at else None
        waits = step.is_gate and step.state == StepState.PENDING
        return cls(step, "waiting" if waits else step.state, seconds, step.error_message or step.message)


def open_gates_of(runs: Sequence[MigrationRun]) -> dict[int, Gate]:
    """The open gate of each run, by the run's number."""
    found = Gate.objects.filter(run__in=[run.pk for run in runs], state=GateState.OPEN)
    return {gate.run_id: gate for gate in found}
