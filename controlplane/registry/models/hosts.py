"""Hosts as their workers describe them, and looks: questions that only a worker on the host can answer.

A page can't see a host's file, and what it reaches over the network is not what that host reaches. So what was typed
is put into a row, the worker of the host looks, and its answer is shown beside the fields.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from controlplane.registry.models.applications import Application
from controlplane.registry.secrets import EncryptedTextField


class Host(models.Model):
    """What a worker last read from its operator's file; names and folders only, never an argv or an environment."""

    name = models.CharField(max_length=63, unique=True)
    roots = models.JSONField(default=list, blank=True)
    hosts = models.JSONField(default=list, blank=True)
    commands = models.JSONField(default=list, blank=True)  # names, sorted
    units = models.JSONField(default=list, blank=True)  # units of systemd that may be stopped and started, sorted
    problem = models.TextField(blank=True)  # why the file could not be read
    seen_at = models.DateTimeField(null=True, blank=True)  # None: no worker has answered yet

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_known(self) -> bool:
        return self.seen_at is not None and not self.problem


class LookKind(models.TextChoices):
    SOURCE = "source", "SQLite file"
    TARGET = "target", "Target"
    REHEARSAL = "rehearsal", "Rehearsals’ server"


class LookState(models.TextChoices):
    ASKED = "asked", "Waiting for the host"
    ANSWERED = "answered", "Answered"
    SAVED = "saved", "Saved"
    DROPPED = "dropped", "Dropped"


class Look(models.Model):
    """One question to a host, and its answer.

    values: what was typed, without any secret; {} asks about what is stored. url: the typed address, kept only until
    it is saved or dropped. answer: {"problem": {"code", "message", "hint", "field"} or None, "facts": {…}}.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="looks")
    kind = models.CharField(max_length=12, choices=LookKind.choices)
    values = models.JSONField(default=dict, blank=True)
    url = EncryptedTextField(bind_to="uuid", blank=True)
    version = models.PositiveIntegerField()  # of the application, when the page was opened
    state = models.CharField(max_length=12, choices=LookState.choices, default=LookState.ASKED)
    answer = models.JSONField(default=dict, blank=True)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.application.name}"
