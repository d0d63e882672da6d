"""How fast the endpoints answer under the plan's load, on SQLite before and on PostgreSQL after; and the pool then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import psycopg2

from migrations_app.applications.description import ApplicationDescription, Pool
from migrations_app.applications.load_test import ENOUGH, Load, LoadResult, at_once, press
from migrations_app.applications.pool import PoolWord, described_pool, read_pool, read_pool_at_rest
from migrations_app.applications.sessions import SessionWatch, wait_until_idle
from migrations_app.models import MigrationPlan
from migrations_app.models.states import Phase
from migrations_app.steps import workplace
from migrations_app.steps.base import Step, StepContext, StepResult
from migrations_app.steps.checks.judging import Judged, judge

# After the load, until the application's connections are at rest again.
REST_SECONDS = 15.0
_SLOWER = (
    "If the machine was busy, resume: it is timed again. Else look for missing indexes, run ANALYZE, and resume; or "
    "roll back, and raise the limit in a new revision of the plan: this run keeps its own."
)
_REFUSED = "Look at the application's log, and for a pool that is too small; then resume, or roll back."


def load_of(plan: MigrationPlan) -> Load:
    """The load that the plan states."""
    return Load(plan.setting("parallel_clients"), plan.setting("load_per_second"), plan.setting("load_seconds"))


def _rows(result: LoadResult) -> list[dict[str, Any]]:
    return [asdict(one) for one in result.endpoints]


class Baseline(Step):
    """How fast the endpoints answer on SQLite under the plan's load: what the times afterwards are held against."""

    name = "baseline"
    title = "Endpoint times on SQLite"
    phase = Phase.PREPARE

    def run(self, context: StepContext) -> StepResult:
        description = workplace.description_of(context.run)
        if not description.endpoints:
            return StepResult("skipped", "the application has no endpoints to measure")
        load = load_of(context.run.plan)
        measured = press(description, load, context.control)
        rows = _rows(measured)
        evidence: dict[str, Any] = {
            "endpoints": rows,
            "load": asdict(load),
            "reached_per_second": measured.reached_per_second,
            "refusals": measured.refusals,
        }
        facts = {"baseline": rows, "baseline_per_second": measured.reached_per_second}
        if measured.failures:
            said = "some endpoints did not answer every request: no baseline for those that answered none"
            return StepResult("succeeded", said, evidence={**evidence, "inconclusive": True}, facts=facts)
        said = f"p95 {max(one['p95_ms'] for one in rows):,.0f} ms at most, {_in_words(measured)}"
        return StepResult("succeeded", said, evidence=evidence, facts=facts)


class CheckPerformance(Step):
    name = "check_performance"
    title = "Answers in time, pool holds"
    phase = Phase.VERIFICATION

    def run(self, context: StepContext) -> StepResult:
        description = workplace.description_of(context.run)
        if not description.endpoints:
            return StepResult("skipped", "the application has no endpoints to measure")
        load, limit = load_of(context.run.plan), context.run.plan.setting("endpoint_limit_ms")
        percent = context.run.plan.setting("baseline_limit_percent")
        baseline = list(context.facts.get("baseline", []))
        pool = described_pool(description) or Pool()
        with SessionWatch(workplace.target_url_of(context.run), pool.application_name) as watch:
            before = read_pool(description)
            pressed = press(description, load, context.control)
            together = at_once(description, load.clients, context.control)
            rest = _come_to_rest(description, watch, before)
        judged = judge(_rows(pressed), baseline, limit, percent)
        evidence: dict[str, Any] = {
            "limit_ms": limit,
            "baseline_limit_percent": percent,
            "load": asdict(load),
            "reached_per_second": pressed.reached_per_second,
            "under_load": _rows(pressed),
            "judged": [one.to_document() for one in judged],
            "baseline": baseline,
            "parallel": _rows(together),
            "clients": load.clients,
            "refusals": _added(pressed.refusals, together.refusals),
            "database": {**rest["counters"], "log_errors": context.database_errors()},
            "pool": {
                "configured": pool.configured,
                "most": pool.most,
                "word": {"before": before.to_document(), "after": rest["word"].to_document()},
                "sessions": {**watch.to_document(), "after": rest["sessions"]},
                "at_rest_after_seconds": rest["seconds"],
            },
        }
        problem = _refused(pressed, together) or _too_slow(judged) or _not_kept_up(pressed, context.facts)
        if problem is not None:
            return replace(problem, evidence=evidence)
        worst = max(one.p95_after for one in judged)
        said = f"p95 {worst:,.0f} ms, {_in_words(pressed)}; {load.clients} clients served at once"
        if rest["seconds"] is None and not watch.problem:
            said += f"; its connections were not at rest {REST_SECONDS:.0f} s later"
        return StepResult("succeeded", said, evidence=evidence)


def _in_words(result: LoadResult) -> str:
    reached = f"{result.reached_per_second:,.1f} of " if not result.is_reached else ""
    load = result.load
    return f"{result.requests:,} requests, {reached}{load.per_second} a second from {load.clients} clients"


def _come_to_rest(description: ApplicationDescription, watch: SessionWatch, before: PoolWord) -> dict[str, Any]:
    """The application's sessions and its own word once the load is over. What can't be seen is None."""
    found: dict[str, Any] = {"seconds": None, "sessions": None, "counters": {}, "word": PoolWord()}
    if not watch.problem:
        try:
            sessions, found["seconds"] = wait_until_idle(watch, REST_SECONDS)
            found["sessions"] = asdict(sessions)
            found["counters"] = watch.counted()
        except psycopg2.Error as error:
            watch.problem = f"the target was lost while it was looked at (SQLSTATE {error.pgcode})"
    found["word"] = read_pool_at_rest(description, before.used, REST_SECONDS)
    return found


def _added(*refusals: Mapping[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in refusals:
        for kind, count in one.items():
            total[kind] = total.get(kind, 0) + count
    return total


def _refused(*results: LoadResult) -> StepResult | None:
    by_name: dict[str, list[int]] = {}
    for result in results:
        for one in result.endpoints:
            counts = by_name.setdefault(one.name, [0, 0])
            counts[0] += one.failures
            counts[1] += one.requests
    said = [
        f"{name} did not serve {failed:,} of {asked:,} requests" for name, (failed, asked) in by_name.items() if failed
    ]
    kinds = _added(*(result.refusals for result in results))
    why = ", ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in sorted(kinds.items()))
    return StepResult("failed", f"{'; '.join(said)} ({why})", code="NOT_SERVED", hint=_REFUSED) if said else None


def _too_slow(judged: list[Judged]) -> StepResult | None:
    said = [f"{one.name}: {one.problem}" for one in judged if one.problem]
    return StepResult("failed", "; ".join(said), code="TOO_SLOW", hint=_SLOWER) if said else None


def _not_kept_up(pressed: LoadResult, facts: Mapping[str, Any]) -> StepResult | None:
    """The load was not reached, although it was on SQLite. Where it wasn't there either, nothing became worse."""
    was = float(facts.get("baseline_per_second") or 0.0)
    if pressed.is_reached or was < ENOUGH * pressed.load.per_second:
        return None
    said = (
        f"The application took {pressed.reached_per_second:,.1f} requests a second of the plan's "
        f"{pressed.load.per_second}; on SQLite it took {was:,.1f}."
    )
    return StepResult("failed", said, code="LOAD_NOT_REACHED", hint=_REFUSED)
