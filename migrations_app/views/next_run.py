"""What comes after a plan or a rehearsal: the next run of it, so that the page can say so."""

from __future__ import annotations

from dataclasses import dataclass, replace

from migrations_app.models import MigrationPlan
from migrations_app.models.states import PlanState, RunKind, RunState, Strategy

# Such a run stands in nobody's way: another of its kind may follow.
_GIVEN_UP = (RunState.CANCELLED, RunState.FAILED, RunState.ROLLED_BACK)


@dataclass(frozen=True)
class NextRun:
    kind: str
    label: str
    says: str
    strategy: str = Strategy.OFFLINE


REHEARSAL = NextRun(RunKind.REHEARSAL, "Draft a rehearsal…", "Next: try it with copies. Production is not touched.")
PRODUCTION = NextRun(
    RunKind.PRODUCTION,
    "Draft the production run…",
    "Next: the real crossing. It begins with a team lead's approval of this plan.",
)


def next_run_of(plan: MigrationPlan) -> NextRun | None:
    """Its rehearsal, then its production run; None where that is there already, or the plan can't be used."""
    if plan.state not in (PlanState.DRAFT, PlanState.SUBMITTED):
        return None
    runs = dict(plan.runs.exclude(state__in=_GIVEN_UP).order_by("pk").values_list("kind", "strategy"))
    if RunKind.REHEARSAL not in runs:
        return REHEARSAL
    return None if RunKind.PRODUCTION in runs else replace(PRODUCTION, strategy=runs[RunKind.REHEARSAL])
