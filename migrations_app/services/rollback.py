"""Back to SQLite: one action, priced before the click; two people where rows would leave the application.

One person alone where the second can't be reached: see break_glass.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Role
from migrations_app.models import Gate, MigrationRun, RollbackRequest, RunStep
from migrations_app.models.states import GateState, Phase, RunKind, RunState
from migrations_app.services.advance import advance_run, goes_back
from migrations_app.services.announcements import announce
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from migrations_app.services.permissions import require_offer, require_role, roles_of, who_can
from migrations_app.services.price import PriceTag, price_of
from migrations_app.services.signatures import lapse_all
from migrations_app.services.transitions import change_run, touch_run
from migrations_app.steps.sequence import rollback_sequence

BACK = (Role.OPS, Role.LEAD)


def request_rollback(
    *,
    actor: Any,
    run: MigrationRun,
    reason: str,
    typed_name: str,
    rows_typed: int | None = None,
    reauthenticated: bool = False,
) -> RollbackRequest:
    """Roll back at once when nothing is lost; else ask for a second person, after the rows were typed in."""
    role = require_way_back(actor, run, typed_name, reauthenticated)
    return file_request(
        run=run, actor=actor, name=actor.get_username(), role=role, reason=reason, rows_typed=rows_typed
    )


def require_way_back(actor: Any, run: MigrationRun, typed_name: str, reauthenticated: bool) -> str:
    """The role in which the actor may roll back now. Raises Forbidden, or ServiceRefused for a missing proof."""
    role = require_offer(actor, run, "roll_back")
    if not reauthenticated:
        raise Forbidden("PASSWORD_NEEDED", "Give your password again to roll back.")
    if typed_name != run.application.name:
        raise ServiceRefused("NAME_NOT_TYPED", f"Type the application's name, {run.application.name}.", status=400)
    return role


def request_rollback_by_operator(*, run: MigrationRun, login: str, reason: str) -> RollbackRequest:
    """From the command line: whoever has the machine is `cli:<login>`. The rows are taken as they are now; where any
    would leave, a second person confirms them in the web UI."""
    states = (RunState.RUNNING, RunState.WAITING, RunState.HELD)
    if run.state not in states:
        raise ServiceRefused("WRONG_STATE", f"Run {run.pk} is {run.get_state_display().lower()}: nothing to roll back.")
    rows = price_of(run).rows
    return file_request(run=run, actor=None, name=f"cli:{login}", role="", reason=reason, rows_typed=rows)


def preview_rollback(run: MigrationRun) -> list[str]:
    """The titles of the steps that a rollback would do now, in order."""
    return [spec.title for spec in rollback_sequence(RunKind(run.kind), _begun(run), run.strategy)]


def file_request(
    *,
    run: MigrationRun,
    actor: Any,
    name: str,
    role: str,
    reason: str,
    rows_typed: int | None,
    break_glass: bool = False,
) -> RollbackRequest:
    """The part that page and command line share. `actor` None: an operator at the machine, named cli:<user>.

    break_glass: start at once although two people should agree; means nothing where one may decide.
    """
    if not reason.strip():
        raise ServiceRefused("REASON_MISSING", "Say why the run is rolled back.", status=400)
    if goes_back(run) and run.state != RunState.HELD:
        raise Stale("The run is being rolled back already.")
    tag = price_of(run)
    _require_rows(tag, rows_typed)
    now = timezone.now()
    broken = break_glass and tag.people > 1
    starts = broken or tag.people == 1
    with transaction.atomic():
        # What was agreed before has ended in a hold; whoever breaks the glass doesn't wait for an answer any more.
        over = [RollbackRequest.State.AGREED, *([RollbackRequest.State.WAITING] if broken else [])]
        RollbackRequest.objects.filter(run=run, state__in=over).update(state=RollbackRequest.State.REFUSED)
        request = _store(run, actor, name, role, reason.strip(), tag, starts, broken, now)
        touch_run(run.pk)
        _tell_of_request(request, actor or name, broken)
        if starts:
            start_rollback(run=run, now=now)
    return request


def _tell_of_request(request: RollbackRequest, actor: Any, broken: bool) -> None:
    run = request.run
    if broken:
        announce("break_glass", run, actor, {"rows": request.rows_confirmed, "reason": request.reason})
    elif request.state == RollbackRequest.State.WAITING:
        facts = {"price": request.price, "rows": request.rows_confirmed, "reason": request.reason}
        announce("rollback_requested", run, actor, {**facts, "role": request.requester_role})
    record(
        action="rollback.glass_broken" if broken else "rollback.requested",
        actor=actor,
        role=request.requester_role,
        obj=run,
        application=run.application.name,
        payload={
            "run": run.pk,
            "price": request.price,
            "rows": request.rows_confirmed,
            "reason": request.reason[:500],
            **({"countersign_by": request.countersign_by} if broken else {}),
        },
        checkpoint=broken,
    )


def agree_rollback(*, actor: Any, request: RollbackRequest, reauthenticated: bool = False) -> None:
    """The second person agrees: the rollback starts, unless the price has changed since."""
    run = request.run
    role = require_second_person(actor, request, "agree to the rollback")
    if not reauthenticated:
        raise Forbidden("PASSWORD_NEEDED", "Give your password again to agree.")
    tag = price_of(run)
    if tag.rows != request.rows_confirmed:
        raise Stale(f"The rows have changed: {request.rows_confirmed} were confirmed, now it is {tag.rows}. Ask again.")
    now = timezone.now()
    with transaction.atomic():
        agreed = RollbackRequest.objects.filter(pk=request.pk, state=RollbackRequest.State.WAITING).update(
            state=RollbackRequest.State.AGREED, agreed_by=actor, agreed_at=now
        )
        if agreed != 1:
            raise Stale("The request is no longer open.")
        run.refresh_from_db()
        record(
            action="rollback.agreed",
            actor=actor,
            role=role,
            obj=run,
            application=run.application.name,
            payload={"run": run.pk, "rows": request.rows_confirmed},
            checkpoint=True,
        )
        start_rollback(run=run, now=now)


def require_second_person(actor: Any, request: RollbackRequest, verb: str) -> str:
    """The role of an actor who is another person, of the other role, than who asked. Raises Forbidden."""
    application = request.run.application
    role = require_role(actor, application, BACK, verb)
    other = [role for role in BACK if role != request.requester_role]
    if request.requester_id == actor.pk or request.requested_by == f"cli:{actor.get_username()}":
        said = f"You asked for this rollback; a second person must {verb.partition(' ')[0]}."
        raise Forbidden("SAME_PERSON", said, who=who_can(application, other))
    deciding = roles_of(actor, application) & frozenset(BACK)
    if request.requester_role and deciding <= {request.requester_role}:
        said = "Ops and a team lead decide this together; you hold the same role."
        raise Forbidden("SAME_ROLE", said, who=who_can(application, other))
    return role


def refuse_rollback(*, actor: Any, request: RollbackRequest, reason: str) -> None:
    """Withdraw one's own request, or say no to another's."""
    run = request.run
    role = require_role(actor, run.application, BACK, "refuse the rollback")
    if not reason.strip():
        raise ServiceRefused("REASON_MISSING", "Say why: the other one counts on it.", status=400)
    with transaction.atomic():
        changed = RollbackRequest.objects.filter(pk=request.pk, state=RollbackRequest.State.WAITING).update(
            state=RollbackRequest.State.REFUSED
        )
        if changed != 1:
            raise Stale("The request is no longer open.")
        touch_run(run.pk)
        announce("rollback_refused", run, actor, {"reason": reason.strip()})
        record(
            action="rollback.refused",
            actor=actor,
            role=role,
            obj=run,
            application=run.application.name,
            payload={"run": run.pk, "reason": reason.strip()[:500]},
        )


def start_rollback(*, run: MigrationRun, now: datetime, detail: Mapping[str, Any] | None = None) -> None:
    """Derive the steps back from what was done and set them going. Call inside a transaction. detail: for the mail."""
    run.refresh_from_db(from_queryset=MigrationRun.objects.select_for_update())
    if not goes_back(run):
        _create_steps(run)
    else:
        run.steps.filter(phase=Phase.ROLLBACK, state__in=["failed", "errored", "in_doubt"]).update(
            state="pending", attempts=0, finished_at=None
        )
    lapse_all(run=run, reason="The run is rolled back.", now=now)
    Gate.objects.filter(run=run, state=GateState.OPEN).update(state=GateState.CLOSED)
    change_run(run, RunState.ROLLING_BACK, at=now, held_reason="", hold_requested=False)
    announce("rollback_started", run, "system", detail)
    record(
        action="rollback.started",
        actor="system",
        obj=run,
        application=run.application.name,
        payload={"run": run.pk, "steps": list(run.steps.filter(phase=Phase.ROLLBACK).values_list("name", flat=True))},
    )
    advance_run(run=run, now=now)


def _create_steps(run: MigrationRun) -> None:
    last = run.steps.order_by("-position").values_list("position", flat=True)[0]
    for offset, spec in enumerate(rollback_sequence(RunKind(run.kind), _begun(run), run.strategy), start=1):
        RunStep.objects.create(
            run=run,
            position=last + offset,
            name=spec.name,
            title=spec.title,
            phase=spec.phase,
            queue=spec.queue_of(run.application),
            on_lapse=spec.on_lapse,
            owner=spec.owner,
        )


def _begun(run: MigrationRun) -> set[str]:
    return set(run.steps.begun().values_list("name", flat=True))


def _require_rows(tag: PriceTag, rows_typed: int | None) -> None:
    if tag.lossless or tag.rows is None:
        return
    if rows_typed != tag.rows:
        raise ServiceRefused(
            "ROWS_NOT_CONFIRMED",
            f"{tag.rows} rows would leave the application now; type that number to confirm it.",
            hint="The number may have grown since the page was loaded.",
        )


def _store(
    run: MigrationRun,
    actor: Any,
    name: str,
    role: str,
    reason: str,
    tag: PriceTag,
    starts: bool,
    broken: bool,
    now: datetime,
) -> RollbackRequest:
    try:
        with transaction.atomic():
            return RollbackRequest.objects.create(
                run=run,
                requested_by=name,
                requester=actor,
                requester_role=role,
                reason=reason,
                price=tag.price,
                lossless=tag.lossless,
                rows_confirmed=tag.rows,
                state=RollbackRequest.State.AGREED if starts else RollbackRequest.State.WAITING,
                created_at=now,
                agreed_at=now if starts else None,
                break_glass=broken,
                countersign_by=now + timedelta(hours=settings.CAUSEWAY_COUNTERSIGN_HOURS) if broken else None,
            )
    except IntegrityError:
        raise Stale("A rollback has been asked for already.") from None
