"""MigrationRun, its steps, their log and their files."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from controlplane.registry.models import Application, Membership
from migrations_app.models.plans import MigrationPlan
from migrations_app.models.states import (
    RUN_ACTIVE,
    RUN_FINISHED,
    STEP_DONE,
    OnLapse,
    Phase,
    RunKind,
    RunState,
    StepState,
    Strategy,
)


class RunQuerySet(models.QuerySet["MigrationRun"]):
    def visible_to(self, user: Any) -> RunQuerySet:
        if user.is_superuser:
            return self
        # No join and no DISTINCT: that would compare whole plans and facts of the same run.
        return self.filter(application__in=Membership.objects.filter(user=user).values("application"))

    def active(self) -> RunQuerySet:
        return self.filter(state__in=RUN_ACTIVE)


class MigrationRun(models.Model):
    """One crossing of one application. Services alone change these rows.

    facts: what the steps found out, by name (fingerprints, paths, counts): see steps/base.py.
    reality: the last answer of the reality probe, taken on the application's host.
    """

    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="runs")
    plan = models.ForeignKey(MigrationPlan, on_delete=models.PROTECT, related_name="runs")
    kind = models.CharField(max_length=16, choices=RunKind.choices)
    strategy = models.CharField(max_length=16, choices=Strategy.choices, default=Strategy.OFFLINE)
    state = models.CharField(max_length=24, choices=RunState.choices, default=RunState.DRAFT)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    rehearsal = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="crossings")
    checklist_version = models.ForeignKey(
        "migrations_app.ChecklistVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="runs"
    )
    held_reason = models.TextField(blank=True)
    hold_requested = models.BooleanField(default=False)
    facts = models.JSONField(default=dict, blank=True)
    reality = models.JSONField(default=dict, blank=True)
    reality_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    down_since = models.DateTimeField(null=True, blank=True)
    switched_at = models.DateTimeField(null=True, blank=True)
    up_since = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=0)  # grows with every change: the pages' ETag

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Even two control-plane processes can't start a second production run of an application.
            models.UniqueConstraint(
                fields=["application"],
                condition=Q(state__in=sorted(RUN_ACTIVE)) & Q(kind=RunKind.PRODUCTION),
                name="one_active_production_run",
            ),
            models.UniqueConstraint(
                fields=["application", "kind"],
                condition=Q(state__in=sorted(RUN_ACTIVE)) & Q(kind=RunKind.REHEARSAL),
                name="one_active_rehearsal",
            ),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk} · {self.application.name} · {self.get_kind_display().lower()}"

    @property
    def is_finished(self) -> bool:
        return self.state in RUN_FINISHED

    @property
    def run_key(self) -> str:
        """Names this run in the target's lease and ledger."""
        return f"run-{self.pk}"


class StepQuerySet(models.QuerySet["RunStep"]):
    def begun(self) -> StepQuerySet:
        """Those that may have changed something: also one that waits to be done again. A skipped one did nothing."""
        once = ~Q(state=StepState.PENDING) | Q(started_at__isnull=False)
        return self.filter(once).exclude(state=StepState.SKIPPED)


class RunStep(models.Model):
    """One step. The row is the queue: a worker claims it by a conditional update that raises `token`.

    progress: {"phase": str, "tables": {name: [done, total]}, "message": str}
    evidence: what the step proved, as JSON; evidence_digest is the SHA-256 of its canonical form.
    """

    run = models.ForeignKey(MigrationRun, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=48)
    title = models.CharField(max_length=120)
    phase = models.CharField(max_length=16, choices=Phase.choices)
    queue = models.CharField(max_length=80, blank=True)  # '' for gates: people do them
    on_lapse = models.CharField(max_length=12, choices=OnLapse.choices, default=OnLapse.REDO)
    owner = models.CharField(max_length=32, default="system")
    planned_seconds = models.PositiveIntegerField(null=True, blank=True)
    state = models.CharField(max_length=16, choices=StepState.choices, default=StepState.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True, blank=True)
    lease_holder = models.CharField(max_length=120, blank=True)
    lease_token = models.PositiveIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    progress = models.JSONField(default=dict, blank=True)
    message = models.TextField(blank=True)
    evidence = models.JSONField(default=dict, blank=True)
    evidence_digest = models.CharField(max_length=64, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    error_hint = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = StepQuerySet.as_manager()

    class Meta:
        ordering = ["run", "position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="one_step_per_position"),
            models.UniqueConstraint(fields=["run", "name"], name="one_step_per_name"),
        ]
        indexes = [models.Index(fields=["state", "lease_expires_at"], name="step_state_lease")]

    def __str__(self) -> str:
        return f"{self.title} of run {self.run_id}"

    @property
    def is_gate(self) -> bool:
        return self.name.startswith("gate_")

    @property
    def is_done(self) -> bool:
        return self.state in STEP_DONE


class StepLogLine(models.Model):
    """One line of a step's log: what people read at night. Never holds a secret or a personal value."""

    step = models.ForeignKey(RunStep, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField()
    level = models.CharField(max_length=8, default="info")
    text = models.TextField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


class Artifact(models.Model):
    """A file that a step made, with its SHA-256 and size in bytes."""

    run = models.ForeignKey(MigrationRun, on_delete=models.CASCADE, related_name="artifacts")
    step = models.ForeignKey(RunStep, on_delete=models.CASCADE, related_name="artifacts", null=True, blank=True)
    kind = models.CharField(max_length=32)  # backup, final_backup, export, report, delta, rollback_script, config_copy
    path = models.CharField(max_length=4096)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.sha256[:8]}"
