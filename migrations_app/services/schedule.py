"""How long each step is planned to take: as long as in the last rehearsal, else as the runbook says."""

from __future__ import annotations

from datetime import datetime, timedelta

from migrations_app.models import MigrationRun
from migrations_app.models.states import RunKind, RunState

# The runbook's table of durations, in seconds, shared out over the steps.
_RUNBOOK: dict[str, int] = {
    "preflight": 600,
    "prepare_target": 600,
    "baseline": 300,
    "backup": 300,
    "export": 300,
    "rehearsal_is_fresh": 1,
    "gate_go": 300,
    "before_stop": 10,
    "stop_application": 60,
    "final_backup": 60,
    "refresh_export": 60,
    "load": 300,
    "verify": 300,
    "arm_change_queue": 5,
    "switch_configuration": 5,
    "start_application": 60,
    "check_application": 60,
    "after_start": 10,
    "check_integrity": 300,
    "check_performance": 300,
    "gate_qa": 900,
    # Online: what the application waits for is in cut_over.
    "install_capture": 5,
    "snapshot_online": 300,
    "copy_online": 300,
    "catch_up": 60,
    "full_check": 300,
    "arm_back": 60,
    "cut_over": 30,
}


def planned_seconds(run: MigrationRun) -> dict[str, int]:
    """Seconds by step name."""
    planned = dict(_RUNBOOK)
    planned["soak"] = int(run.plan.settings.get("soak_seconds", 3600))
    last = last_rehearsal(run)
    if last is not None:
        for step in last.steps.all():
            if step.started_at and step.finished_at:
                planned[step.name] = max(1, round((step.finished_at - step.started_at).total_seconds()))
    return planned


def last_rehearsal(run: MigrationRun) -> MigrationRun | None:
    """The newest completed rehearsal of the run's plan (itself excluded)."""
    return (
        MigrationRun.objects.filter(plan=run.plan, kind=RunKind.REHEARSAL, state=RunState.COMPLETED)
        .exclude(pk=run.pk)
        .order_by("-finished_at")
        .first()
    )


def rollback_seconds(run: MigrationRun) -> int | None:
    """How long the rollback took in the rehearsal; None when it was never rehearsed."""
    rehearsal = run.rehearsal or last_rehearsal(run)
    seconds = (rehearsal.facts if rehearsal else {}).get("rollback_seconds")
    return max(1, round(seconds)) if seconds is not None else None


def rehearsed_downtime(run: MigrationRun) -> int | None:
    """How long the application was down in the rehearsal, in seconds; None when that was not measured."""
    rehearsal = run.rehearsal or last_rehearsal(run)
    seconds = (rehearsal.facts if rehearsal else {}).get("downtime_seconds")
    return max(1, round(seconds)) if seconds is not None else None


def last_safe_moment(run: MigrationRun) -> datetime | None:
    """The end of the window less the rehearsed rollback time; None without a window or a rehearsal."""
    seconds = rollback_seconds(run)
    if run.plan.window_end is None or seconds is None:
        return None
    return run.plan.window_end - timedelta(seconds=seconds)
