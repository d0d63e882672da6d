"""MigrationPlan and its Findings."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from controlplane.registry.models import Application
from migrations_app.models.plan_settings import setting_of
from migrations_app.models.states import PlanState


class MigrationPlan(models.Model):
    """The reviewed mapping and the settings of a move; immutable once submitted. `document` is MovePlan.to_document().

    settings: {"jobs": 2, "soak_seconds": 3600, "endpoint_limit_ms": 500}; see plan_settings.py for all of them.
    choices: {"CODE" or "CODE@table.column": choice}
    target_schema_digest: of the application's own schema in the target (mode existing), '' in mode create.
    """

    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="plans")
    revision = models.PositiveIntegerField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16, choices=PlanState.choices, default=PlanState.MAKING)
    settings = models.JSONField(default=dict)
    choices = models.JSONField(default=dict, blank=True)
    excluded = models.JSONField(default=list, blank=True)
    document = models.JSONField(null=True, blank=True)
    # {"tables": {name: rows}, "bytes": n, "online": [what stands against crossing online: see services/strategies.py]}
    profile = models.JSONField(default=dict, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    source_schema_digest = models.CharField(max_length=64, blank=True)
    target_schema_digest = models.CharField(max_length=64, blank=True)
    application_version = models.CharField(max_length=200, blank=True)
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField(null=True, blank=True)
    window_zone = models.CharField(max_length=64, default="UTC")
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    lease_holder = models.CharField(max_length=120, blank=True)  # the worker that makes it now
    lease_token = models.PositiveIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    submitted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["application", "revision"], name="one_plan_per_revision"),
            models.CheckConstraint(
                condition=Q(window_end__isnull=True) | Q(window_start__lt=models.F("window_end")),
                name="window_ends_after_it_starts",
            ),
            models.CheckConstraint(
                condition=~Q(state=PlanState.SUBMITTED) | ~Q(digest=""), name="submitted_plan_has_digest"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.application.name} plan, revision {self.revision}"

    @property
    def short_digest(self) -> str:
        return self.digest[:8]

    def setting(self, name: str) -> int:
        """The number of that name; its default for a plan from before there was such a setting."""
        return setting_of(self.settings, name)


class Finding(models.Model):
    """Something in the source that the target can't hold or would treat otherwise, and the choice made on it."""

    plan = models.ForeignKey(MigrationPlan, on_delete=models.CASCADE, related_name="findings")
    code = models.CharField(max_length=64)
    severity = models.CharField(max_length=8)  # refuse, warn, info
    table = models.CharField(max_length=255, blank=True)
    column = models.CharField(max_length=255, blank=True)
    row_key = models.TextField(blank=True)
    count = models.BigIntegerField(default=0)
    message = models.TextField()
    choices = models.JSONField(default=list)
    choice = models.CharField(max_length=1024, blank=True)  # may name columns: follow:TABLE.COLUMN,…

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.code} {self.table}.{self.column}"
