"""The certificate of a run that is over: what it says, and the very bytes that were issued."""

from __future__ import annotations

from django.db import models

from migrations_app.models.runs import MigrationRun


class Certificate(models.Model):
    """Issued once a production run is signed off or rolled back; once more when a rollback was countersigned after it.

    content: canonical JSON, what both renderings say. The bytes are kept, not made anew: a later version of the
    product may render otherwise, and these are what the trail names by digest.
    """

    run = models.ForeignKey(MigrationRun, on_delete=models.CASCADE, related_name="certificates")
    revision = models.PositiveIntegerField(default=1)
    content = models.TextField()
    html = models.BinaryField()
    pdf = models.BinaryField()
    content_sha256 = models.CharField(max_length=64)
    html_sha256 = models.CharField(max_length=64)
    pdf_sha256 = models.CharField(max_length=64)
    issued_at = models.DateTimeField()

    class Meta:
        ordering = ["run", "-revision"]
        constraints = [models.UniqueConstraint(fields=["run", "revision"], name="one_certificate_per_revision")]

    def __str__(self) -> str:
        return f"Certificate of run {self.run_id}, revision {self.revision}"
