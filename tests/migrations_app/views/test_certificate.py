"""The certificate's page, its downloads, and the bundle as it is sent."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from migrations_app.models import Certificate, MigrationPlan, MigrationRun
from migrations_app.services.certificate.issue import issue_certificate
from tests import factories as make

SignIn = Callable[[User], Client]


@pytest.fixture
def done(plan: MigrationPlan, who: make.People, settings: Any, tmp_path: Path) -> MigrationRun:
    settings.CAUSEWAY_ARTIFACTS_DIR = tmp_path
    make.rehearsed(plan, who.ops)
    run = make.complete(make.run(plan, who.ops))
    make.verified(run)
    return run


@pytest.fixture
def certificate(done: MigrationRun) -> Certificate:
    made = issue_certificate(run_id=done.pk, now=timezone.now())
    assert made is not None
    return made


def test_the_page_says_the_outcome_first_and_names_the_digests(
    as_: SignIn, who: make.People, done: MigrationRun, certificate: Certificate
) -> None:
    said = as_(who.viewer).get(reverse("run_certificate", args=[done.pk])).content.decode()
    assert "Paid leave runs on PostgreSQL" in said
    assert certificate.pdf_sha256 in said and certificate.content_sha256 in said
    assert "Who can export it: team lead (ben, emi)" in said


@pytest.mark.parametrize("form", ["html", "pdf", "json"])
def test_a_download_is_the_very_file_that_the_trail_names(
    as_: SignIn, who: make.People, done: MigrationRun, certificate: Certificate, form: str
) -> None:
    answer = as_(who.viewer).get(reverse("run_certificate_file", args=[done.pk, form]))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="certificate-yukyu-run-{done.pk}.{form}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    event = AuditEvent.objects.get(action="certificate.issued")
    name = {"json": "content"}.get(form, form)
    assert hashlib.sha256(answer.content).hexdigest() == event.payload[name]


def test_the_bundle_comes_as_a_stream_of_a_whole_zip_file(
    as_: SignIn, who: make.People, done: MigrationRun, certificate: Certificate
) -> None:
    answer = as_(who.qa).post(reverse("run_bundle", args=[done.pk]))
    assert answer.streaming and answer.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert archive.testzip() is None and "verify.py" in archive.namelist()


def test_a_viewer_gets_no_bundle_and_the_attempt_stands_in_the_trail(
    as_: SignIn, who: make.People, done: MigrationRun, certificate: Certificate
) -> None:
    answer = as_(who.viewer).post(reverse("run_bundle", args=[done.pk]))
    assert answer.status_code == 403 and "You can&#x27;t export the evidence." in answer.content.decode()
    assert AuditEvent.objects.get(action="permission.refused").payload["tried"] == "export the evidence"


def test_the_bundle_is_not_made_by_a_link(as_: SignIn, who: make.People, done: MigrationRun) -> None:
    assert as_(who.ops).get(reverse("run_bundle", args=[done.pk])).status_code == 405


@pytest.mark.parametrize("name", ["run_certificate_file", "run_bundle"])
def test_strangers_find_nothing(
    as_: SignIn, who: make.People, done: MigrationRun, certificate: Certificate, name: str
) -> None:
    address = reverse(name, args=[done.pk, "pdf"] if name == "run_certificate_file" else [done.pk])
    client = as_(who.stranger)
    assert (client.post(address) if name == "run_bundle" else client.get(address)).status_code == 404


def test_before_the_end_the_page_says_when_it_comes(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client = as_(who.ops)
    assert "No certificate yet" in client.get(reverse("run_certificate", args=[loading.pk])).content.decode()
    assert client.get(reverse("run_certificate_file", args=[loading.pk, "pdf"])).status_code == 404
    answer = client.post(reverse("run_bundle", args=[loading.pk]))
    assert answer.status_code == 409 and "CERTIFICATE_MISSING" in answer.content.decode()


def test_a_form_that_there_is_not_is_not_found(
    as_: SignIn, who: make.People, done: MigrationRun, certificate: Certificate
) -> None:
    assert as_(who.ops).get(reverse("run_certificate_file", args=[done.pk, "exe"])).status_code == 404
