"""Who may do what on which application, and, for every refused button, what is missing and who can supply it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from controlplane.people import changes
from controlplane.registry.models import Application, Membership, Role
from migrations_app.models import MigrationRun
from migrations_app.models.states import RunKind, RunState
from migrations_app.services.errors import Forbidden, ServiceRefused
from migrations_app.steps.fresh_rehearsal import look_for_rehearsal

OPERATORS = (Role.OPS, Role.LEAD)

# action: (label, roles that may, run states in which it can be done)
_ACTIONS: dict[str, tuple[str, tuple[Role, ...], tuple[RunState, ...]]] = {
    "submit": ("Submit for approval", OPERATORS, (RunState.DRAFT,)),
    "start": ("Start the run", (Role.OPS,), (RunState.APPROVED,)),
    "hold": ("Hold", OPERATORS, (RunState.RUNNING,)),
    "resume": ("Resume", (Role.OPS,), (RunState.HELD,)),
    "cancel": ("Cancel the run", OPERATORS, (RunState.DRAFT, RunState.AWAITING_APPROVAL, RunState.APPROVED)),
    "fail": ("Give up", OPERATORS, (RunState.HELD,)),
    "roll_back": (
        "Roll back…",
        OPERATORS,
        (RunState.RUNNING, RunState.WAITING, RunState.HELD),
    ),
}


@dataclass(frozen=True)
class Offer:
    """A button: what it says, whether it works now, and else why not and who can change that."""

    name: str
    label: str
    allowed: bool
    why: str = ""
    who: str = ""


def roles_of(user: Any, application: Application) -> frozenset[str]:
    """The user's roles on the application. A superuser has none: superusers sign nothing."""
    if not user.is_authenticated or user.is_superuser:
        return frozenset()
    return frozenset(Membership.objects.filter(user=user, application=application).values_list("role", flat=True))


def people_with(application: Application, role: str) -> list[str]:
    """Names of the active people who hold the role: those who can decide first, then whose accounts rest, and until
    when."""
    rows = Membership.objects.filter(application=application, role=role, user__is_active=True, user__is_superuser=False)
    rows = rows.annotate(rests_until=changes.rests_until("user")).order_by("user__username")
    held = list(rows.values_list("user__username", "rests_until"))
    awake = [name for name, until in held if until is None]
    resting = [f"{name} from {until:%Y-%m-%d %H:%M} UTC" for name, until in held if until is not None]
    if resting and not awake:
        resting.append("before that whom a superuser gives the role")
    return [*awake, *resting]


def who_can(application: Application, roles: Iterable[str]) -> str:
    """'ops (ana) or team lead (ben)': for the sentence beside a refused button."""
    parts = []
    for role in roles:
        names = ", ".join(people_with(application, role)) or "nobody yet"
        parts.append(f"{Role(role).label.lower() if role != Role.QA else 'QA'} ({names})")
    return " or ".join(parts)


def require_role(user: Any, application: Application, roles: Iterable[str], action: str) -> str:
    """The first of `roles` that the user holds. Raises Forbidden NOT_ALLOWED, ACCOUNT_CHANGED."""
    wanted = tuple(roles)
    held = roles_of(user, application)
    for role in wanted:
        if role in held:
            _require_settled(user, application, wanted)
            return str(role)
    if user.is_superuser:
        raise Forbidden(
            "SUPERUSER_DECIDES_NOTHING",
            f"A superuser can't {action}: decisions belong to the application's people.",
            who=who_can(application, wanted),
        )
    raise Forbidden("NOT_ALLOWED", f"You can't {action}.", who=who_can(application, wanted))


def _require_settled(user: Any, application: Application, wanted: tuple[str, ...]) -> None:
    why = changes.why_resting(user)
    if why:
        raise Forbidden("ACCOUNT_CHANGED", why, who=who_can(application, wanted))


def offers(user: Any, run: MigrationRun) -> dict[str, Offer]:
    """Every action on the run as a button for this user, in a fixed order."""
    held = roles_of(user, run.application)
    resting = changes.why_resting(user) if held else ""
    answer = {}
    for name, (label, roles, states) in _ACTIONS.items():
        allowed_states = _states_for(name, run, states)
        if run.state not in allowed_states:
            answer[name] = Offer(name, label, False, _why_not_now(name, run, states))
        elif not held & set(roles):
            answer[name] = Offer(name, label, False, "You don't have the role for it.", who_can(run.application, roles))
        elif resting:
            answer[name] = Offer(name, label, False, resting, who_can(run.application, roles))
        elif name == "start" and (why := _why_not_rehearsed(run)):
            answer[name] = Offer(name, label, False, why, who_can(run.application, OPERATORS))
        else:
            answer[name] = Offer(name, label, True)
    return answer


def _why_not_rehearsed(run: MigrationRun) -> str:
    if run.kind == RunKind.REHEARSAL:
        return ""
    return look_for_rehearsal(run.plan, run.strategy, timezone.now()).why


def require_offer(user: Any, run: MigrationRun, name: str) -> str:
    """Raise what makes the action impossible for this user now; else the role in which the user acts."""
    label, roles, states = _ACTIONS[name]
    role = require_role(user, run.application, roles, label.rstrip("…").lower())
    if run.state not in _states_for(name, run, states):
        raise ServiceRefused(
            "WRONG_STATE",
            f"Run {run.pk} is {run.get_state_display().lower()}: “{label.rstrip('…')}” can't be done now.",
            hint=_why_not_now(name, run, states) if run.state in states else "",
        )
    return role


def _states_for(name: str, run: MigrationRun, states: tuple[RunState, ...]) -> tuple[RunState, ...]:
    rehearsal = run.kind == RunKind.REHEARSAL
    if name == "start" and rehearsal:
        return (RunState.DRAFT,)
    if name == "submit" and rehearsal:
        return ()
    if name == "fail" and _has_something_to_undo(run):
        return ()
    return states


def _why_not_now(name: str, run: MigrationRun, states: tuple[RunState, ...]) -> str:
    if name == "fail" and run.state in states:
        return "Roll it back instead: that undoes what the run has done so far."
    if name == "roll_back" and run.started_at is None:
        return "It has not begun: there is nothing to roll back."
    return f"The run is {run.get_state_display().lower()}."


# A maintenance page may be up, the file captures its changes, the application is stopped; a rehearsal is taken down.
_TO_UNDO = ("before_stop", "install_capture", "stop_application", "cut_over", "create_scratch")


def _has_something_to_undo(run: MigrationRun) -> bool:
    """Then the way out is a rollback, which leaves nothing half-done."""
    begun = run.steps.begun().filter(name__in=_TO_UNDO)
    return run.switched_at is not None or begun.exists()
