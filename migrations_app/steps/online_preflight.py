"""Whether this application can cross while it runs; each obstacle with the way out, before anything is touched."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from migrations_app.engine.capture.stable_keys import crossing_problems
from migrations_app.engine.conversions import inverse
from migrations_app.engine.errors import Refused
from migrations_app.engine.online import copying
from migrations_app.engine.plan import MODE_EXISTING, MovePlan
from migrations_app.engine.replay.applier import applier_right
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.steps import workplace
from migrations_app.steps.base import StepContext


def look_online(context: StepContext, source: Source, plan: MovePlan, url: TargetUrl) -> dict[str, Any]:
    """The evidence. url: a database on the server that the run will fill. Raises Refused with the first obstacle."""
    run = context.run
    application = run.application
    if not application.busy_timeout_ms:
        raise Refused(
            "ONLINE_NO_BUSY_TIMEOUT",
            "The application doesn't wait for SQLite's write lock: its busy timeout is 0.",
            "Give the application a busy timeout (5 s is usual), and say it under Source on its page.",
        )
    _driver(context)
    found = list(crossing_problems(source, plan))
    journal = copying.journal_problem(source, application.busy_timeout_ms)
    found += [journal] if journal is not None else []
    forms, without = inverse.try_to_learn(source, plan, context.control)
    found += without
    if found:
        first = found[0]
        more = f" {len(found) - 1} more obstacle(s) stand on the plan's page." if len(found) > 1 else ""
        raise Refused(first.code, f"{first.message}{more}", "Or choose the strategy offline, which needs none of it.")
    right = applier_right(url)
    if not right.granted and plan.mode == MODE_EXISTING:
        raise Refused(
            "ONLINE_NO_APPLIER_RIGHT",
            "The target's role may not apply rows without firing the application's own triggers and foreign keys.",
            right.grant,
        )
    return {
        "busy_timeout_ms": application.busy_timeout_ms,
        "applier_right": right.granted,
        "remarks": [asdict(remark) for remark in forms.remarks] if forms is not None else [],
        "journal_mode": source.schema.journal_mode,
    }


def _driver(context: StepContext) -> None:
    problem = workplace.driver_of(context.run).online_problem
    if problem:
        raise Refused("ONLINE_DRIVER", problem, "Let another driver start and stop it, or choose the strategy offline.")
