"""What is watched: one target for each application, with what its watching needs to know."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from controlplane.registry.models import Application
from controlplane.registry.secrets import EncryptedTextField


class Target(models.Model):
    """An application under watch, with its PostgreSQL, its host's volumes, its logs and its endpoints.

    The paths lie under the roots of the operator's file, and the worker of the application's host reads them. What is
    left empty is not measured, and the pages say so.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    application = models.OneToOneField(Application, on_delete=models.CASCADE, related_name="watched")
    enabled = models.BooleanField(default=True)
    monitor_url = EncryptedTextField(
        bind_to="uuid",
        blank=True,
        help_text="A role with pg_monitor on the target's server; empty: the application's own, which sees less.",
    )
    # Names of replicas (application_name of their walreceiver, or their slot) that are expected to be there.
    replicas = models.JSONField(default=list, blank=True)
    # [{"name": "data", "path": "/srv/postgresql"}]; "command": a name of the operator's file where no path is mounted
    volumes = models.JSONField(default=list, blank=True)
    # {"path": "/var/log/yukyu/access.log", "format": "combined"}; formats: common, combined, json
    access_log = models.JSONField(default=dict, blank=True)
    # {"url": "http://127.0.0.1:8010/metrics", "requests": "http_requests_total", "status_label": "status"}
    prometheus = models.JSONField(default=dict, blank=True)
    # {"path": "/var/log/yukyu/app.log"}
    application_log = models.JSONField(default=dict, blank=True)
    # {"process": "web", "path": "/health", "used": "pool.checked_out", "size": "pool.size"}: dotted names in its JSON
    application_pool = models.JSONField(default=dict, blank=True)
    # The SQLite file while it is frozen: what counts of the daily verification are compared with. Empty: none is.
    frozen_copy = models.CharField(max_length=4096, blank=True)
    # What the probes keep between two rounds (counters, offsets in logs), by probe's name; nothing of it is shown.
    memory = models.JSONField(default=dict, blank=True, editable=False)
    # What the last round of each probe saw beyond numbers (top statements, blocked sessions): {"statements": {"at": …}}
    seen = models.JSONField(default=dict, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["application__name"]

    def __str__(self) -> str:
        return self.application.name


class Round(models.Model):
    """The last round of a part of the loop: `server` or `host` of a target, `evaluate` of all. The row is its lock."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, null=True, blank=True, related_name="rounds")
    part = models.CharField(max_length=16)
    began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["target", "part"], name="one_round_per_part"),
            models.UniqueConstraint(fields=["part"], condition=Q(target=None), name="one_round_of_all_per_part"),
        ]

    def __str__(self) -> str:
        return f"{self.part} of {self.target or 'all'}"


class Marker(models.Model):
    """A change that every chart draws: a switch to PostgreSQL, one back, a run's start, a settings change."""

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="markers")
    at = models.DateTimeField()
    kind = models.CharField(max_length=20)  # cut_over, back, run, other
    text = models.CharField(max_length=200)
    about = models.CharField(max_length=60, blank=True, help_text="run:14")

    class Meta:
        ordering = ["at"]
        constraints = [models.UniqueConstraint(fields=["application", "kind", "at"], name="one_marker_per_moment")]

    def __str__(self) -> str:
        return f"{self.text} ({self.application})"
