"""What the follower of a live crossing saw last. The engine's durable facts decide, never this row."""

from __future__ import annotations

from typing import Any

from django.db import models

from controlplane.registry.models import Application, Membership
from migrations_app.models.plans import MigrationPlan
from migrations_app.models.runs import MigrationRun
from migrations_app.models.states import Direction, ReplicationState


class ReplicationQuerySet(models.QuerySet["Replication"]):
    def visible_to(self, user: Any) -> ReplicationQuerySet:
        if user.is_superuser:
            return self
        return self.filter(application__in=Membership.objects.filter(user=user).values("application"))

    def live(self) -> ReplicationQuerySet:
        """Those that a follower works for: a broken one is tried again, an ended one left no trace."""
        return self.exclude(state=ReplicationState.ENDED)


class Replication(models.Model):
    """An application's two sides that follow one another. It outlives its run: one that fell back is still followed.

    identity: hex, stands on both sides. facts: {"sqlite": mode, "postgresql": phase, "configuration": word, "live":
    "sqlite"/"postgresql"/"nobody"/"in doubt"} as last read. Positions are those of SQLite's log.
    lag: forward, rows of the log and seconds; back, rows of PostgreSQL's queue are in queue_rows.
    flowed_rows: rows and deletes that flowed back to SQLite since the last cut-over.
    checked_*: the last check of every cell. window_*: whether one can go back without losing a row, and why not.
    inverse_forms: how values return to SQLite, as the engine learned them; names of columns, no values.
    trend: [[seconds since the epoch, rows, seconds], …], newest last, for a small chart.
    troubled_since: since when it could not follow for a reason that may pass by itself; past a while it is broken.
    """

    application = models.OneToOneField(Application, on_delete=models.CASCADE, related_name="replication")
    plan = models.ForeignKey(MigrationPlan, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey(MigrationRun, on_delete=models.SET_NULL, related_name="replications", null=True, blank=True)
    identity = models.CharField(max_length=64)
    state = models.CharField(max_length=12, choices=ReplicationState.choices, default=ReplicationState.FOLLOWING)
    direction = models.CharField(max_length=8, choices=Direction.choices, default=Direction.NONE)
    copied_at = models.DateTimeField(null=True, blank=True)  # when every row had been copied; None: not yet
    facts = models.JSONField(default=dict, blank=True)
    position = models.BigIntegerField(null=True, blank=True)
    head = models.BigIntegerField(null=True, blank=True)
    lag_rows = models.BigIntegerField(null=True, blank=True)
    lag_seconds = models.FloatField(null=True, blank=True)
    queue_rows = models.BigIntegerField(null=True, blank=True)
    flowed_rows = models.BigIntegerField(default=0)
    checked_at = models.DateTimeField(null=True, blank=True)
    checked_position = models.BigIntegerField(null=True, blank=True)
    checked_digest = models.CharField(max_length=64, blank=True)
    window_open = models.BooleanField(default=False)
    window_since = models.DateTimeField(null=True, blank=True)  # since when it is as window_open says
    window_reason = models.TextField(blank=True)
    inverse_forms = models.JSONField(default=dict, blank=True)
    trend = models.JSONField(default=list, blank=True)
    troubled_since = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    error_hint = models.TextField(blank=True)
    lease_holder = models.CharField(max_length=120, blank=True)
    lease_token = models.PositiveIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    begun_at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True, blank=True)  # when the follower last looked
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=150, blank=True)  # who asked for it; the worker on the host does it
    end_reason = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=0)  # grows with every change: the pages' ETag
    updated_at = models.DateTimeField(auto_now=True)

    objects = ReplicationQuerySet.as_manager()

    class Meta:
        ordering = ["application"]

    def __str__(self) -> str:
        return f"Replication of {self.application.name}"

    @property
    def is_live(self) -> bool:
        return self.state != ReplicationState.ENDED
