"""Which mails a person wants. A missing row means: as the role has it (services/mail_settings.py)."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class MailTopic(models.TextChoices):
    """What people can be told about, each with a switch of its own."""

    SIGNATURE = "signature", "Something waits for you"
    GATE = "gate", "A gate was passed or refused"
    HELD = "held", "A run is held"
    FINISHED = "finished", "A run is finished"
    ROLLBACK = "rollback", "A run is rolled back"
    BREAK_GLASS = "break_glass", "One person rolled back alone"


class MailPreference(models.Model):
    """A person's word on one topic."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mail_preferences")
    topic = models.CharField(max_length=16, choices=MailTopic.choices)
    wanted = models.BooleanField()
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["user", "topic"]
        constraints = [models.UniqueConstraint(fields=["user", "topic"], name="one_preference_per_topic")]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_topic_display()}, {'yes' if self.wanted else 'no'}"
