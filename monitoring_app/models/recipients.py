"""People without an account who are told."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from controlplane.registry.models import Application
from monitoring_app.models.alerts import Severity


class Recipient(models.Model):
    """Somebody without an account who hears of alerts. Nothing but one confirming mail goes out before they confirm.

    nonce: part of what signed links say; changing it ends all links that were sent.
    """

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="alert_recipients")
    name = models.CharField(max_length=100, blank=True)
    address = models.EmailField(max_length=254)
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.WARNING)
    digest = models.BooleanField(default=True, help_text="gets the daily verification")
    escalation = models.BooleanField(default=False, help_text="hears of what nobody acknowledged")
    zone = models.CharField(max_length=60, default="UTC")
    nonce = models.CharField(max_length=32)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    unsubscribed_at = models.DateTimeField(null=True, blank=True)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["application", "address"]
        constraints = [models.UniqueConstraint(fields=["application", "address"], name="one_recipient_per_address")]

    def __str__(self) -> str:
        return self.name or self.address
