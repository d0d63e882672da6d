"""Which strategies a plan allows: what stands against crossing while the application runs, with the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migrations_app.models import MigrationPlan


@dataclass(frozen=True)
class Obstacle:
    """One reason why a plan can't cross online, or a thing to know. hint: the way out; line: to be copied as it is."""

    code: str
    message: str
    hint: str
    table: str = ""
    column: str = ""
    line: str = ""

    @property
    def place(self) -> str:
        return f"{self.table}.{self.column}" if self.column else self.table


def why_not_online(plan: MigrationPlan) -> tuple[Obstacle, ...]:
    """What is known before a run of it has begun; () where nothing is. The preflight looks at the rest."""
    application = plan.application
    found = [] if application.busy_timeout_ms else [_NO_PATIENCE]
    if application.driver.get("kind") == "manual":
        found.append(_BY_A_PERSON)
    return (*found, *_entries(plan, "online"))


@dataclass(frozen=True)
class OnlineLook:
    """What the worker that made the plan saw besides its obstacles. Older plans say less.

    keys: whether it looked at the tables. forms: whether at the way back of every value; why_no_forms: what kept it
    from that. mend: what a preflight would have refused then, to be mended beside the plan. notes: what is to know
    before one chooses.
    """

    keys: bool
    forms: bool
    why_no_forms: str
    mend: tuple[Obstacle, ...]
    notes: tuple[Obstacle, ...]


def online_look(plan: MigrationPlan) -> OnlineLook:
    forms = plan.profile.get("online_forms") or {}
    return OnlineLook(
        keys="online" in plan.profile,
        forms=bool(forms.get("learned")),
        why_no_forms=str(forms.get("why", "")),
        mend=_entries(plan, "online_mend"),
        notes=_entries(plan, "online_notes"),
    )


def _entries(plan: MigrationPlan, name: str) -> tuple[Obstacle, ...]:
    return tuple(_obstacle(row) for row in plan.profile.get(name) or [] if isinstance(row, Mapping))


def _obstacle(row: Mapping[str, Any]) -> Obstacle:
    return Obstacle(*(str(row.get(name, "")) for name in ("code", "message", "hint", "table", "column", "line")))


_BY_A_PERSON = Obstacle(
    "ONLINE_DRIVER",
    "A person stops and starts the application, and nobody can do that within its busy timeout.",
    "Let another driver do it, under Processes on its page.",
)
# The freeze holds SQLite's write lock for a part of this time; without it a writer would be refused at once.
_NO_PATIENCE = Obstacle(
    "ONLINE_NO_BUSY_TIMEOUT",
    "The application doesn't wait for SQLite's write lock: its busy timeout is 0.",
    "Give the application a busy timeout (5 s is usual), and say it under Source on its page.",
)
