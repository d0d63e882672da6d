"""Rules, the alerts that they raise, what happened to each, and silences."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from controlplane.registry.models import Application
from monitoring_app.models.samples import Series
from monitoring_app.models.targets import Target


class Severity(models.TextChoices):
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


class NoData(models.TextChoices):
    """What a rule makes of a series that has no value."""

    ALERT = "alert", "An alert of its own"
    KEEP = "keep", "The last state stays"


class AlertRule(models.Model):
    """When a value is trouble. A target has its own copy of each rule, made from the defaults (services/rules.py).

    Fires when every value is over `threshold` for `for_seconds`; resolves when every value is at or under
    `clear_threshold` for `keep_seconds`. below: the other way round. labels: only series that have them.
    minimum_events, minimum_bad: fewer requests or failures than that in the window are no evidence.
    window_seconds: the value is taken over that window (error rate over 5 min); 0: each value by itself.
    """

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="rules")
    code = models.SlugField(max_length=40)
    title = models.CharField(max_length=100)
    metric = models.CharField(max_length=40)
    labels = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)
    why_off = models.CharField(max_length=200, blank=True)
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.WARNING)
    below = models.BooleanField(default=False)
    threshold = models.FloatField()
    clear_threshold = models.FloatField()
    for_seconds = models.PositiveIntegerField(default=60)
    keep_seconds = models.PositiveIntegerField(default=60)
    window_seconds = models.PositiveIntegerField(default=0)
    minimum_events = models.PositiveIntegerField(default=0)
    minimum_bad = models.PositiveIntegerField(default=0)
    no_data = models.CharField(max_length=8, choices=NoData.choices, default=NoData.KEEP)
    no_data_seconds = models.PositiveIntegerField(default=180)
    repeat_seconds = models.PositiveIntegerField(default=1800, help_text="0: it is told once")
    escalate_seconds = models.PositiveIntegerField(default=3600, help_text="0: never")
    first_thing = models.CharField(max_length=300, blank=True, help_text="The first thing to do.")
    runbook_url = models.URLField(max_length=500, blank=True)
    version = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["target", "code"]
        constraints = [models.UniqueConstraint(fields=["target", "code"], name="one_rule_per_code")]

    def __str__(self) -> str:
        return f"{self.title}, {self.target}"


class AlertState(models.TextChoices):
    PENDING = "pending", "Pending"
    FIRING = "firing", "Firing"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    RESOLVED = "resolved", "Resolved"


class AlertKind(models.TextChoices):
    VALUE = "value", "Over its limit"
    NO_DATA = "no_data", "No data"


class Alert(models.Model):
    """One trouble with one series, from its first sign to its end.

    began_at: first value beyond the threshold. fired_at: when it became an alert. cleared_at: since when values have
    been at or under the clear threshold. held_back: another alert (PostgreSQL is down) explains this one, nobody is
    told. told_at, next_telling_at: of mails. Every row of the outbox about it has about = `alert:<pk>`.
    """

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="alerts")
    series = models.ForeignKey(Series, on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=8, choices=AlertKind.choices, default=AlertKind.VALUE)
    state = models.CharField(max_length=12, choices=AlertState.choices, default=AlertState.PENDING)
    began_at = models.DateTimeField()
    fired_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    cleared_at = models.DateTimeField(null=True, blank=True)
    value = models.FloatField(null=True, blank=True)
    peak = models.FloatField(null=True, blank=True)
    threshold = models.FloatField(help_text="as it was when the alert began")
    held_back = models.BooleanField(default=False)
    owner = models.CharField(max_length=200, blank=True, help_text="who has it: a user's name or a recipient's address")
    owner_note = models.CharField(max_length=300, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_until = models.DateTimeField(null=True, blank=True)
    told_at = models.DateTimeField(null=True, blank=True)
    next_telling_at = models.DateTimeField(null=True, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-began_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "series"], condition=~Q(state="resolved"), name="one_open_alert_per_rule_and_series"
            ),
        ]
        indexes = [models.Index(fields=["state", "-began_at"], name="alert_state_began")]

    def __str__(self) -> str:
        return f"{self.rule.title} ({self.state})"


class AlertEvent(models.Model):
    """What happened to an alert: append-only, the database refuses changes (monitoring_app/migrations)."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    what = models.CharField(max_length=20)  # began, fired, told, acknowledged, given_back, expired, escalated, …
    actor = models.CharField(max_length=200, blank=True)
    text = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.what} at {self.at:%Y-%m-%d %H:%M:%S}"


class Silence(models.Model):
    """Mails of an application's alerts, or of one rule, are held back; states go on. A run opens and ends its own."""

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="silences")
    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, null=True, blank=True, related_name="silences")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text="ended before its time")
    reason = models.CharField(max_length=300)
    about = models.CharField(max_length=60, blank=True, help_text="run:14 where a run opened it")
    by = models.CharField(max_length=200)
    announced_at = models.DateTimeField(null=True, blank=True, help_text="when what still fired at its end was told")

    class Meta:
        ordering = ["-starts_at"]

    def __str__(self) -> str:
        return f"{self.rule or self.application} until {self.ends_at:%Y-%m-%d %H:%M}"

    @property
    def over_at(self) -> datetime:
        """Its end: the one that was set, or the one before its time."""
        return self.ended_at or self.ends_at
