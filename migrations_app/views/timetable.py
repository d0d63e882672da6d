"""The runbook's table for this run: every task, who does it, how long it was planned and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.registry.models import Role
from migrations_app.models import RunStep
from migrations_app.models.states import Phase, StepState

_SYSTEM = "System"
# Less than this, or than a tenth of the plan, is no delay that anyone would name.
_LATE_SECONDS = 30


@dataclass(frozen=True)
class Task:
    """One step as a line of the timetable; seconds are None where nothing is known."""

    title: str
    state: str
    owner: str
    started_at: datetime | None
    planned_seconds: int | None
    seconds: float | None
    late_seconds: float | None
    digest: str


@dataclass(frozen=True)
class PhaseTasks:
    title: str
    tasks: tuple[Task, ...]


def tasks_by_phase(steps: Sequence[RunStep], now: datetime) -> list[PhaseTasks]:
    """In the order of the way; phases that this run doesn't have are left out."""
    phases = []
    for phase in Phase:
        tasks = tuple(_task(step, now) for step in steps if step.phase == phase)
        if tasks:
            phases.append(PhaseTasks(phase.label, tasks))
    return phases


def owner_words(owner: str) -> str:
    """'lead, ops' as 'Team lead, Ops'."""
    labels = {**dict(Role.choices), "system": _SYSTEM, "": _SYSTEM}
    return ", ".join(labels.get(name.strip(), name.strip()) for name in owner.split(","))


def _task(step: RunStep, now: datetime) -> Task:
    waits = step.is_gate and step.state == StepState.PENDING and step.started_at is not None
    end = step.finished_at or (now if step.state == StepState.RUNNING or waits else None)
    seconds = (end - step.started_at).total_seconds() if end and step.started_at else None
    planned = step.planned_seconds or None
    return Task(
        title=step.title,
        state="waiting" if waits else step.state,
        owner=owner_words(step.owner),
        started_at=step.started_at,
        planned_seconds=planned,
        seconds=seconds,
        late_seconds=_late(seconds, planned),
        digest=step.evidence_digest,
    )


def _late(seconds: float | None, planned: int | None) -> float | None:
    if seconds is None or planned is None:
        return None
    late = seconds - planned
    return late if late > max(_LATE_SECONDS, planned * 0.1) else None
