"""Where people decide: gates, signatures, rollback requests and the final sign-off."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from controlplane.registry.models import Role
from migrations_app.models.runs import MigrationRun, RunStep
from migrations_app.models.states import ApprovalState, GateCode, GateState, Price


class Gate(models.Model):
    """A step that people do. Opens when reached; passes when every required role has a valid signature."""

    run = models.ForeignKey(MigrationRun, on_delete=models.CASCADE, related_name="gates")
    step = models.OneToOneField(RunStep, on_delete=models.CASCADE, related_name="gate")
    code = models.CharField(max_length=16, choices=GateCode.choices)
    state = models.CharField(max_length=12, choices=GateState.choices, default=GateState.CLOSED)
    opened_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["run", "step__position"]
        constraints = [models.UniqueConstraint(fields=["run", "code"], name="one_gate_per_code")]

    def __str__(self) -> str:
        return f"{self.get_code_display()} of run {self.run_id}"


class Approval(models.Model):
    """One person's signature in one role, bound to the digests of what was seen; consumed when its gate passes.

    seen: what the evidence's digest was made of (services/evidence.py), so that a lapse can say what has changed.
    gate_code, plan_author, small_team: copies, so that the database itself can hold the rules of four eyes.
    """

    gate = models.ForeignKey(Gate, on_delete=models.CASCADE, related_name="approvals")
    role = models.CharField(max_length=8, choices=Role.choices)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    user_name = models.CharField(max_length=150)  # as text: outlives the account
    state = models.CharField(max_length=12, choices=ApprovalState.choices, default=ApprovalState.VALID)
    reason = models.TextField()
    plan_digest = models.CharField(max_length=64)
    evidence_digest = models.CharField(max_length=64)
    seen = models.JSONField(default=dict, blank=True)
    gate_code = models.CharField(max_length=16, choices=GateCode.choices, blank=True)
    plan_author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    small_team = models.BooleanField(default=False)
    signed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["signed_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["gate", "role"],
                condition=Q(state__in=[ApprovalState.VALID, ApprovalState.CONSUMED]),
                name="one_signature_per_role",
            ),
            models.UniqueConstraint(
                fields=["gate", "user"],
                condition=Q(state__in=[ApprovalState.VALID, ApprovalState.CONSUMED], small_team=False),
                name="one_role_per_person",
            ),
            # In a small team one person may sign QA and ops, but nobody signs the lead's part and another.
            models.UniqueConstraint(
                fields=["gate", "user"],
                condition=Q(state__in=[ApprovalState.VALID, ApprovalState.CONSUMED], role__in=[Role.LEAD, Role.QA]),
                name="lead_and_qa_are_two",
            ),
            models.UniqueConstraint(
                fields=["gate", "user"],
                condition=Q(state__in=[ApprovalState.VALID, ApprovalState.CONSUMED], role__in=[Role.LEAD, Role.OPS]),
                name="lead_and_ops_are_two",
            ),
            models.CheckConstraint(
                condition=~Q(user=models.F("plan_author"))
                | Q(state=ApprovalState.REFUSAL)
                | (~Q(gate_code=GateCode.PLAN) & (Q(small_team=False) | ~Q(role=Role.LEAD))),
                name="author_does_not_approve",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_name} as {self.get_role_display()}: {self.get_state_display()}"


class RollbackRequest(models.Model):
    """The one action back. rows_confirmed is what the person typed; two people agree when rows would leave.

    break_glass: one person decided what two should; a second one countersigns until countersign_by.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting for a second person"
        AGREED = "agreed", "Agreed"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"

    run = models.ForeignKey(MigrationRun, on_delete=models.CASCADE, related_name="rollback_requests")
    requested_by = models.CharField(max_length=150)  # a user's name or cli:<user>
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    requester_role = models.CharField(max_length=8, choices=Role.choices, blank=True)
    agreed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    reason = models.TextField()
    price = models.CharField(max_length=2, choices=Price.choices)
    rows_confirmed = models.BigIntegerField(null=True, blank=True)  # None: unknown (target out of reach)
    state = models.CharField(max_length=8, choices=State.choices)
    created_at = models.DateTimeField()
    agreed_at = models.DateTimeField(null=True, blank=True)
    break_glass = models.BooleanField(default=False)
    countersign_by = models.DateTimeField(null=True, blank=True)
    countersigned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    countersigned_at = models.DateTimeField(null=True, blank=True)
    countersign_note = models.TextField(blank=True)
    # Rows changed since the switch, but every one of them flows back (online): one person may decide.
    lossless = models.BooleanField(default=False)
    reminded_at = models.DateTimeField(null=True, blank=True)  # when everyone was told that it is overdue

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["run"], condition=Q(state__in=["waiting", "agreed"]), name="one_open_rollback_request"
            ),
            models.CheckConstraint(
                condition=Q(agreed_by__isnull=True) | ~Q(agreed_by=models.F("requester")), name="two_people_agree"
            ),
            models.CheckConstraint(
                condition=~Q(price=Price.R3)
                | ~Q(state__in=["agreed", "done"])
                | Q(agreed_by__isnull=False)
                | Q(break_glass=True)
                | Q(lossless=True),
                name="a_loss_takes_two_or_breaks_glass",
            ),
            models.CheckConstraint(
                condition=Q(break_glass=False) | Q(countersign_by__isnull=False), name="broken_glass_is_countersigned"
            ),
            models.CheckConstraint(
                condition=Q(countersigned_by__isnull=True) | ~Q(countersigned_by=models.F("requester")),
                name="another_person_countersigns",
            ),
        ]

    def __str__(self) -> str:
        return f"Rollback of run {self.run_id}, {self.price}"

    @property
    def waits_for_countersignature(self) -> bool:
        return self.break_glass and self.countersigned_at is None


class SignOff(models.Model):
    """The end of a run that stays on PostgreSQL: by which digests, and until when its backups are kept."""

    run = models.OneToOneField(MigrationRun, on_delete=models.CASCADE, related_name="sign_off")
    plan_digest = models.CharField(max_length=64)
    evidence_digest = models.CharField(max_length=64)
    backup_kept_until = models.DateField()
    signed_at = models.DateTimeField()

    class Meta:
        ordering = ["-signed_at"]

    def __str__(self) -> str:
        return f"Sign-off of run {self.run_id}"
