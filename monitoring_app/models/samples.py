"""Numbers over time: a series for each metric and set of labels, its samples rolled up as they age."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from monitoring_app.models.targets import Target


class Resolution(models.IntegerChoices):
    """Seconds that a sample stands for."""

    RAW = 0, "as measured"
    FIVE_MINUTES = 300, "5 minutes"
    HOUR = 3600, "1 hour"
    DAY = 86400, "1 day"


class Series(models.Model):
    """One metric of one target with one set of labels, and what the last round saw of it.

    labels_key: the labels as text, sorted, `volume=archive`: what the database can hold unique.
    last_at, last_value: the newest value there was. checked_at: when a probe last looked, with or without a value;
    view and note say how much of the truth it saw then (note: why there is no value, or what is missing in it).
    judged_until: the newest sample that rules have judged. expected_from: since when a value is missing where there
    is none (its making; when the monitor itself came back after a silence of its own).
    """

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="series")
    metric = models.CharField(max_length=40)
    labels = models.JSONField(default=dict, blank=True)
    labels_key = models.CharField(max_length=300, blank=True)
    last_at = models.DateTimeField(null=True, blank=True)
    last_value = models.FloatField(null=True, blank=True)
    last_count = models.BigIntegerField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    view = models.CharField(max_length=8, default="unknown")
    note = models.CharField(max_length=300, blank=True)
    judged_until = models.DateTimeField(null=True, blank=True)
    expected_from = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["target", "metric", "labels_key"]
        verbose_name_plural = "series"
        constraints = [
            models.UniqueConstraint(fields=["target", "metric", "labels_key"], name="one_series_per_labels"),
        ]

    def __str__(self) -> str:
        return f"{self.metric}{{{self.labels_key}}} of {self.target}"


class Sample(models.Model):
    """n values of a series from `at` on, for `resolution` seconds; a raw sample has n = 1 and three equal values.

    events: of how many events (requests) the values are made, where that means something.
    """

    id = models.BigAutoField(primary_key=True)
    # Its index would be the begin of the constraint's: a third of what a sample costs to write and to delete.
    series = models.ForeignKey(Series, on_delete=models.CASCADE, related_name="samples", db_index=False)
    resolution = models.IntegerField(choices=Resolution.choices, default=Resolution.RAW)
    at = models.DateTimeField()
    minimum = models.FloatField()
    average = models.FloatField()
    maximum = models.FloatField()
    n = models.PositiveIntegerField(default=1)
    events = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "resolution", "at"], name="one_sample_per_moment"),
        ]

    def __str__(self) -> str:
        return f"{self.series_id} at {self.at:%Y-%m-%d %H:%M:%S}: {self.average:g}"
