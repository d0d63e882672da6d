"""The daily verification's results."""

from __future__ import annotations

from django.db import models

from monitoring_app.models.targets import Target


class Verification(models.Model):
    """The daily verification of a target: what was looked at, with what result. One a day, kept."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="verifications")
    day = models.DateField()
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=8, default="unknown")  # fine, warning, critical, unknown
    # [{"code": "sequences", "title": …, "outcome": "fine", "said": …, "view": "full"}]
    checks = models.JSONField(default=list)
    digest = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-day"]
        constraints = [models.UniqueConstraint(fields=["target", "day"], name="one_verification_a_day")]

    def __str__(self) -> str:
        return f"{self.target} on {self.day}: {self.outcome}"
