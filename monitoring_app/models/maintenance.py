"""Work on a target's database that a person asked for, and how far it is."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from monitoring_app.models.targets import Target


class MaintenanceState(models.TextChoices):
    ASKED = "asked", "Asked for"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class Maintenance(models.Model):
    """VACUUM ANALYZE of a target. Its row is the question, the lock, the progress and the result.

    claimed_until: a worker that died with it holds it no longer. current: the table at work. skipped: what was left
    out, [{"table": …, "why": …}].
    """

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="maintenance")
    state = models.CharField(max_length=8, choices=MaintenanceState.choices, default=MaintenanceState.ASKED)
    asked_by = models.CharField(max_length=200)
    asked_at = models.DateTimeField()
    began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    tables = models.PositiveIntegerField(null=True, blank=True)
    done = models.PositiveIntegerField(default=0)
    current = models.CharField(max_length=130, blank=True)
    skipped = models.JSONField(default=list, blank=True)
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-asked_at", "-id"]
        verbose_name_plural = "maintenance"
        constraints = [
            models.UniqueConstraint(
                fields=["target"], condition=Q(state__in=["asked", "running"]), name="one_open_maintenance_per_target"
            ),
        ]

    def __str__(self) -> str:
        return f"VACUUM ANALYZE of {self.target} ({self.state})"
