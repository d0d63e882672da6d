"""Issues certificates: makes content and renderings, keeps their bytes, and has the signed trail name their digests."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F, Max, Q

from controlplane.audit.standalone import canonical
from controlplane.audit.trail import record
from migrations_app.models import Certificate, MigrationRun, SignOff
from migrations_app.models.states import RunKind, RunState
from migrations_app.services.certificate.facts import collect, kept_until
from migrations_app.services.certificate.html import render_html
from migrations_app.services.certificate.layout import lay_out
from migrations_app.services.certificate.pdf import render_pdf
from migrations_app.services.evidence import evidence_digest

logger = logging.getLogger("causeway.certificate")


@dataclass(frozen=True)
class Rendered:
    """A certificate's bytes."""

    content: bytes
    html: bytes
    pdf: bytes


def issue_due(*, now: datetime) -> int:
    """Issue what is due, each by itself; how many were issued. Safe beside another one. Part of beat's round."""
    issued = 0
    for run_id in _due():
        try:
            issued += issue_certificate(run_id=run_id, now=now) is not None
        except Exception:  # one run's certificate must not stand in the way of the others'; the next round tries again
            logger.exception("the certificate of run %s could not be issued", run_id)
    return issued


def issue_certificate(*, run_id: int, now: datetime) -> Certificate | None:
    """Issue the certificate of a finished production run, or its next revision; None where none is due."""
    run = _run(run_id)
    if run.pk not in _due(run.pk):
        return None
    rendered = render(run)
    with transaction.atomic():
        MigrationRun.objects.select_for_update().get(pk=run_id)
        if run.pk not in _due(run.pk):
            return None
        last = run.certificates.aggregate(last=Max("revision"))["last"] or 0
        made = Certificate.objects.create(
            run=run,
            revision=last + 1,
            content=rendered.content.decode("ascii"),
            html=rendered.html,
            pdf=rendered.pdf,
            content_sha256=_sha256(rendered.content),
            html_sha256=_sha256(rendered.html),
            pdf_sha256=_sha256(rendered.pdf),
            issued_at=now,
        )
        if run.state == RunState.COMPLETED:
            _sign_off(run, now)
        record(
            action="certificate.issued",
            actor="system",
            obj=made,
            application=run.application.name,
            payload={
                "run": run.pk,
                "revision": made.revision,
                "outcome": run.state,
                "content": made.content_sha256,
                "html": made.html_sha256,
                "pdf": made.pdf_sha256,
            },
            checkpoint=True,
        )
    return made


def render(run: MigrationRun) -> Rendered:
    """The content and both renderings; the same rows give the same bytes."""
    document = collect(run)
    content = canonical(document)
    digest = _sha256(content)
    layout = lay_out(document)
    return Rendered(content, render_html(layout, digest), render_pdf(layout, digest))


def _due(run_id: int | None = None) -> list[int]:
    """Finished production runs without a certificate, or with one from before a countersignature."""
    runs = MigrationRun.objects.filter(
        kind=RunKind.PRODUCTION, state__in=[RunState.COMPLETED, RunState.ROLLED_BACK]
    ).annotate(issued=Max("certificates__issued_at"), countersigned=Max("rollback_requests__countersigned_at"))
    if run_id is not None:
        runs = runs.filter(pk=run_id)
    due = runs.filter(Q(issued__isnull=True) | Q(countersigned__gt=F("issued")))
    return list(due.order_by("pk").values_list("pk", flat=True))


def _sign_off(run: MigrationRun, now: datetime) -> None:
    SignOff.objects.get_or_create(
        run=run,
        defaults={
            "plan_digest": run.plan.digest,
            "evidence_digest": evidence_digest(run),
            "backup_kept_until": kept_until(run),
            "signed_at": run.finished_at or now,
        },
    )


def _run(run_id: int) -> MigrationRun:
    return MigrationRun.objects.select_related("application", "plan__author", "requested_by", "started_by").get(
        pk=run_id
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
