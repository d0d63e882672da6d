"""What pages say, computed from rows: no decisions here, and nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from migrations_app.models import Gate, MigrationRun, RunStep
from migrations_app.models.states import (
    RUN_FINISHED,
    GateState,
    Phase,
    RunKind,
    RunState,
    StepState,
    Strategy,
)
from migrations_app.services.advance import next_step
from migrations_app.services.price import PriceTag
from migrations_app.services.schedule import last_safe_moment, rollback_seconds
from migrations_app.services.words import in_words

__all__ = ["headline", "last_safe_moment", "rollback_seconds", "tables", "timeline", "verification"]


# Titles that would be read as an answer while the step is still at work.
_GOING_ON = {
    "complete": "Completing",
    "soak": "Watched on PostgreSQL",
    "catch_up": "PostgreSQL catches up",
    "full_check": "Comparing every cell",
}
# The steps that bring the rows across, and that compare them: offline, online.
LOADS = ("load", "copy_online")
COMPARES = ("verify", "full_check")


@dataclass(frozen=True)
class Headline:
    """The answer first, then what it means; tone and shape as in the status component.

    safe: can we still go back, in a sentence; '' where that is no question. Its tone is the price's: red where rows
    would leave, or may.
    """

    answer: str
    meaning: str
    tone: str  # quiet, live, good, care, alarm
    shape: str  # a state of the status table
    safe: str = ""
    safe_tone: str = "quiet"


@dataclass(frozen=True)
class TimelineRow:
    phase: str
    title: str
    state: str
    owner: str
    planned_start: datetime | None
    planned_end: datetime | None
    actual_start: datetime | None
    actual_end: datetime | None
    planned_seconds: int


@dataclass(frozen=True)
class TableRow:
    name: str
    state: str  # pending, running, succeeded
    done: int
    total: int


def headline(run: MigrationRun, price: PriceTag | None = None) -> Headline:
    """Where are we, and can we still go back?"""
    step = next_step(run)
    safe, tone = _safety(run, price)
    if run.state == RunState.RUNNING and step is not None:
        return Headline(_doing(run, step), "", "live", "running", safe, tone)
    if run.state == RunState.ROLLING_BACK:
        title = step.title if step else "ending"
        return Headline(f"Rolling back: {title[0].lower()}{title[1:]}", _way_back(price), "live", "rolling_back")
    if run.state in (RunState.WAITING, RunState.AWAITING_APPROVAL):
        gate = run.gates.filter(state=GateState.OPEN).first()
        return Headline(_waiting(gate), "", "live", "waiting", safe, tone)
    if run.state == RunState.HELD:
        return Headline("Held: a person must decide", run.held_reason, "alarm", "held", safe, tone)
    return _resting(run, safe)


def _resting(run: MigrationRun, safe: str) -> Headline:
    if run.state == RunState.COMPLETED:
        if run.kind == RunKind.REHEARSAL:
            said = measured_words(run)
            meaning = f"{said[:1].upper()}{said[1:]}. " if said else ""
            meaning += "Production was not touched."
            return Headline("Rehearsed, and every cell equal", meaning, "good", "completed")
        return Headline(
            f"{run.application.name} runs on PostgreSQL", "Signed off. Every cell was equal.", "good", "completed"
        )
    if run.state == RunState.ROLLED_BACK:
        if run.kind == RunKind.REHEARSAL:
            return Headline("The rehearsal was taken down", "Production was not touched.", "quiet", "rolled_back")
        delta = run.facts.get("delta", {}).get("rows")
        kept = f"{delta:,} rows written to PostgreSQL were saved to a file." if delta else "Nothing was lost."
        if not delta and run.strategy == Strategy.ONLINE and run.switched_at:
            kept = "Nothing was lost: what was written to PostgreSQL flowed back."
        if run.facts.get("changes_unknown"):
            kept = "What was written to PostgreSQL since the switch was not saved: it is still there, and only there."
        return Headline(f"Rolled back: {run.application.name} runs on SQLite", kept, "quiet", "rolled_back")
    if run.state == RunState.APPROVED:
        return Headline("Approved, not yet started", "The application is untouched.", "live", "approved")
    if run.state == RunState.DRAFT:
        return Headline("A draft", run.held_reason or "Nothing has happened yet.", "quiet", "draft")
    return Headline(run.get_state_display(), run.held_reason or safe, "quiet", run.state)


def measured_words(run: MigrationRun) -> str:
    """What a rehearsal measured: 'down 22.7 s, load 4.1 s, verification 3 s, rollback 14.9 s'; '' for nothing."""
    away = "away" if run.strategy == Strategy.ONLINE else "down"
    names = (("downtime", away), ("load", "load"), ("verify", "verification"), ("rollback", "rollback"))
    found = [(word, run.facts.get(f"{name}_seconds")) for name, word in names]
    return ", ".join(f"{word} {in_words(seconds)}" for word, seconds in found if seconds is not None)


def _doing(run: MigrationRun, step: RunStep) -> str:
    if step.name in LOADS and step.progress.get("tables"):
        rows = tables(run)
        doing = "Loading" if step.name == "load" else "Copying"
        return f"{doing}, {sum(row.state == 'succeeded' for row in rows)} of {len(rows)} tables"
    if step.name == "soak" and step.started_at:  # it rests between two samples
        return "Watched on PostgreSQL"
    title = _GOING_ON.get(step.name, step.title)
    return title if step.state == StepState.RUNNING else f"Next: {title}"


def _waiting(gate: Gate | None) -> str:
    if gate is None:
        return "Waiting"
    signed = {a.role for a in gate.approvals.filter(state="valid")}
    names = {"plan": ["lead"], "go": ["lead", "ops"], "qa": ["qa"], "sign_off": ["lead", "qa", "ops"]}[gate.code]
    return f"{gate.get_code_display()}: {len(signed)} of {len(names)} signed"


def _safety(run: MigrationRun, price: PriceTag | None) -> tuple[str, str]:
    """The sentence and its tone."""
    if run.kind == RunKind.REHEARSAL:
        return "A rehearsal: production is not touched.", "quiet"
    if run.started_at is None:
        return "Nothing has happened yet: the application is untouched.", "quiet"
    if run.state in RUN_FINISHED or price is None:
        return "", "quiet"
    about = f" About {in_words(price.seconds)}." if price.seconds is not None else ""
    if price.lossless:
        return f"You can still go back: nothing is lost.{about}", "live"
    if price.rows is None:
        return f"You can still go back, but what it costs is not known.{about}", "alarm"
    rows = "1 row leaves" if price.rows == 1 else f"{price.rows:,} rows leave"
    return f"You can still go back, but {rows} the application.{about}", "alarm"


def _way_back(price: PriceTag | None) -> str:
    if price is None or price.seconds is None:
        return "It ends on SQLite. How long it takes was not rehearsed."
    return f"It ends on SQLite. It took {in_words(price.seconds)} in the rehearsal."


def timeline(run: MigrationRun, now: datetime | None = None) -> list[TimelineRow]:
    """One row a phase: planned from the rehearsal or the runbook, actual from the steps."""
    now = now or timezone.now()
    start = run.started_at or now
    back = any(step.phase == Phase.ROLLBACK for step in run.steps.all())
    rows = []
    planned = start
    for phase in Phase:
        steps = [step for step in run.steps.all() if step.phase == phase]
        if not steps:
            continue
        seconds = sum(step.planned_seconds or 0 for step in steps)
        begun = [step.started_at for step in steps if step.started_at]
        ended = [step.finished_at for step in steps if step.finished_at]
        all_done = all(step.is_done for step in steps)
        rows.append(
            TimelineRow(
                phase=phase.value,
                title=phase.label,
                state=_phase_state(steps, goes_on=phase == Phase.ROLLBACK or not (run.is_finished or back)),
                owner=", ".join(dict.fromkeys(step.owner for step in steps if step.owner != "system")) or "system",
                planned_start=planned if seconds else None,
                planned_end=planned + timedelta(seconds=seconds) if seconds else None,
                actual_start=min(begun) if begun else None,
                actual_end=max(ended) if ended and (all_done or back or run.is_finished) else None,
                planned_seconds=seconds,
            )
        )
        planned += timedelta(seconds=seconds)
    return rows


def _phase_state(steps: list[RunStep], *, goes_on: bool) -> str:
    """goes_on: the run still goes through this phase; else what was left of it is over."""
    states = {step.state for step in steps}
    for bad in (StepState.ERRORED, StepState.FAILED, StepState.IN_DOUBT):
        if bad in states:
            return str(bad)
    if all(step.is_done for step in steps):
        return str(StepState.SUCCEEDED)
    if not goes_on:
        return str(StepState.SKIPPED)
    if StepState.RUNNING in states or StepState.SUCCEEDED in states:
        return str(StepState.RUNNING)
    if any(step.is_gate and step.started_at for step in steps):
        return "waiting"
    return str(StepState.PENDING)


def tables(run: MigrationRun) -> list[TableRow]:
    """Per-table progress of the load: what is under way first, then what is to come, then what is done."""
    step = next((step for step in run.steps.all() if step.name in LOADS), None)
    if step is None:
        return []
    totals: dict[str, int] = dict(run.plan.profile.get("tables", {}))
    loaded = step.evidence.get("tables", {})
    seen = step.progress.get("tables", {}) if step.state == StepState.RUNNING else {}
    rows = []
    for name, planned in totals.items():
        done, total = seen.get(name, [0, planned])
        if step.state == StepState.SUCCEEDED:
            done = total = loaded.get(name, planned)
        total = total or planned
        state = (
            "succeeded"
            if step.state == StepState.SUCCEEDED or (name in seen and done >= total)
            else ("running" if done else "pending")
        )
        rows.append(TableRow(name, state, done, total))
    order = {"running": 0, "pending": 1, "succeeded": 2}
    return sorted(rows, key=lambda row: (order[row.state], -row.total, row.name))


def verification(run: MigrationRun) -> dict[str, Any] | None:
    """What compared every cell (engine/verify/compare.py, VerifyResult.to_document()), None when it hasn't run."""
    step = run.steps.filter(name__in=COMPARES).first()
    if step is None or not step.evidence:
        return None
    return {**step.evidence, "digest": step.evidence_digest, "finished_at": step.finished_at}
