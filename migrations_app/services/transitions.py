"""The only writers of a run's and a step's state: update where the old status still holds, else someone else won."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F

from migrations_app.models import MigrationRun, RunStep
from migrations_app.models.states import RUN_FINISHED, RUN_TRANSITIONS, STEP_TRANSITIONS
from migrations_app.services import watching
from migrations_app.services.errors import Stale


def change_run(run: MigrationRun, to: str, *, at: datetime, **fields: Any) -> None:
    """Move a run to another state and refresh it. Raises Stale when the table of transitions or the row says no.

    Call inside the transaction of the change.
    """
    if to not in RUN_TRANSITIONS[run.state]:
        raise Stale(f"Run {run.pk} is {run.get_state_display().lower()}; that can't be done now.")
    if to in RUN_FINISHED:
        fields.setdefault("finished_at", at)
    changed = MigrationRun.objects.filter(pk=run.pk, state=run.state).update(
        state=to, version=F("version") + 1, **fields
    )
    if changed != 1:
        raise Stale(f"Run {run.pk} has changed in the meantime.")
    run.refresh_from_db()
    watching.run_changed(run=run, now=at)


def touch_run(run_id: int) -> None:
    """Something that pages show has changed: their ETag grows."""
    MigrationRun.objects.filter(pk=run_id).update(version=F("version") + 1)


def change_step(step: RunStep, to: str, *, token: int | None = None, **fields: Any) -> bool:
    """Move a step to another state; False when the row no longer stood where it was (or its token had grown)."""
    if to not in STEP_TRANSITIONS[step.state]:
        return False
    rows = RunStep.objects.filter(pk=step.pk, state=step.state)
    if token is not None:
        rows = rows.filter(lease_token=token)
    changed = rows.update(state=to, **fields)
    if changed == 1:
        touch_run(step.run_id)
        step.refresh_from_db()
    return changed == 1
