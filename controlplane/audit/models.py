"""The trail's two tables. Rows are written by controlplane.audit.trail alone and never change (see guards.py)."""

from collections.abc import Iterable
from typing import Self

from django.db import models

from controlplane.audit.fields import CanonicalJSONField
from controlplane.audit.run_number import run_in_payload


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Reads in keyset pages: OFFSET and count(*) take seconds on a million rows."""

    def of_applications(self, slugs: Iterable[str]) -> Self:
        """Events of these applications; what a member of them may read."""
        return self.filter(application__in=list(slugs))

    def of_run(self, number: int) -> Self:
        """Events whose payload names this run."""
        return self.alias(of_run=run_in_payload()).filter(of_run=number)

    def before(self, sequence: int | None, limit: int) -> Self:
        """The newest `limit` events, or those older than `sequence`: the next page of a list, newest first."""
        older = self if sequence is None else self.filter(sequence__lt=sequence)
        return older.order_by("-sequence")[:limit]

    def after(self, sequence: int, limit: int) -> Self:
        """The `limit` events that follow `sequence`, oldest first."""
        return self.filter(sequence__gt=sequence).order_by("sequence")[:limit]


class AuditEvent(models.Model):
    """One line of the append-only, hash-chained trail.

    Names are kept as text: the trail outlives what it names. docs/reference/audit.md says what is hashed.
    """

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(db_index=True)
    actor = models.CharField(max_length=200)
    role = models.CharField(max_length=50, blank=True)
    action = models.CharField(max_length=60)
    object_type = models.CharField(max_length=100, blank=True)
    object_id = models.CharField(max_length=100, blank=True)
    object = models.CharField(max_length=300, blank=True)
    application = models.CharField(max_length=200, blank=True, help_text="slug; empty where none is concerned")
    payload = CanonicalJSONField()
    salt = models.CharField(max_length=32)
    after_checkpoint = models.BigIntegerField(help_text="number of the last checkpoint at that time")
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = [("export_auditevent", "Can export the audit trail")]
        ordering = ["-sequence"]
        indexes = [
            models.Index(fields=["application", "sequence"], name="audit_event_application"),
            models.Index(fields=["action", "sequence"], name="audit_event_action"),
            models.Index(fields=["actor", "sequence"], name="audit_event_actor"),
            models.Index(fields=["object_type", "object_id", "sequence"], name="audit_event_object"),
            # The column stands in it as well, so that a run's newest events are found without sorting.
            models.Index(run_in_payload(), "sequence", name="audit_event_run"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action} {self.object}".rstrip()


class CheckpointReason(models.TextChoices):
    """Why a checkpoint was signed."""

    GATE = "gate", "A gate was decided"
    COUNT = "count", "Enough events since the last one"
    HOURLY = "hourly", "An hour since the last one"
    MANUAL = "manual", "A person or an export asked for it"


class AuditCheckpoint(models.Model):
    """An Ed25519 signature over the hash of one event, and so over all before it. The key is not in the database."""

    number = models.BigIntegerField(primary_key=True)
    sequence = models.BigIntegerField(unique=True)
    hash = models.CharField(max_length=64)
    signed_at = models.DateTimeField()
    reason = models.CharField(max_length=10, choices=CheckpointReason.choices)
    signature = models.CharField(max_length=128)
    key_fingerprint = models.CharField(max_length=64)

    class Meta:
        default_permissions = ("view",)
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"{self.number} ({self.reason}) through event {self.sequence}"
