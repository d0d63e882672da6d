"""What people decide about items: files as evidence, opening again, waiving; and a checklist of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from migrations_app.models import ChecklistVersion, MigrationRun, ResultFile, TestResult
from migrations_app.services import checklist_files, checklist_overview
from migrations_app.services import checklist_templates as templates
from migrations_app.services.checklist import (
    blocking_items,
    record_result,
    reopen_item,
    waive_item,
)
from migrations_app.services.checklist_file import items_from_document
from migrations_app.services.checklist_items import change_item, create_items, derive_items, stale_items
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from tests import factories as make
from tests.migrations_app.services.conftest import Stage

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


@pytest.fixture(autouse=True)
def artifacts(settings: Any, tmp_path: Path) -> Path:
    settings.CAUSEWAY_ARTIFACTS_DIR = tmp_path
    return tmp_path


@pytest.fixture
def at_qa(stage: Stage) -> MigrationRun:
    """A run at gate 3, nothing recorded."""
    run = make.run(stage.plan, stage.who.ops)
    make.reach(run, "gate_qa", state="pending", run_state="waiting", signers={})
    return run


def record(stage: Stage, run: MigrationRun, code: str = "V02", **more: Any) -> TestResult:
    given = {"outcome": "passed", "note": "compared by eye", **more}
    return record_result(actor=stage.who.qa, item=run.items.get(code=code), **given)


def upload(name: str, content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="application/octet-stream")


# --- Files


def test_file_is_kept_under_its_digest_with_the_type_that_its_content_has(stage: Stage, at_qa: MigrationRun) -> None:
    result = record(stage, at_qa, files=[upload("../../etc/dash\u202eboard.png", PNG)], note="see it")
    row = result.files.get()
    assert (row.name, row.content_type, row.size) == ("dashboard.png", "image/png", len(PNG))
    path = checklist_files.path_of(at_qa, row.sha256)
    assert path.read_bytes() == PNG and path.name == row.sha256
    with checklist_files.open_file(at_qa, row) as file:
        assert file.read() == PNG
    event = AuditEvent.objects.filter(action="result.recorded").latest("sequence")
    assert event.payload["files"] == [row.sha256]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("page.html", b"<script>alert(1)</script>", "FILE_TYPE"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "FILE_TYPE"),
        ("program.exe", b"MZ\x90\0", "FILE_TYPE"),
        ("picture.png", b"%PDF-1.7", "FILE_TYPE"),
        ("picture.png", b"no picture", "FILE_TYPE"),
        ("log.txt", b"a\0b", "FILE_TYPE"),
        ("log.txt", "höh".encode("latin-1"), "FILE_TYPE"),
        ("archive.zip", b"PK\x03\x04", "FILE_TYPE"),
        ("no_ending", b"text", "FILE_TYPE"),
        ("log.txt", b"", "FILE_EMPTY"),
    ],
)
def test_file_of_another_kind_is_refused_and_nothing_recorded(
    stage: Stage, at_qa: MigrationRun, name: str, content: bytes, code: str
) -> None:
    with pytest.raises(ServiceRefused) as refused:
        record(stage, at_qa, files=[upload(name, content)])
    assert refused.value.code == code
    assert not TestResult.objects.exists() and at_qa.items.get(code="V02").state == "open"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jpeg", b"\xff\xd8\xff\xe0\0", "image/jpeg"),
        ("a.webp", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        ("a.pdf", b"%PDF-1.7\n", "application/pdf"),
        ("a.mp4", b"\0\0\0\x20ftypisom", "video/mp4"),
        ("画面.csv", "氏名,日数\n佐藤,3\n".encode(), "text/plain"),
        ("a.log", b"\x1b[31mred\x1b[0m\r\n", "text/plain"),
    ],
)
def test_what_people_have_as_evidence_is_taken(
    stage: Stage, at_qa: MigrationRun, name: str, content: bytes, kind: str
) -> None:
    row = record(stage, at_qa, files=[upload(name, content)]).files.get()
    assert (row.name, row.content_type) == (name, kind)


def test_file_over_the_limit_is_refused(stage: Stage, at_qa: MigrationRun) -> None:
    with pytest.raises(ServiceRefused) as refused:
        record(stage, at_qa, files=[upload("a.txt", b"x" * (checklist_files.MAX_BYTES + 1))])
    assert (refused.value.code, refused.value.status) == ("FILE_TOO_LARGE", 413)
    with pytest.raises(ServiceRefused) as refused:
        record(stage, at_qa, files=[upload(f"{n}.txt", b"x") for n in range(6)])
    assert refused.value.code == "TOO_MANY_FILES"


def test_files_of_a_run_are_bounded_together(
    stage: Stage, at_qa: MigrationRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checklist_files, "MAX_RUN_BYTES", 10)
    record(stage, at_qa, files=[upload("a.txt", b"12345678")])
    with pytest.raises(ServiceRefused) as refused:
        record(stage, at_qa, files=[upload("b.txt", b"1234")])
    assert refused.value.code == "FILES_FULL"


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_file_that_was_changed_on_disk_is_not_given_out(stage: Stage, at_qa: MigrationRun, harm: str) -> None:
    row = record(stage, at_qa, files=[upload("a.png", PNG)]).files.get()
    path = checklist_files.path_of(at_qa, row.sha256)
    path.write_bytes(PNG[:-1] + b"\1") if harm == "changed" else path.unlink()
    with pytest.raises(ServiceRefused) as refused:
        checklist_files.open_file(at_qa, row)
    assert refused.value.code == "FILE_DAMAGED"


def test_full_disk_records_nothing_and_leaves_no_part(stage: Stage, at_qa: MigrationRun, artifacts: Path) -> None:
    class Torn(SimpleUploadedFile):
        def chunks(self, chunk_size: int | None = None) -> Any:
            yield PNG[:8]
            raise OSError(28, "No space left on device")

    with pytest.raises(ServiceRefused) as refused:
        record(stage, at_qa, files=[Torn("a.png", PNG)])
    assert (refused.value.code, refused.value.status) == ("FILE_NOT_KEPT", 507)
    assert not TestResult.objects.exists() and not ResultFile.objects.exists()
    assert [path for path in artifacts.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("note", "more", "fine"),
    [
        ("fine", {}, False),
        ("........", {}, False),
        ("looked", {}, False),
        ("Opens in 0.8 s", {}, True),
        ("問題なし", {}, True),
        ("see it", {"link": "https://example.org/1"}, True),
    ],
)
def test_note_alone_must_say_something(
    stage: Stage, at_qa: MigrationRun, note: str, more: dict[str, str], fine: bool
) -> None:
    if fine:
        assert record(stage, at_qa, note=note, **more).note == note
        return
    with pytest.raises(ServiceRefused) as refused:
        record(stage, at_qa, note=note, **more)
    assert refused.value.code == "NOTE_MISSING"


def test_result_is_bound_to_the_run_its_plan_and_its_files(stage: Stage, at_qa: MigrationRun) -> None:
    first, second = (record(stage, at_qa, files=[upload("a.txt", content)]) for content in (b"one", b"two"))
    assert first.plan_digest == at_qa.plan.digest
    assert len({first.digest, second.digest}) == 2
    assert at_qa.items.get(code="V02").evidence["result_digest"] == second.digest


# --- Open again, waive


def test_qa_opens_an_item_again_and_what_was_recorded_stays(stage: Stage, at_qa: MigrationRun) -> None:
    record(stage, at_qa)
    reopen_item(actor=stage.who.qa, item=at_qa.items.get(code="V02"), reason="The data changed.")
    item = at_qa.items.get(code="V02")
    assert (item.state, item.results.count()) == ("open", 1)
    assert [change.state for change in item.changes.all()] == ["open", "passed"]
    with pytest.raises(ServiceRefused) as refused:
        reopen_item(actor=stage.who.qa, item=item, reason="Once more.")
    assert refused.value.code == "ITEM_IS_OPEN"
    with pytest.raises(Forbidden):
        reopen_item(actor=stage.who.viewer, item=at_qa.items.get(code="V03"), reason="Let me.")


def fail(run: MigrationRun, code: str) -> None:
    item = run.items.get(code=code)
    change_item(item=item, state="failed", evidence={"message": "612 ms"}, by="system", now=timezone.now())


def test_lead_waives_what_failed_and_the_gate_no_longer_waits_for_it(stage: Stage, at_qa: MigrationRun) -> None:
    fail(at_qa, "V08")
    assert "V08" in {item.code for item in blocking_items(at_qa, "qa")}
    waive_item(actor=stage.who.lead, item=at_qa.items.get(code="V08"), reason="The report page is slow by design.")
    assert "V08" not in {item.code for item in blocking_items(at_qa, "qa")}
    event = AuditEvent.objects.filter(action="item.waived").get()
    assert (event.actor, event.payload["item"]) == ("ben", "V08")
    reopen_item(actor=stage.who.lead, item=at_qa.items.get(code="V08"), reason="We can't go on without.")
    assert at_qa.items.get(code="V08").state == "failed"  # what the system had proved holds again


@pytest.mark.parametrize(
    ("person", "code", "says"),
    [
        ("qa", "V08", "waive V08"),
        ("ops", "V08", "waive V08"),
        ("viewer", "V08", "waive V08"),
        ("stranger", "V08", "waive V08"),
        ("boss", "V08", "superuser"),
        ("second_lead", "V08", "You wrote this plan"),
        ("lead", "D10", "may never be waived"),
        ("lead", "V13", "may never be waived"),
        ("lead", "C04", "follows from"),
        ("lead", "V10", "is passed"),
    ],
)
def test_waiver_is_refused(stage: Stage, at_qa: MigrationRun, person: str, code: str, says: str) -> None:
    if code != "V10":
        fail(at_qa, code)
    before = at_qa.items.get(code=code).state
    with pytest.raises(Forbidden) as refused:
        waive_item(actor=stage.person(person), item=at_qa.items.get(code=code), reason="Go on without it, please.")
    assert says in refused.value.message
    assert at_qa.items.get(code=code).state == before
    assert not AuditEvent.objects.filter(action="item.waived").exists()


def test_waiver_ends_when_its_proof_runs_again(stage: Stage, at_qa: MigrationRun) -> None:
    fail(at_qa, "V08")
    waive_item(actor=stage.who.lead, item=at_qa.items.get(code="V08"), reason="The report page is slow by design.")
    step = at_qa.steps.get(name="check_performance")
    stale_items(run=at_qa, step=step, now=step.finished_at)
    assert at_qa.items.get(code="V08").state == "stale"


def test_gates_wait_for_the_mandatory_items_up_to_their_phase(stage: Stage) -> None:
    run = make.run(stage.plan, stage.who.ops)
    codes = {gate: {item.code for item in blocking_items(run, gate)} for gate in ("plan", "go", "qa", "sign_off")}
    assert codes["plan"] == set()
    assert {"P01", "P14"} <= codes["go"] and "D01" not in codes["go"] and "P38" not in codes["go"]
    assert codes["go"] < codes["qa"] < codes["sign_off"]
    assert not {code for code in codes["sign_off"] if code.startswith("B")}


# --- What changed, what the last run had


def test_what_changed_since_one_looked_is_each_persons_own(stage: Stage, at_qa: MigrationRun) -> None:
    run = at_qa
    for person in (stage.who.qa, stage.who.lead):
        checklist_overview.mark_seen(actor=person, run=run)
    record(stage, run)
    fail(run, "V08")

    def changed(person: Any) -> list[tuple[str, str, str]]:
        since = checklist_overview.last_look(run, person)
        found = checklist_overview.changes_since(run, person, since)
        return sorted((change.item.code, change.was, change.item.state) for change in found)

    derive_items(run, run.items.get(code="V08").changed_at)
    assert [line for line in changed(stage.who.qa) if line[0] == "V08"] == [("V08", "passed", "failed")]
    assert ("V02", "open", "passed") in changed(stage.who.lead)
    assert ("V02", "open", "passed") not in changed(stage.who.qa)  # her own
    checklist_overview.mark_seen(actor=stage.who.lead, run=run)
    assert changed(stage.who.lead) == []


def test_item_tells_what_the_last_run_had(stage: Stage) -> None:
    first = make.run(stage.plan, stage.who.ops)
    make.reach(first, "gate_qa", state="pending", run_state="waiting", signers={})
    record(stage, first, note="complete, 41 people")
    MigrationRun.objects.filter(pk=first.pk).update(state="rolled_back")
    second = make.run(stage.plan, stage.who.ops)
    earlier = checklist_overview.earlier(second, list(second.items.all()))
    assert (earlier["V02"].run_id, earlier["V02"].state) == (first.pk, "passed")
    assert earlier["V02"].said == "complete, 41 people" and "V03" not in earlier


# --- A checklist of one's own


def own(stage: Stage) -> ChecklistVersion:
    return templates.copy_template(actor=stage.who.lead, application=stage.application, reason="Pages of our own.")


def edit(stage: Stage, number: int, code: str = "V01", **changes: Any) -> ChecklistVersion:
    return templates.edit_item(
        actor=stage.who.qa,
        application=stage.application,
        number=number,
        code=code,
        changes=changes,
        reason="Ours is another page.",
    )


def test_run_keeps_the_version_that_it_began_with(stage: Stage) -> None:
    shipped = make.run(stage.plan, stage.who.ops)
    version = own(stage)
    before = make.run(stage.plan, stage.who.ops)
    changed = edit(stage, version.number, title="The start page loads")
    after = make.run(stage.plan, stage.who.ops)
    assert shipped.checklist_version.template.application is None
    assert (before.checklist_version, after.checklist_version) == (version, changed)
    titles = [run.items.get(code="V01").title for run in (before, after)]
    assert titles == ["The dashboard loads", "The start page loads"]
    event = AuditEvent.objects.filter(action="checklist.changed").get()
    assert "V01" in event.payload["changes"][0] and event.actor == "chika"


def test_new_version_ships_only_when_the_file_changed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    first = templates.shipped_version()
    assert templates.shipped_version() == first
    shipped = templates.shipped_file()
    changed = type(shipped)(shipped.name, shipped.title, shipped.items[:-1])
    monkeypatch.setattr(templates, "shipped_file", lambda: changed)
    second = templates.shipped_version()
    assert (second.number, second.template) == (first.number + 1, first.template)
    assert len(first.items) == len(second.items) + 1


@pytest.mark.parametrize("person", ["ops", "viewer", "stranger", "boss"])
def test_checklist_is_edited_by_leads_and_qa_alone(stage: Stage, person: str) -> None:
    version = own(stage)
    calls: list[Any] = [
        lambda actor: templates.edit_item(
            actor=actor, application=stage.application, number=1, code="V01", changes={"title": "x"}, reason="why not"
        ),
        lambda actor: templates.add_item(
            actor=actor, application=stage.application, number=1, item={"code": "Q01"}, reason="why not"
        ),
        lambda actor: templates.remove_item(
            actor=actor, application=stage.application, number=1, code="V01", reason="why not"
        ),
        lambda actor: templates.retire_template(actor=actor, application=stage.application, number=1, reason="why not"),
        lambda actor: templates.copy_template(actor=actor, application=stage.application, reason="why not"),
    ]
    for call in calls:
        with pytest.raises(Forbidden):
            call(stage.person(person))
    assert ChecklistVersion.objects.filter(template=version.template).count() == 1


def test_what_data_depends_on_can_neither_be_left_out_nor_made_less(stage: Stage) -> None:
    version = own(stage)
    for change in (
        lambda: edit(stage, version.number, "D10", level="optional"),
        lambda: templates.remove_item(
            actor=stage.who.lead, application=stage.application, number=1, code="D10", reason="too slow"
        ),
    ):
        with pytest.raises(ServiceRefused) as refused:
            change()
        assert refused.value.code == "ITEM_IS_FIXED"
    changed = edit(stage, version.number, "D10", title="Every cell is equal", prover="qa", step="", proof="")
    item = next(item for item in items_from_document(changed.items) if item.code == "D10")
    assert (item.title, item.prover, item.step, item.proof) == (
        "Every cell is equal",
        "system",
        "verify",
        "cells_equal",
    )


def test_second_of_two_editors_is_told(stage: Stage) -> None:
    version = own(stage)
    edit(stage, version.number, title="The start page loads")
    with pytest.raises(Stale):
        edit(stage, version.number, title="The first page loads")


def test_what_follows_from_a_removed_item_follows_from_the_rest(stage: Stage) -> None:
    own(stage)
    for number, code in enumerate(("P20", "C02"), start=1):
        version = templates.remove_item(
            actor=stage.who.lead, application=stage.application, number=number, code=code, reason="no such tests"
        )
    codes = {item.code: item for item in items_from_document(version.items)}
    assert "S04" not in codes  # followed from C02 alone
    assert "P20" not in {part for item in codes.values() for part in item.parts}


def test_added_item_is_asked_for_in_the_next_run(stage: Stage) -> None:
    own(stage)
    item = {"code": "Q01", "phase": "verification", "title": "Overtime is right", "level": "mandatory"}
    templates.add_item(actor=stage.who.qa, application=stage.application, number=1, item=item, reason="Payroll.")
    run = make.run(stage.plan, stage.who.ops)
    added = run.items.get(code="Q01")
    assert (added.prover, added.after, added.level) == ("qa", "check_application", "mandatory")
    assert "Q01" in {item.code for item in blocking_items(run, "qa")}


def test_command_proves_where_the_application_names_it_and_people_where_it_does_not(stage: Stage) -> None:
    run = make.run(stage.plan, stage.who.ops)
    assert run.items.get(code="P18").prover == "qa"
    application = stage.application
    application.commands = {**application.commands, "unit_tests": "yukyu-tests"}
    application.save()
    stage.plan.application = application
    run = make.run(stage.plan, stage.who.ops)
    item = run.items.get(code="P18")
    assert (item.prover, item.command, item.step_name) == ("system", "unit_tests", "own_checks")


def test_endpoint_that_is_not_declared_is_looked_at_by_qa(stage: Stage) -> None:
    run = make.run(stage.plan, stage.who.ops)
    assert run.items.get(code="R09").prover == "system"  # the endpoint employees is declared
    assert (run.items.get(code="R10").prover, run.items.get(code="R10").after) == ("qa", "check_application")


def test_items_are_made_once_a_run(stage: Stage) -> None:
    run = make.run(stage.plan, stage.who.ops)
    assert run.items.count() == len(templates.shipped_file().items)
    with pytest.raises(Exception, match=r"(?i)unique"):
        create_items(run)


def test_name_of_a_file_keeps_its_ending_and_loses_its_folders() -> None:
    assert checklist_files.clean_name("C:\\temp\\a b.png") == "a b.png"
    assert checklist_files.clean_name("...") == "file"
    assert len(checklist_files.clean_name("x" * 300 + ".png")) == 120


def test_command_that_nobody_can_name_is_refused(stage: Stage) -> None:
    own(stage)
    item = {"code": "Q01", "phase": "prepare", "title": "Lint", "command": "rm_rf"}
    with pytest.raises(ServiceRefused) as refused:
        templates.add_item(actor=stage.who.qa, application=stage.application, number=1, item=item, reason="Try it.")
    assert refused.value.code == "BAD_CHECKLIST"
    templates.add_item(
        actor=stage.who.qa,
        application=stage.application,
        number=1,
        item={**item, "command": "own_check"},
        reason="Ours.",
    )
    application = stage.application
    application.commands = {"own_check": "yukyu-lint"}
    application.save()
    stage.plan.application = application
    added = make.run(stage.plan, stage.who.ops).items.get(code="Q01")
    assert (added.prover, added.step_name, added.command) == ("system", "own_checks", "own_check")
