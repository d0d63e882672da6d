"""What a plan tells about crossing while the application runs: looked at when the plan is made, kept in its profile.

The preflight of each run looks at all of it again. What belongs to the tables and their values is an obstacle of this
revision; what may be mended beside it (the journal mode, a right) is told, and closes nothing.
"""

from __future__ import annotations

from typing import Any

from controlplane.redaction import redact
from controlplane.registry.models import Application
from migrations_app.engine.capture.stable_keys import crossing_problems
from migrations_app.engine.control import Control
from migrations_app.engine.conversions import inverse
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.online import copying
from migrations_app.engine.plan import MODE_EXISTING, Finding, MovePlan
from migrations_app.engine.replay.applier import applier_right
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.steps import workplace

_ANOTHER_FORM = "Choose tagged_text for the column, leave the table out, or move offline."


def look_online(application: Application, source: Source, move: MovePlan, control: Control) -> dict[str, Any]:
    """Entries of the plan's profile: online (obstacles of the plan), online_forms, online_mend (what a preflight would
    refuse as it stands), online_notes. Raises what reading the source raises, and Cancelled.
    """
    problems = [_entry(row) for row in crossing_problems(source, move)]
    forms: dict[str, Any] = {"learned": True, "why": ""}
    notes: list[dict[str, str]] = []
    try:
        learned, without = inverse.try_to_learn(source, move, control)
    except Failed as error:
        if error.code != "VALUE_UNFIT":
            raise
        forms = {"learned": False, "why": redact(error.message)}  # a finding waits for its choice
    else:
        problems += [_entry(row, _ANOTHER_FORM) for row in without]
        notes += [_note("SPELLING", f"{one.what}.", one.table, one.column) for one in learned.remarks]
    right = _right(application, move)
    mend = _journal(application, source)
    (mend if move.mode == MODE_EXISTING else notes).extend(right)
    return {"online": problems, "online_forms": forms, "online_mend": mend, "online_notes": notes}


def _journal(application: Application, source: Source) -> list[dict[str, str]]:
    if not application.busy_timeout_ms:
        return []  # an obstacle of its own
    problem = copying.journal_problem(source, application.busy_timeout_ms)
    return [_note(problem.code, problem.message)] if problem is not None else []


def _right(application: Application, move: MovePlan) -> list[dict[str, str]]:
    """Of the role that the target is given with. A target that can't be asked now says nothing: a run will ask it."""
    try:
        right = applier_right(workplace.target_of(application))
    except EngineError:
        return []
    if right.granted:
        return []
    said = (
        "The target's role may not apply rows without firing the application's own triggers and foreign keys: the "
        "preflight refuses that. An administrator gives the right:"
        if move.mode == MODE_EXISTING
        else "The target's role may not set session_replication_role: foreign keys are put in place only once every "
        "row is there. An administrator could give the right:"
    )
    return [{**_note("ONLINE_NO_APPLIER_RIGHT", said), "line": right.grant}]


def _entry(row: Finding, hint: str = "") -> dict[str, str]:
    return {"code": row.code, "message": row.message, "hint": hint, "table": row.table, "column": row.column}


def _note(code: str, message: str, table: str = "", column: str = "") -> dict[str, str]:
    return {"code": code, "message": message, "hint": "", "table": table, "column": column}
