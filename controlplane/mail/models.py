"""Which mails people want, and the outbox: a row for each mail to one person. The row is the queue."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q


class MailState(models.TextChoices):
    WAITING = "waiting", "Waiting to be sent"
    SENDING = "sending", "Being sent"
    SENT = "sent", "Handed to the mail server"
    FAILED = "failed", "Not delivered"


class OutgoingMailQuerySet(models.QuerySet["OutgoingMail"]):
    def due(self, now: datetime) -> OutgoingMailQuerySet:
        """What may be claimed: waiting and due, or claimed by a worker that fell silent."""
        return self.filter(
            Q(state=MailState.WAITING, next_attempt_at__lte=now) | Q(state=MailState.SENDING, claimed_until__lt=now)
        )


class MailTopic(models.TextChoices):
    """What people can be told about, each with a switch of its own."""

    SIGNATURE = "signature", "Something waits for you"
    GATE = "gate", "A gate was passed or refused"
    HELD = "held", "A run is held"
    FINISHED = "finished", "A run is finished"
    ROLLBACK = "rollback", "A run is rolled back"
    BREAK_GLASS = "break_glass", "One person rolled back alone"
    ALERT = "alert", "An alert burns"
    DIGEST = "digest", "The daily verification"


class MailPreference(models.Model):
    """A person's word on one topic. A missing row means: as the role has it (preferences.py)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mail_preferences")
    topic = models.CharField(max_length=16, choices=MailTopic.choices)
    wanted = models.BooleanField()
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["user", "topic"]
        constraints = [models.UniqueConstraint(fields=["user", "topic"], name="one_mail_preference_per_topic")]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_topic_display()}, {'yes' if self.wanted else 'no'}"


class OutgoingMail(models.Model):
    """A mail, written in the transaction of what it tells about.

    key names the event, recipient the person (`user:7`): together they are unique, so nobody hears of one event twice.
    The body is rendered from `template` and `context` when it is sent; both hold plain facts, never a secret and
    never a cell's value. attempts is also the fence: only the holder of the newest claim may record.
    """

    key = models.CharField(max_length=64)
    recipient = models.CharField(max_length=200)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    to_name = models.CharField(max_length=150, blank=True)
    to_address = models.EmailField(max_length=254, blank=True)
    kind = models.CharField(max_length=40)
    application = models.CharField(max_length=200, blank=True, help_text="name; empty where none is concerned")
    about = models.CharField(max_length=60, blank=True, help_text="run:14, alert:3")
    subject = models.CharField(max_length=200)
    template = models.CharField(max_length=60)
    context = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=MailState.choices, default=MailState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error = models.TextField(blank=True)

    objects = OutgoingMailQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["key", "recipient"], name="one_mail_per_event_and_person")]
        indexes = [
            models.Index(fields=["state", "next_attempt_at"], name="mail_state_due"),
            models.Index(fields=["application", "-id"], name="mail_application"),
            models.Index(fields=["about"], name="mail_about"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} to {self.to_name or self.recipient}"
