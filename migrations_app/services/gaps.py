"""What an application still lacks before it can be planned, rehearsed, moved: computed from what is described now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from controlplane.registry.models import Application, Host, Membership, Role, SchemaMode
from migrations_app.models import MigrationPlan
from migrations_app.services.addresses import has_address
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.sections import SECTIONS

PLAN, REHEARSAL, PRODUCTION = "plan", "rehearsal", "production"
GOALS = {PLAN: "planned", REHEARSAL: "rehearsed", PRODUCTION: "moved"}


@dataclass(frozen=True)
class Gap:
    """What is missing, where it is filled in, and what it stops: a goal and all after it. hard: services refuse."""

    section: str  # 'people' for roles
    text: str
    stops: str
    hard: bool = True

    @property
    def title(self) -> str:
        return "People" if self.section == "people" else SECTIONS[self.section].title


def gaps_of(application: Application, host: Host | None, roles: Iterable[str]) -> list[Gap]:
    """In the order of the goals. roles: those that somebody active holds on it."""
    found = [
        *_source(application),
        *_schema(application),
        *_target(application),
        *_processes(application, host),
        *_driver(application, host),
        *_pointing(application),
        *_health(application),
        *_people(set(roles)),
    ]
    return sorted(found, key=lambda gap: list(GOALS).index(gap.stops))


def next_goal(gaps: Sequence[Gap]) -> str:
    """The first goal that something stops; '' when nothing is missing."""
    return next((goal for goal in GOALS if any(gap.stops == goal for gap in gaps)), "")


def require_described(application: Application, goal: str) -> None:
    """Raises ServiceRefused DESCRIPTION_INCOMPLETE while the description itself stops the goal."""
    order = list(GOALS)
    reached = order[: order.index(goal) + 1]
    gaps = [gap for gap in gaps_of(application, None, Role.values) if gap.hard and gap.stops in reached]
    if gaps:
        raise ServiceRefused(
            "DESCRIPTION_INCOMPLETE",
            f"{application.name} can’t be {GOALS[goal]} yet: {gaps[0].text}",
            hint=f"Fill in “{gaps[0].title}” on the application’s page.",
            who=f"ops ({', '.join(_names(application)) or 'nobody yet'})",
        )


def why_outdated(plan: MigrationPlan) -> str:
    """'' for a plan that was made of what is described now."""
    changed = plan.application.described_at
    if changed is None or plan.created_at >= changed:
        return ""
    return "The application’s description has changed since this plan was made: make a new revision."


def require_current(plan: MigrationPlan) -> None:
    """Raises ServiceRefused PLAN_OUTDATED."""
    why = why_outdated(plan)
    if why:
        raise ServiceRefused("PLAN_OUTDATED", why, hint="The audit trail says who changed what.")


def roles_held(application: Application) -> set[str]:
    """The roles that an active person holds; superusers count for none."""
    return set(_active(application).values_list("role", flat=True))


def _active(application: Application) -> QuerySet[Membership]:
    return Membership.objects.filter(application=application, user__is_active=True, user__is_superuser=False)


def _names(application: Application) -> list[str]:
    return list(_active(application).filter(role=Role.OPS).values_list("user__username", flat=True))


def _problem(application: Application, kind: str) -> str:
    problem: dict[str, Any] = (application.seen.get(kind) or {}).get("problem") or {}
    return str(problem.get("message", ""))


def _source(application: Application) -> list[Gap]:
    if not application.source_path:
        return [Gap("source", "Where is its SQLite file?", PLAN)]
    problem = _problem(application, "source")
    return [Gap("source", problem, PLAN, hard=False)] if problem else []


def _schema(application: Application) -> list[Gap]:
    if application.schema_mode == SchemaMode.EXISTING and not application.commands.get("schema"):
        return [Gap("processes", "It makes its own tables: which command makes them?", PLAN, hard=False)]
    return []


def _target(application: Application) -> list[Gap]:
    has_target, has_server = has_address(application, "target"), has_address(application, "rehearsal")
    gaps = []
    if not has_target and not has_server:
        stops = PLAN if application.schema_mode == SchemaMode.EXISTING else REHEARSAL
        gaps.append(Gap("target", "Which PostgreSQL database shall it live in?", stops))
    elif not has_target:
        gaps.append(Gap("target", "Which PostgreSQL database shall it live in?", PRODUCTION))
    elif problem := _problem(application, "target"):
        gaps.append(Gap("target", problem, PRODUCTION if has_server else REHEARSAL, hard=False))
    creates = ((application.seen.get("target") or {}).get("facts") or {}).get("creates_databases", True)
    if problem := _problem(application, "rehearsal"):
        gaps.append(Gap("rehearsal", problem, REHEARSAL, hard=False))
    elif has_target and not has_server and not creates:
        said = "The target’s role may not create a scratch database: name a server where rehearsals may."
        gaps.append(Gap("rehearsal", said, REHEARSAL, hard=False))
    return gaps


def _processes(application: Application, host: Host | None) -> list[Gap]:
    if not application.processes:
        return [Gap("processes", "Which processes are stopped and started?", REHEARSAL)]
    gaps = []
    named = [entry["command"] for entry in application.processes] + list(application.commands.values())
    unknown = sorted(set(named) - set(host.commands)) if host is not None and host.is_known else []
    if unknown and host is not None:
        said = f"The operator’s file of {host.name} has no command {', '.join(unknown)}."
        gaps.append(Gap("processes", said, PLAN, hard=False))
    without = [e["name"] for e in application.processes if e.get("port") and not e.get("rehearsal_port")]
    if without:
        gaps.append(Gap("processes", f"On which port does a second copy of {', '.join(without)} listen?", REHEARSAL))
    return gaps


def _driver(application: Application, host: Host | None) -> list[Gap]:
    """Names that the operator's file no longer has."""
    if host is None or not host.is_known:
        return []
    given = application.driver
    named = [given.get(purpose) for purpose in ("start", "stop", "status", "signal")]
    named.append((given.get("upstream") or {}).get("reload"))
    unknown = sorted({name for name in named if name} - set(host.commands))
    gaps = [f"The operator’s file of {host.name} has no command {', '.join(unknown)}."] if unknown else []
    units = sorted(set(given.get("units") or []) - set(host.units))
    gaps += [f"The operator of {host.name} does not allow {', '.join(units)}."] if units else []
    return [Gap("driver", said, PRODUCTION, hard=False) for said in gaps]


def _pointing(application: Application) -> list[Gap]:
    if application.pointing.get("keys") and application.pointing.get("mechanism"):
        return []
    return [Gap("pointing", "How is it told which database to use?", REHEARSAL)]


def _health(application: Application) -> list[Gap]:
    gaps = []
    if not application.endpoints:
        gaps.append(Gap("health", "Which endpoints prove that it is well?", REHEARSAL, hard=False))
    if not application.identity:
        gaps.append(Gap("health", "How does it say itself which database it uses?", REHEARSAL, hard=False))
    return gaps


def _people(roles: set[str]) -> list[Gap]:
    labels = {Role.LEAD: "team lead", Role.QA: "QA", Role.OPS: "ops"}
    missing = [label for role, label in labels.items() if role not in roles]
    return (
        [Gap("people", f"Nobody is {' or '.join(missing)}: gates need them.", PRODUCTION, hard=False)]
        if missing
        else []
    )
