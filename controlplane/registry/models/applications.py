"""What is moved, and who may do what about it: needed by both applications below."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from controlplane.registry.secrets import EncryptedTextField


class SchemaMode(models.TextChoices):
    CREATE = "create", "Causeway creates the tables"
    EXISTING = "existing", "The application creates its own tables"


class Role(models.TextChoices):
    LEAD = "lead", "Team lead"
    QA = "qa", "QA"
    OPS = "ops", "Ops"
    VIEWER = "viewer", "Viewer"


class ApplicationQuerySet(models.QuerySet["Application"]):
    def visible_to(self, user: Any) -> ApplicationQuerySet:
        """Those that the user is a member of; superusers see all (and sign nothing)."""
        if user.is_superuser:
            return self
        return self.filter(memberships__user=user).distinct()


class Application(models.Model):
    """An application that lives on SQLite and shall live on PostgreSQL.

    JSON fields hold descriptions only (names of commands of the operator's file, keys, templates), never a secret
    and never an argv: see migrations_app/applications/description.py for their shape.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.SlugField(max_length=63, unique=True, help_text="Short name; typed in to confirm dangerous actions.")
    title = models.CharField(max_length=200, blank=True)
    host = models.CharField(
        max_length=63,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9.-]*$")],
        help_text="Steps that touch the application go to the queue host.<name>.",
    )
    source_path = models.CharField(max_length=4096, blank=True, help_text="The SQLite file, under an allowed root.")
    busy_timeout_ms = models.PositiveIntegerField(default=5000)
    target_url = EncryptedTextField(
        bind_to="uuid",
        blank=True,
        help_text="postgresql://user:password@host:port/database; stored encrypted, never shown.",
    )
    rehearsal_target_url = EncryptedTextField(
        bind_to="uuid",
        blank=True,
        help_text="A server where rehearsals may create scratch databases; empty: the target's own.",
    )
    target_schema = models.CharField(max_length=63, default="public")
    schema_mode = models.CharField(max_length=16, choices=SchemaMode.choices, default=SchemaMode.CREATE)
    # [{"name": "web", "command": "yukyu-web", "order": 1, "port": 8010, "rehearsal_port": 8110}]
    processes = models.JSONField(default=list, blank=True)
    # How it is stopped and started; {} as {"kind": "process"}: by a supervisor of ours. Else, all of them names of the
    # operator's: {"kind": "systemd", "units": [...]}, {"kind": "command", "start": …, "stop": …, "status": …},
    # {"kind": "manual", "instructions": …}, {"kind": "blue_green", "ports": {process: port}, "upstream": {…}}:
    # see docs/reference/drivers.md
    driver = models.JSONField(default=dict, blank=True)
    # Names of the operator's commands: {"schema": …, "schema_heads": …, "before_stop": …, "after_start": …,
    # "driver": …, "version": …}
    commands = models.JSONField(default=dict, blank=True)
    # {"mechanism": "file", "file": "/srv/yukyu/.env",
    #  "keys": {"DATABASE_TYPE": {"sqlite": "sqlite", "postgresql": "postgresql"}}}
    pointing = models.JSONField(default=dict, blank=True)
    # [{"name": "employees", "process": "web", "path": "/api/employees", "length_equals_table": "employees"}]
    endpoints = models.JSONField(default=list, blank=True)
    # {"process": "web", "path": "/api/health", "field": "database",
    #  "values": {"sqlite": "sqlite", "postgresql": "postgresql"}, "canary": {…}}
    identity = models.JSONField(default=dict, blank=True)
    # {"environment": {"MAIL_ENABLED": "0"}}: overrides that silence outside effects in rehearsals
    rehearsal = models.JSONField(default=dict, blank=True)
    # [{"table": "genzai", "column": "birth_date", "scheme": "aes-256-gcm",
    #   "key_env": "DATABASE_ENCRYPTION_KEY", "pattern": "…"}]
    encrypted_columns = models.JSONField(default=list, blank=True)
    # Addresses that mails and alerts go to, besides the people with a role.
    recipients = models.JSONField(default=list, blank=True)
    # {"days": ["sat", "sun"], "opens": "22:00", "closes": "04:00", "zone": "Asia/Tokyo"}: when changes are allowed
    change_window = models.JSONField(default=dict, blank=True)
    # What a worker on the host saw last: {"source": {"at": …, "host": …, "problem": {…} or None, "facts": {…}}, …}
    seen = models.JSONField(default=dict, blank=True, editable=False)
    # Grows with every change, so that whoever saves an old page is told.
    version = models.PositiveIntegerField(default=0, editable=False)
    # When something that runs follow was last changed: plans and rehearsals from before are outdated. None: never.
    described_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ApplicationQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def host_queue(self) -> str:
        return f"host.{self.host}"


class Membership(models.Model):
    """One role of one person on one application. A person may hold several."""

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["application", "role", "user"]
        constraints = [
            models.UniqueConstraint(fields=["application", "user", "role"], name="one_membership_per_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()} · {self.application}"
