"""What beat wakes every hour (see docs/reference/audit.md for the schedule's entry)."""

from celery import shared_task

from controlplane.audit.models import CheckpointReason
from controlplane.audit.trail import checkpoint


@shared_task(name="controlplane.audit.tasks.hourly_checkpoint", ignore_result=True)  # type: ignore[untyped-decorator]
def hourly_checkpoint() -> None:
    """Signs the chain up to its newest event, unless that is signed already."""
    checkpoint(CheckpointReason.HOURLY)
