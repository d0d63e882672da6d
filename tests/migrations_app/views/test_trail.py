"""The audit page: one's own applications, in pages, verified now, exported by who may."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse

from controlplane.audit import guards
from controlplane.audit.models import AuditEvent
from migrations_app.models import MigrationRun
from tests import factories as make

SignIn = Callable[[User], Client]


def _text(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def test_members_read_the_events_of_their_applications_alone(
    as_: SignIn, who: make.People, loading: MigrationRun
) -> None:
    other = make.application("zaiko")
    make.member(other, who.stranger, "ops")
    make.event("run.held", "system", make.run(make.plan(other, who.stranger), who.stranger), reason="of the others")
    make.event("run.held", "system", loading, reason="of ours")
    assert "of ours" in _text(as_(who.viewer), "/audit/")
    assert "of the others" not in _text(as_(who.viewer), "/audit/")
    assert "of the others" in _text(as_(who.stranger), "/audit/")
    assert "of ours" not in _text(as_(who.stranger), "/audit/?application=yukyu")


def test_a_runs_page_shows_its_own_events_and_no_neighbours(
    as_: SignIn, who: make.People, loading: MigrationRun
) -> None:
    make.event("run.held", "system", loading, reason="the first")
    for number in range(12):
        make.event("run.resumed", "system", loading, reason=f"more {number}")
    # 2 and 20: the one number begins like the other.
    make.event("run.held", "system", loading, reason="of the neighbour", run=loading.pk * 10)
    text = _text(as_(who.viewer), reverse("run_audit", args=[loading.pk]))
    assert "the first" in text and "of the neighbour" not in text


def test_the_filter_narrows_and_pages_follow(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    for number in range(60):
        make.event("run.held", "system", loading, reason=f"number {number:02}")
    client = as_(who.viewer)
    first = _text(client, "/audit/?family=run&actor=system")
    assert "number 59" in first and "number 10" in first and "number 09" not in first
    assert "run.created" not in first
    older = first.split("before=")[1].split('"')[0]
    assert "number 09" in _text(client, f"/audit/?family=run&actor=system&before={older}")


def test_nonsense_in_the_address_is_ignored(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client = as_(who.viewer)
    for query in (
        "before=x",
        "before=99999999999999999999999",
        "family=nonsense",
        "application=%00",
        "actor=" + "x" * 999,
    ):
        assert client.get(f"/audit/?{query}").status_code == 200, query


def test_verifying_says_that_the_trail_is_intact_and_is_an_event_itself(
    as_: SignIn, who: make.People, loading: MigrationRun
) -> None:
    answer = as_(who.viewer).post(reverse("audit_verify"))
    assert "The trail is intact" in answer.content.decode()
    assert AuditEvent.objects.filter(action="audit.verified", actor="dora").exists()


def test_verifying_finds_an_event_that_was_altered(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    guards.remove(connection)
    AuditEvent.objects.filter(sequence=1).update(actor="nobody")
    guards.install(connection)
    text = as_(who.viewer).post(reverse("audit_verify")).content.decode()
    assert "The trail is broken" in text and "First at event 1" in text


@pytest.fixture
def exporter(who: make.People) -> User:
    who.qa.user_permissions.add(Permission.objects.get(codename="export_auditevent"))
    return who.qa


def test_exporting_needs_the_permission(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    answer = as_(who.ops).post(reverse("audit_export"), {"application": "yukyu"})
    assert answer.status_code == 403
    assert not AuditEvent.objects.filter(action="audit.exported").exists()


def test_an_export_is_a_zip_of_one_application(as_: SignIn, exporter: User, loading: MigrationRun) -> None:
    answer = as_(exporter).post(reverse("audit_export"), {"application": "yukyu"})
    assert answer.status_code == 200
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))  # type: ignore[attr-defined]
    assert archive.testzip() is None and len(archive.namelist()) == 3


@pytest.mark.parametrize("name", ["", "zaiko", "../../etc"])
def test_an_export_of_others_or_of_all_is_refused(
    as_: SignIn, exporter: User, loading: MigrationRun, name: str
) -> None:
    assert as_(exporter).post(reverse("audit_export"), {"application": name}).status_code == 400
