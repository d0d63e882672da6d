"""The checklist: templates with their versions, a run's items and what changed them, what people recorded, files."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from controlplane.registry.models import Application, Role
from migrations_app.models.runs import MigrationRun
from migrations_app.models.states import ItemState, Phase


class Prover(models.TextChoices):
    """Who proves an item. What the system proves nobody can tick."""

    SYSTEM = "system", "System"
    QA = "qa", "QA"
    OPS = "ops", "Ops"


class Level(models.TextChoices):
    """Whether a gate waits for an item."""

    MANDATORY = "mandatory", "Mandatory"
    RECOMMENDED = "recommended", "Recommended"
    OPTIONAL = "optional", "Optional"


class ChecklistTemplate(models.Model):
    """A checklist that runs begin with: one that ships with the product, or an application's own copy of one."""

    name = models.SlugField(max_length=63)
    title = models.CharField(max_length=200)
    application = models.ForeignKey(
        Application, on_delete=models.CASCADE, related_name="checklist_templates", null=True, blank=True
    )  # None: it ships with the product, and nobody edits it
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["application"],
                condition=Q(retired_at__isnull=True, application__isnull=False),
                name="one_checklist_in_use",
            ),
            models.UniqueConstraint(
                fields=["name"], condition=Q(application__isnull=True), name="one_shipped_checklist_per_name"
            ),
        ]

    def __str__(self) -> str:
        return self.title


class ChecklistVersion(models.Model):
    """What a template said at one time; never changed. `items` is as services/checklist_file.py reads it."""

    template = models.ForeignKey(ChecklistTemplate, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    items = models.JSONField()
    digest = models.CharField(max_length=64)  # SHA-256 of the items' canonical JSON
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    author_name = models.CharField(max_length=150)  # as text: outlives the account
    note = models.TextField()  # what this version changed, and why
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["template", "number"]
        constraints = [models.UniqueConstraint(fields=["template", "number"], name="one_checklist_version_per_number")]

    def __str__(self) -> str:
        return f"{self.template.title}, version {self.number}"


class ChecklistItem(models.Model):
    """A criterion of the runbook. What the system proves nobody can tick; no data is inconclusive, never passed.

    step_name: the step whose evidence proves it (the system's). after: the step that voids what people recorded before.
    proof: what is looked for in the step's evidence; '' where the step's own outcome says it. subject: for which
    endpoint, key, step or gate. parts: codes of the items that this one follows from.
    evidence: the newest proof or result, {"digest", "message", …}; the older ones are in `changes`.
    """

    run = models.ForeignKey(MigrationRun, on_delete=models.CASCADE, related_name="items")
    code = models.CharField(max_length=32)
    phase = models.CharField(max_length=16, choices=Phase.choices)
    section = models.CharField(max_length=80, blank=True)
    title = models.CharField(max_length=200)
    criterion = models.TextField(blank=True)
    prover = models.CharField(max_length=8, choices=Prover.choices)
    level = models.CharField(max_length=12, choices=Level.choices, default=Level.MANDATORY)
    owner = models.CharField(max_length=32, blank=True)
    planned_minutes = models.PositiveIntegerField(null=True, blank=True)
    step_name = models.CharField(max_length=48, blank=True)
    after = models.CharField(max_length=48, blank=True)
    proof = models.CharField(max_length=32, blank=True)
    subject = models.CharField(max_length=63, blank=True)
    command = models.CharField(max_length=63, blank=True)  # purpose, as in Application.commands
    parts = models.JSONField(default=list, blank=True)
    waivable = models.BooleanField(default=True)
    position = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=ItemState.choices, default=ItemState.OPEN)
    evidence = models.JSONField(default=dict, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["run", "position"]
        constraints = [models.UniqueConstraint(fields=["run", "code"], name="one_item_per_code")]

    def __str__(self) -> str:
        return f"{self.code} {self.title}"


class ItemChange(models.Model):
    """One change of an item's state, with what made it: a proof of the system's, a result, a waiver. Appended only."""

    item = models.ForeignKey(ChecklistItem, on_delete=models.CASCADE, related_name="changes")
    at = models.DateTimeField()
    was = models.CharField(max_length=16, choices=ItemState.choices)
    state = models.CharField(max_length=16, choices=ItemState.choices)
    by = models.CharField(max_length=150)  # a user's name, or system
    said = models.TextField(blank=True)
    evidence = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["item", "-at"], name="item_changes_newest")]

    def __str__(self) -> str:
        return f"{self.item.code}: {self.get_state_display()}"


class TestResult(models.Model):
    """What a person recorded for an item, with a file, a link or a real note as evidence. Appended, never edited.

    digest: SHA-256 over the run, the plan's digest, the item, who, when, what, and the digests of the files.
    """

    __test__ = False  # not a test class, whatever its name looks like

    item = models.ForeignKey(ChecklistItem, on_delete=models.CASCADE, related_name="results")
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=8, choices=Role.choices, blank=True)
    outcome = models.CharField(max_length=16, choices=ItemState.choices)
    note = models.TextField()
    link = models.URLField(blank=True)
    plan_digest = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        ordering = ["-recorded_at"]

    def __str__(self) -> str:
        return f"{self.item.code}: {self.get_outcome_display()}"


class ResultFile(models.Model):
    """A file that a person gave as evidence. Kept under its digest, outside of what the web serves."""

    result = models.ForeignKey(TestResult, on_delete=models.CASCADE, related_name="files")
    name = models.CharField(max_length=120)  # as the person called it, without folders and control characters
    content_type = models.CharField(max_length=40)  # by its content
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:8]}"


class ChecklistVisit(models.Model):
    """Until when a person has seen a run's checklist: what changed after that is shown first."""

    run = models.ForeignKey(MigrationRun, on_delete=models.CASCADE, related_name="checklist_visits")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["run", "user"]
        constraints = [models.UniqueConstraint(fields=["run", "user"], name="one_checklist_visit")]

    def __str__(self) -> str:
        return f"{self.user} saw the checklist of run {self.run_id}"
