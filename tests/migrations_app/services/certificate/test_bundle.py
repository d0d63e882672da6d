"""The evidence bundle in an auditor's hands: it holds without us, and whatever is changed in it is found."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.audit.standalone import canonical, contents_digest, event_hash
from migrations_app.models import Approval, Certificate, MigrationRun, RunStep
from migrations_app.services.certificate.bundle import make_bundle
from migrations_app.services.certificate.issue import issue_certificate
from migrations_app.services.checklist_files import path_of
from migrations_app.services.errors import Forbidden, ServiceRefused
from tests.migrations_app.services.certificate.conftest import SCREENSHOT, Verify, save_bundle
from tests.migrations_app.services.conftest import Stage


@pytest.fixture
def unpacked(bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    return folder


def test_a_bundle_holds_without_our_database_and_packages(bundle: Path, verify: Verify, over: MigrationRun) -> None:
    said = verify(bundle)
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"files of run {over.pk} of yukyu, certificate and evidence." in said.stdout
    assert "signed through" in said.stdout and "--expect" in said.stdout


def test_the_verifier_in_the_bundle_is_the_same_and_checks_the_unpacked_folder(
    unpacked: Path, public_key: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-I", "-S", str(unpacked / "verify.py"), str(unpacked), "--public-key", str(public_key)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, env={}, cwd=tmp_path, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def test_it_is_packed_in_one_order_with_the_certificate_first_and_no_time_of_its_own(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        entries = archive.infolist()
        assert archive.testzip() is None
    names = [entry.filename for entry in entries]
    assert names[:6] == [
        "README.txt",
        "verify.py",
        "certificate/certificate.html",
        "certificate/certificate.pdf",
        "certificate/certificate.json",
        "plan.json",
    ]
    assert names[-4:] == ["audit/checkpoints.jsonl", "audit/events.jsonl", "audit/manifest.json", "manifest.json"]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert f"attachments/{hashlib.sha256(SCREENSHOT).hexdigest()}" in names
    evidence = [name for name in names if name.startswith("evidence/")]
    assert evidence == sorted(evidence) and len(evidence) > 15


def test_two_bundles_of_a_run_differ_in_the_trail_alone(
    over: MigrationRun, certificate: Certificate, stage: Stage, tmp_path: Path
) -> None:
    contents = []
    for name in ("one.zip", "two.zip"):
        with zipfile.ZipFile(save_bundle(stage.who.ops, over, tmp_path / name)) as archive:
            contents.append({entry: archive.read(entry) for entry in archive.namelist()})
    different = {name for name in contents[0] if contents[0][name] != contents[1][name]}
    assert contents[0].keys() == contents[1].keys()
    assert different == {"audit/checkpoints.jsonl", "audit/events.jsonl", "audit/manifest.json", "manifest.json"}


def test_that_it_was_made_and_what_was_in_it_stands_in_the_trail(bundle: Path, over: MigrationRun) -> None:
    event = AuditEvent.objects.get(action="certificate.bundled")
    with zipfile.ZipFile(bundle) as archive:
        files = json.loads(archive.read("manifest.json"))["files"]
    assert event.payload["contents"] == contents_digest(files)
    assert event.actor == "佐藤花子" and event.application == "yukyu"


def test_nothing_of_the_applications_data_and_no_secret_is_in_it(bundle: Path, over: MigrationRun) -> None:
    with zipfile.ZipFile(bundle) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist() if name != "verify.py")
    assert b"secret-word" not in everything  # the target's password
    assert b"PRIVATE KEY" not in everything


# --- Tampering --------------------------------------------------------------------------------------------------


def test_a_changed_byte_anywhere_is_found(unpacked: Path, verify: Verify) -> None:
    chance = random.Random(20)
    files = sorted(path for path in unpacked.rglob("*") if path.is_file())
    for path in files:
        before = path.read_bytes()
        changed = bytearray(before)
        place = chance.randrange(len(changed))
        changed[place] ^= 1 << chance.randrange(7)
        path.write_bytes(bytes(changed))
        said = verify(unpacked)
        path.write_bytes(before)
        assert said.returncode in (1, 2), f"{path.name}, byte {place}: {said.stdout}"
        assert "BROKEN" in said.stdout or "REFUSED" in said.stderr
    assert verify(unpacked).returncode == 0


def contents_of(path: Path) -> dict[str, bytes] | None:
    """None where it can't be read whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError):
        return None


def test_a_changed_byte_of_the_zip_file_is_found(bundle: Path, verify: Verify, tmp_path: Path) -> None:
    chance = random.Random(21)
    before = bundle.read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        starts = [entry.header_offset + 30 + len(entry.filename.encode()) for entry in archive.infolist()]
        sizes = [entry.compress_size for entry in archive.infolist()]
    for start, size in list(zip(starts, sizes, strict=True))[:: max(1, len(starts) // 8)]:
        changed = bytearray(before)
        changed[start + chance.randrange(size)] ^= 1 << chance.randrange(8)
        copy = tmp_path / "changed.zip"
        copy.write_bytes(bytes(changed))
        # Packed data ends in bits that mean nothing: then nothing that can be read has changed.
        assert contents_of(copy) == contents_of(bundle) or verify(copy).returncode in (1, 2)


@pytest.mark.parametrize(
    "name",
    ["README.txt", "plan.json", "certificate/certificate.pdf", "certificate/certificate.json", "audit/events.jsonl"],
)
def test_a_missing_file_is_found(unpacked: Path, verify: Verify, name: str) -> None:
    (unpacked / name).unlink()
    said = verify(unpacked)
    assert said.returncode in (1, 2) and name in said.stdout + said.stderr


def test_missing_evidence_and_missing_attachments_are_named(unpacked: Path, verify: Verify) -> None:
    for folder in ("evidence", "attachments"):
        victim = sorted((unpacked / folder).iterdir())[0]
        content = victim.read_bytes()
        victim.unlink()
        said = verify(unpacked)
        assert said.returncode == 1 and f"BROKEN in {folder}/{victim.name} (file_missing)" in said.stdout
        victim.write_bytes(content)


@pytest.mark.parametrize("name", ["note.txt", "evidence/99-more.json", "audit/more.jsonl", ".hidden"])
def test_an_added_file_is_found(unpacked: Path, verify: Verify, name: str) -> None:
    (unpacked / name).write_text("{}")
    said = verify(unpacked)
    assert said.returncode == 1 and f"BROKEN in {name} (file_added)" in said.stdout


def test_a_second_file_of_the_same_name_is_found(bundle: Path, verify: Verify) -> None:
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("README.txt", "read me instead")
    said = verify(bundle)
    assert said.returncode == 1 and "(file_twice)" in said.stdout


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A manifest that fits what lies there now, as a careful forger would make it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    for name in manifest["files"]:
        if (folder / name).exists():
            manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def forge_events(folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Changed events, each with a hash that fits, and manifests that fit."""
    path = folder / "audit" / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    change(events)
    path.write_bytes(b"".join(canonical(event) + b"\n" for event in events))
    inner = json.loads((folder / "audit" / "manifest.json").read_text())
    inner["files"]["events.jsonl"] = hashlib.sha256(path.read_bytes()).hexdigest()
    inner["head"], inner["events"] = events[-1]["hash"], len(events)
    (folder / "audit" / "manifest.json").write_text(json.dumps(inner))
    rewrite(folder, lambda manifest: None)


def test_events_in_another_order_are_found(unpacked: Path, verify: Verify) -> None:
    def swap(events: list[dict[str, Any]]) -> None:
        events[2], events[3] = events[3], events[2]

    forge_events(unpacked, swap)
    said = verify(unpacked)
    assert said.returncode == 1 and "(removed)" in said.stdout and "(reordered)" in said.stdout


def test_an_event_with_another_actor_is_found_however_well_its_chain_is_made_to_fit(
    unpacked: Path, verify: Verify
) -> None:
    def rechain(events: list[dict[str, Any]]) -> None:
        place = next(i for i, event in enumerate(events) if event.get("action") == "gate.signed")
        events[place]["actor"] = "eve"
        for i in range(place, len(events)):
            if i > place:
                events[i]["previous_hash"] = events[i - 1]["hash"]
            events[i]["hash"] = event_hash(events[i])

    forge_events(unpacked, rechain)
    said = verify(unpacked)
    assert said.returncode == 1 and "(rewritten)" in said.stdout


FORGERIES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "another certificate": (
        "(certificate)",
        lambda folder: _edit(folder / "certificate/certificate.json", lambda d: d["down"].update(seconds=1)),
    ),
    "another plan": ("(plan)", lambda folder: _edit(folder / "plan.json", lambda d: d["excluded"].append("salaries"))),
    "other evidence": (
        "(evidence)",
        lambda folder: _edit(next((folder / "evidence").glob("*-verify.json")), lambda d: d["evidence"].clear()),
    ),
    "another attachment": (
        "(attachment)",
        lambda folder: _all((folder / "attachments").iterdir(), lambda path: path.write_bytes(b"something else")),
    ),
    "another page": ("(certificate)", lambda folder: _append(folder / "certificate/certificate.html")),
    "another print": ("(certificate)", lambda folder: _append(folder / "certificate/certificate.pdf")),
    "another verifier": ("(contents)", lambda folder: _append(folder / "verify.py")),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_with_a_manifest_that_fits_is_found_by_what_the_trail_and_the_certificate_name(
    unpacked: Path, verify: Verify, name: str
) -> None:
    code, forge = FORGERIES[name]
    forge(unpacked)
    rewrite(unpacked, lambda manifest: None)
    said = verify(unpacked)
    assert said.returncode == 1 and code in said.stdout, said.stdout


def test_a_file_added_to_the_manifest_too_is_found(unpacked: Path, verify: Verify) -> None:
    (unpacked / "more.txt").write_text("more")
    rewrite(unpacked, lambda manifest: manifest["files"].update({"more.txt": ""}))
    said = verify(unpacked)
    assert said.returncode == 1 and "(contents)" in said.stdout


def test_a_signature_that_nobody_gave_is_found(
    stage: Stage, over: MigrationRun, verify: Verify, tmp_path: Path
) -> None:
    """Whoever writes to our database can forge a row of it, but not its event."""
    from django.utils import timezone

    from migrations_app.services.certificate.issue import issue_certificate

    forged = Approval.objects.filter(gate__run=over).first()
    assert forged is not None
    Approval.objects.filter(pk=forged.pk).update(user_name="eve")
    assert issue_certificate(run_id=over.pk, now=timezone.now())
    said = verify(save_bundle(stage.who.ops, over, tmp_path / "forged.zip"))
    assert said.returncode == 1 and "(signature)" in said.stdout and "eve" in said.stdout


def test_evidence_that_was_altered_in_our_database_is_said_on_the_certificate_and_found(
    stage: Stage, over: MigrationRun, verify: Verify, tmp_path: Path
) -> None:
    row = over.steps.get(name="load")
    RunStep.objects.filter(pk=row.pk).update(evidence={**row.evidence, "said": "another thing"})
    made = issue_certificate(run_id=over.pk, now=timezone.now())
    assert made is not None and "was changed after it was recorded" in made.content
    said = verify(save_bundle(stage.who.ops, over, tmp_path / "altered.zip"))
    assert said.returncode == 1 and "was changed before the certificate" in said.stdout


def test_an_attached_file_that_is_gone_or_changed_on_our_disk_is_found(
    stage: Stage, over: MigrationRun, certificate: Certificate, verify: Verify, tmp_path: Path
) -> None:
    path = path_of(over, hashlib.sha256(SCREENSHOT).hexdigest())
    path.write_bytes(b"something else")
    said = verify(save_bundle(stage.who.ops, over, tmp_path / "changed.zip"))
    assert said.returncode == 1 and "(file_changed)" in said.stdout
    path.unlink()
    said = verify(save_bundle(stage.who.ops, over, tmp_path / "gone.zip"))
    assert said.returncode == 1 and "(file_missing)" in said.stdout


def test_another_public_key_verifies_nothing(bundle: Path, verify: Verify, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    pem = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    other.write_bytes(pem)
    said = verify(bundle, key=other)
    assert said.returncode == 1 and "checkpoint_key" in said.stdout


# --- Who may ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["lead", "qa", "ops", "boss"])
def test_who_works_on_the_application_may_export_it(
    stage: Stage, over: MigrationRun, certificate: Certificate, role: str
) -> None:
    make_bundle(actor=stage.person(role), run=over).close()


@pytest.mark.parametrize("role", ["viewer", "stranger"])
def test_who_only_looks_on_may_not(stage: Stage, over: MigrationRun, certificate: Certificate, role: str) -> None:
    with pytest.raises(Forbidden) as refused:
        make_bundle(actor=stage.person(role), run=over)
    assert refused.value.code == "NOT_ALLOWED" and "山田太郎" in refused.value.who
    assert not AuditEvent.objects.filter(action="certificate.bundled").exists()


def test_a_run_without_a_certificate_has_no_bundle(stage: Stage, over: MigrationRun) -> None:
    with pytest.raises(ServiceRefused) as refused:
        make_bundle(actor=stage.who.ops, run=over)
    assert refused.value.code == "CERTIFICATE_MISSING"


def _edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_bytes(canonical(document))


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def _all(paths: Any, change: Callable[[Path], Any]) -> None:
    for path in paths:
        change(path)


def test_the_folder_for_a_bundle_is_removed_when_it_was_sent(
    stage: Stage, over: MigrationRun, certificate: Certificate
) -> None:
    made = make_bundle(actor=stage.who.ops, run=over)
    folder = Path(made._folder.name)
    assert folder.is_dir()
    made.close()
    assert not folder.exists()
    shutil.rmtree(folder, ignore_errors=True)
