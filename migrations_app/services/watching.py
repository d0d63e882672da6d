"""What a run says to monitoring: markers of its changes, silences while the application is down; and what monitoring
says to the soak. A rehearsal says nothing: it touches a second copy.

Monitoring is beside the way of a run, never in it: what fails here is logged, and the run goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.db import transaction

from controlplane.registry.models import Application
from migrations_app.models import MigrationRun, Replication, RunStep
from migrations_app.models.states import RUN_FINISHED, ReplicationState, RunKind, RunState, StepState, Strategy
from migrations_app.steps.base import AlertsSeen
from monitoring_app.services import burning, crossings, markers, rules, silences, targets

logger = logging.getLogger("causeway.monitoring")

# From the stop until the application was proved to be up, and the same way back.
_DOWN = frozenset(
    {
        *("before_stop", "stop_application", "final_backup", "refresh_export", "load", "verify", "arm_change_queue"),
        *("switch_configuration", "start_application", "check_application"),
        *("back_stop", "back_save_changes", "back_restore_source", "back_switch_configuration"),
        *("back_start", "back_check", "cut_over", "back_fall_back"),
    }
)
_UP = frozenset({"check_application", "back_check"})
# Each step that begins makes it longer; a run that is held for so long is worth a mail.
_LONGEST = timedelta(hours=6)


def step_began(*, run: MigrationRun, step: RunStep, now: datetime) -> None:
    """Alerts are silent while a run keeps the application down. Call in the transaction of the claim."""
    if step.name in _DOWN:
        _say(run, lambda: _silence(run, now))


def step_ended(*, run: MigrationRun, step: RunStep, now: datetime) -> None:
    """The switches become markers; an application that is up ends the silence. Call in the result's transaction."""
    if step.state != StepState.SUCCEEDED:
        return
    if step.name == "switch_configuration" or (step.name == "cut_over" and run.switched_at is not None):
        _say(run, lambda: _crossed(run, run.switched_at or now))
    elif step.name in ("back_switch_configuration", "back_fall_back") and run.switched_at is not None:
        _say(run, lambda: _went_back(run, now))
    if step.name in _UP:
        _say(run, lambda: _end_silence(run, now))


def run_changed(*, run: MigrationRun, now: datetime) -> None:
    """A run that began is a marker; one that ended leaves no silence. Call in the transaction of the change."""
    if run.state == RunState.RUNNING and run.started_at == now:
        text = f"Run {run.pk} began"
        _say(run, lambda: _mark(run, markers.RUN, now, text))
    elif run.state in RUN_FINISHED:
        _say(run, lambda: _end_silence(run, now))


def alerts_of(run: MigrationRun, now: datetime) -> AlertsSeen:
    """What burns now for the run's application, for the soak. Not watched is said, and not taken for quiet."""
    seen = burning.look(application=run.application, now=now)
    return AlertsSeen(seen.watched, seen.why, seen.critical)


def database_errors_of(run: MigrationRun) -> Mapping[str, int] | None:
    """Errors of the database by SQLSTATE in the application's log since its switch; None where nobody reads it, and
    for a rehearsal, whose second copy writes elsewhere."""
    return burning.errors_since_cut_over(application=run.application) if run.kind == RunKind.PRODUCTION else None


def replication_seen(*, replication: Replication, now: datetime) -> None:
    """A sample of a live crossing, for its chart and its alerts."""
    broken = replication.state == ReplicationState.BROKEN
    _beside(
        replication.application,
        lambda: crossings.seen(
            application=replication.application,
            direction=replication.direction,
            rows=replication.lag_rows,
            seconds=replication.lag_seconds,
            broken=replication.error_message or "broken" if broken else "",
            now=now,
        ),
    )


def replication_over(*, application: Application, now: datetime) -> None:
    """Nothing follows any more, and what fired about it ends."""
    _beside(application, lambda: crossings.over(application=application, now=now))


def _beside(application: Application, what: Callable[[], None]) -> None:
    try:
        with transaction.atomic():
            what()
    except Exception:  # monitoring is beside the crossing, never in it; the log has it
        logger.exception("monitoring did not hear of the replication of %s", application.name)


def _say(run: MigrationRun, what: Callable[[], None]) -> None:
    if run.kind != RunKind.PRODUCTION:
        return
    try:
        with transaction.atomic():
            what()
    except Exception:  # whatever fails there, an application that is down must come up again; the log has it
        logger.exception("monitoring did not hear of run %s", run.pk)


def _about(run: MigrationRun) -> str:
    return f"run:{run.pk}"


def _silence(run: MigrationRun, now: datetime) -> None:
    silences.open_silence(
        application=run.application,
        rule=None,
        ends_at=now + _LONGEST,
        reason=f"Run {run.pk} keeps the application down",
        by="system",
        about=_about(run),
        now=now,
    )


def _end_silence(run: MigrationRun, now: datetime) -> None:
    silences.end_silences(application=run.application, about=_about(run), now=now)


def _mark(run: MigrationRun, kind: str, at: datetime, text: str) -> None:
    markers.mark(application=run.application, kind=kind, at=at, text=text, about=_about(run))


def _crossed(run: MigrationRun, at: datetime) -> None:
    _mark(run, markers.CUT_OVER, at, f"Run {run.pk} pointed the application at PostgreSQL")
    if run.strategy == Strategy.OFFLINE:  # online the file goes on changing: rows flow back to it
        targets.keep_frozen_copy(application=run.application, path=run.application.source_path)
    rules.follow_database(application=run.application, on_postgresql=True)


def _went_back(run: MigrationRun, at: datetime) -> None:
    _mark(run, markers.BACK, at, f"Run {run.pk} pointed the application back at SQLite")
    targets.keep_frozen_copy(application=run.application, path="")
    rules.follow_database(application=run.application, on_postgresql=False)
