"""The checklist's pages: files in and out, what is told to whom, and the checklist of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import AuditEvent
from controlplane.uploads import MAX_FILE_BYTES
from migrations_app.models import ChecklistVersion, MigrationRun, ResultFile, TestResult
from migrations_app.models.states import RunState
from migrations_app.services import checklist_templates as templates
from migrations_app.services.checklist_files import path_of
from tests import factories as make

SignIn = Callable[[User], Client]
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


@pytest.fixture(autouse=True)
def artifacts(settings: Any, tmp_path: Path) -> Path:
    settings.CAUSEWAY_ARTIFACTS_DIR = tmp_path
    return tmp_path


@pytest.fixture
def run(loading: MigrationRun, who: make.People) -> MigrationRun:
    make.reach(loading, "gate_qa", run_state=RunState.WAITING)
    return MigrationRun.objects.get(pk=loading.pk)


def send(client: Client, run: MigrationRun, code: str = "V01", **more: Any) -> Any:
    sent = {"outcome": "passed", "note": "Opens in a second.", "link": "", **more}
    return client.post(reverse("run_result", args=[run.pk, code]), sent)


def png(name: str = "dashboard.png", content: bytes = PNG) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="text/html")


def test_file_comes_back_as_a_download_that_no_browser_runs(as_: SignIn, who: make.People, run: MigrationRun) -> None:
    assert send(as_(who.qa), run, files=[png(), png("second.png", PNG + b"\1")]).status_code == 302
    row = ResultFile.objects.order_by("pk").first()
    assert row is not None and ResultFile.objects.count() == 2
    answer = as_(who.viewer).get(reverse("run_file", args=[run.pk, row.pk]))
    assert b"".join(answer.streaming_content) == PNG
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="dashboard.png"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "no-store" in answer.headers["Cache-Control"]
    page = as_(who.viewer).get(reverse("run_evidence", args=[run.pk])).content.decode()
    assert "dashboard.png" in page and row.sha256 in page


def test_file_is_not_there_for_others_nor_under_another_run(as_: SignIn, who: make.People, run: MigrationRun) -> None:
    send(as_(who.qa), run, files=[png()])
    row = ResultFile.objects.get()
    assert as_(who.stranger).get(reverse("run_file", args=[run.pk, row.pk])).status_code == 404
    other = make.run(run.plan, who.ops, kind="rehearsal")
    assert as_(who.qa).get(reverse("run_file", args=[other.pk, row.pk])).status_code == 404
    answer = Client().get(reverse("run_file", args=[run.pk, row.pk]))
    assert answer.status_code == 302 and "/sign-in/" in answer.headers["Location"]


def test_file_that_was_changed_on_disk_is_told_and_not_given(as_: SignIn, who: make.People, run: MigrationRun) -> None:
    send(as_(who.qa), run, files=[png()])
    row = ResultFile.objects.get()
    path_of(run, row.sha256).write_bytes(b"something else")
    answer = as_(who.qa).get(reverse("run_file", args=[run.pk, row.pk]))
    assert answer.status_code == 410
    assert "FILE_DAMAGED" in answer.content.decode() and "something else" not in answer.content.decode()


def test_wrong_file_is_said_beside_its_field_and_nothing_typed_is_lost(
    as_: SignIn, who: make.People, run: MigrationRun
) -> None:
    answer = send(as_(who.qa), run, files=[png("page.html", b"<script>alert(1)</script>")], note="See the page.")
    text = answer.content.decode()
    assert answer.status_code == 415
    assert 'id="id_files-error"' in text and "See the page." in text
    assert not TestResult.objects.exists()


def test_upload_without_an_end_is_cut_where_the_limit_is(as_: SignIn, who: make.People, run: MigrationRun) -> None:
    answer = send(as_(who.qa), run, files=[png("huge.txt", b"x" * (MAX_FILE_BYTES + 100_000))])
    assert answer.status_code == 413
    assert "huge.txt is over 10 MB" in answer.content.decode()
    assert not TestResult.objects.exists()


def test_failed_item_stands_first_and_blocks_the_gate(as_: SignIn, who: make.People, run: MigrationRun) -> None:
    send(as_(who.qa), run, outcome="failed", note="The page is empty.", code="V03")
    text = as_(who.qa).get(reverse("run_checklist", args=[run.pk])).content.decode()
    yours = text[text.index('id="p-yours"') :]
    assert yours.index("V03") < yours.index("V01")
    assert "One failed," in text and "Gate 3" in text
    sign = as_(who.qa).get(reverse("run_sign", args=[run.pk, "qa"])).content.decode()
    assert "V03" in sign and "is failed" in sign


def test_what_changed_is_shown_until_it_is_seen(as_: SignIn, who: make.People, run: MigrationRun) -> None:
    lead = as_(who.lead)
    address = reverse("run_checklist", args=[run.pk])
    assert "Changed since you last looked" not in lead.get(address).content.decode()
    lead.post(reverse("run_checklist_seen", args=[run.pk]))
    send(as_(who.qa), run)
    text = as_(who.lead).get(address).content.decode()
    assert "Changed since you last looked" in text and "was open" in text
    lead = as_(who.lead)
    lead.post(reverse("run_checklist_seen", args=[run.pk]), {"at": "nonsense"})
    assert "Changed since you last looked" not in lead.get(address).content.decode()


def test_lead_waives_and_others_are_told_who_can(as_: SignIn, who: make.People, run: MigrationRun) -> None:
    send(as_(who.qa), run, outcome="failed", note="The page is empty.", code="V03")
    address = reverse("run_result", args=[run.pk, "V03"])
    assert "team lead (ben, emi)" in as_(who.qa).get(address).content.decode()
    refused = as_(who.qa).post(address, {"do": "waive", "reason": "Nobody uses that page."})
    assert refused.status_code == 403
    assert AuditEvent.objects.filter(action="permission.refused").count() == 1
    assert as_(who.lead).post(address, {"do": "waive", "reason": ""}).status_code == 400
    as_(who.lead).post(address, {"do": "waive", "reason": "Nobody uses that page any more."})
    assert run.items.get(code="V03").state == "waived"
    text = as_(who.viewer).get(reverse("run_checklist", args=[run.pk])).content.decode()
    assert "Waived by ben: Nobody uses that page any more." in text
    as_(who.lead).post(address, {"do": "reopen", "reason": "It is used after all."})
    assert run.items.get(code="V03").state == "open"


def test_system_item_shows_its_proof_and_takes_no_result(as_: SignIn, who: make.People, run: MigrationRun) -> None:
    client = as_(who.qa)
    text = client.get(reverse("run_result", args=[run.pk, "D10"])).content.decode()
    assert "nobody can tick it" in text and 'name="outcome"' not in text
    assert send(client, run, code="D10").status_code == 409
    assert run.items.get(code="D10").results.count() == 0


def test_checklist_is_copied_changed_and_given_up_on_its_page(as_: SignIn, who: make.People, run: MigrationRun) -> None:
    lead = as_(who.lead)
    address = reverse("checklist_template", args=["yukyu"])
    assert lead.post(address, {"do": "copy", "reason": "", "number": 1}).status_code == 400
    lead.post(address, {"do": "copy", "reason": "Pages of our own.", "number": 1})
    new = {
        "code": "Q01",
        "phase": "verification",
        "section": "Ours",
        "title": "Overtime is right",
        "level": "mandatory",
        "prover": "qa",
        "owner": "qa",
        "reason": "Payroll reads it.",
        "number": 1,
    }
    item = reverse("checklist_template_item", args=["yukyu", "new"])
    assert lead.post(item, {**new, "code": "q1"}).status_code == 400
    assert lead.post(item, {**new, "code": "V01"}).status_code == 400  # there is one already
    assert lead.post(item, new).status_code == 302
    assert lead.post(item, {**new, "code": "Q02"}).status_code == 409  # shown an older version
    text = lead.get(address).content.decode()
    assert "Overtime is right" in text and "is added, mandatory" in text and "version 2" in text
    fixed = reverse("checklist_template_item", args=["yukyu", "D10"])
    assert "Leave it out" not in lead.get(fixed).content.decode()
    assert lead.post(fixed, {"do": "remove", "reason": "Too slow.", "number": 2}).status_code == 409
    lead.post(address, {"do": "retire", "reason": "Not needed.", "number": 2})
    assert templates.version_for(run.application).template.application is None


def test_checklist_is_read_by_all_and_changed_by_leads_and_qa(as_: SignIn, who: make.People, run: MigrationRun) -> None:
    address = reverse("checklist_template", args=["yukyu"])
    for person in (who.ops, who.viewer, who.boss):
        client = as_(person)
        assert client.get(address).status_code == 200
        assert client.post(address, {"do": "copy", "reason": "Mine now.", "number": 1}).status_code == 403
    assert as_(who.stranger).get(address).status_code == 404
    assert not ChecklistVersion.objects.filter(template__application__isnull=False).exists()


def test_pages_ask_no_more_where_there_is_more(
    as_: SignIn, who: make.People, run: MigrationRun, django_assert_max_num_queries: Any
) -> None:
    client = as_(who.qa)
    addresses = [reverse("run_checklist", args=[run.pk]), reverse("run_evidence", args=[run.pk])]
    for address in addresses:
        client.get(address)
    for code in ("V01", "V02", "V03"):
        send(client, run, code=code, files=[png(), png("b.png", PNG + b"\2")])
    for address, most in zip(addresses, (26, 22), strict=True):
        client.get(address)
        with django_assert_max_num_queries(most):
            client.get(address)
