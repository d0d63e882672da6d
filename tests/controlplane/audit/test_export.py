"""Exports, and the stand-alone verifier run as an auditor runs it: a process with no settings of ours."""

import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from django.db import connections, transaction

from controlplane.audit import export as export_module
from controlplane.audit import guards, signing, standalone
from controlplane.audit.errors import ExportRefused
from controlplane.audit.export import export_trail
from controlplane.audit.models import AuditEvent
from controlplane.audit.standalone import application_tag, canonical, event_hash, link_of
from controlplane.audit.trail import record
from controlplane.audit.verify import own_keys, verify_trail

# What happens to the files does not depend on the database that they came from.
one_database = pytest.mark.parametrize("trail", ["sqlite"], indirect=True)
VERIFIER = Path(standalone.__file__)
Change = Callable[[list[dict[str, object]]], None]


@pytest.fixture
def public_key(audit_key: Path, tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    path.write_text(signing.public_pem())
    return path


@pytest.fixture
def mixed_trail(trail: str) -> str:
    """Twelve events of two applications and of none."""
    with transaction.atomic(using=trail):
        for number in range(1, 13):
            record(
                action="gate.passed" if number == 5 else "step.succeeded",
                actor="ana",
                application=("yukyu", "payroll", "")[number % 3],
                payload={"recipe of": ("yukyu", "payroll", "none")[number % 3], "number": number},
                checkpoint=number == 5,
                using=trail,
            )
    return trail


def run_verifier(export: Path, key: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(VERIFIER), str(export), "--public-key", str(key), *more],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
        cwd="/",
        check=False,
    )


def read_lines(export: Path, name: str = "events.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (export / name).read_text().splitlines()]


def rewrite(export: Path, name: str, lines: list[dict[str, object]]) -> None:
    """Writes changed lines and a manifest that fits them, as a forger would."""
    data = b"".join(canonical(line) + b"\n" for line in lines)
    (export / name).write_bytes(data)
    manifest = json.loads((export / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    events = read_lines(export)
    manifest.update(events=len(events), head=events[-1]["hash"])
    (export / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["export", "export.zip"])
def test_export_is_verified_by_the_stand_alone_file(
    mixed_trail: str, tmp_path: Path, public_key: Path, name: str
) -> None:
    result = export_trail(output=tmp_path / name, actor="cli:ops", using=mixed_trail)
    assert (result.events, result.included) == (13, 13)
    run = run_verifier(tmp_path / name, public_key)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("OK: 13 events (the whole trail), signed through 13")
    assert run_verifier(tmp_path / name, public_key, "--expect", f"13:{result.head}").returncode == 0
    assert verify_trail(keys=own_keys(), using=mixed_trail).ok


def test_export_is_itself_in_the_trail(mixed_trail: str, tmp_path: Path) -> None:
    export_trail(output=tmp_path / "export", actor="ana", application="yukyu", using=mixed_trail)
    last = AuditEvent.objects.using(mixed_trail).get(sequence=13)
    assert (last.action, last.actor, last.application) == ("audit.exported", "ana", "yukyu")


def test_export_of_one_application_keeps_the_others_content_out(
    mixed_trail: str, tmp_path: Path, public_key: Path
) -> None:
    result = export_trail(output=tmp_path / "e", actor="cli:ops", application="yukyu", using=mixed_trail)
    assert (result.events, result.included) == (13, 5)
    text = (tmp_path / "e" / "events.jsonl").read_text()
    assert "payroll" not in text and '"recipe of":"none"' not in text
    run = run_verifier(tmp_path / "e", public_key)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "application yukyu" in run.stdout


def _edit(lines: list[dict[str, object]]) -> None:
    lines[6]["actor"] = "eve"


def _remove(lines: list[dict[str, object]]) -> None:
    del lines[6]


def _reorder(lines: list[dict[str, object]]) -> None:
    lines[6], lines[7] = lines[7], lines[6]


def _cut(lines: list[dict[str, object]]) -> None:
    del lines[9:]


def _cut_head(lines: list[dict[str, object]]) -> None:
    del lines[:3]


def _rewrite_chain(lines: list[dict[str, object]]) -> None:
    lines[6]["actor"] = "eve"
    for before, line in itertools.pairwise(lines[5:]):
        line["previous_hash"] = before["hash"]
        line["hash"] = event_hash(line)


def _leave_out(lines: list[dict[str, object]]) -> None:
    lines[6] = {**link_of(lines[6]), "hash": lines[6]["hash"], "omitted": True}


def _empty(lines: list[dict[str, object]]) -> None:
    del lines[:-1]


@one_database
@pytest.mark.parametrize(
    ("change", "sequence", "code"),
    [
        (_edit, 7, "edited"),
        (_remove, 7, "removed"),
        (_reorder, 7, "removed"),
        (_cut, 10, "cut"),
        (_cut_head, 1, "removed"),
        (_rewrite_chain, 13, "rewritten"),
        (_leave_out, 7, "hidden"),
        (_empty, 1, "removed"),
    ],
)
def test_forged_export_is_found(
    mixed_trail: str, tmp_path: Path, public_key: Path, change: Change, sequence: int, code: str
) -> None:
    export_trail(output=tmp_path / "e", actor="cli:ops", using=mixed_trail)
    lines = read_lines(tmp_path / "e")
    change(lines)
    rewrite(tmp_path / "e", "events.jsonl", lines)
    run = run_verifier(tmp_path / "e", public_key)
    assert run.returncode == 1
    assert f"at event {sequence} ({code})" in run.stdout


@one_database
def test_event_of_the_application_cannot_be_left_out(mixed_trail: str, tmp_path: Path, public_key: Path) -> None:
    export_trail(output=tmp_path / "e", actor="cli:ops", application="yukyu", using=mixed_trail)
    lines = read_lines(tmp_path / "e")
    place = next(index for index, line in enumerate(lines) if line.get("application") == "yukyu")
    lines[place] = {**link_of(lines[place]), "hash": lines[place]["hash"], "omitted": True}
    rewrite(tmp_path / "e", "events.jsonl", lines)
    run = run_verifier(tmp_path / "e", public_key)
    assert run.returncode == 1 and "(hidden)" in run.stdout
    # Another tag would hide it, but the tag is part of the hash.
    lines[place]["application_tag"] = application_tag(lines[place]["sequence"], "payroll")
    rewrite(tmp_path / "e", "events.jsonl", lines)
    assert "(edited)" in run_verifier(tmp_path / "e", public_key).stdout


@one_database
def test_cut_tail_with_its_checkpoint_is_found_by_a_noted_head(
    mixed_trail: str, tmp_path: Path, public_key: Path
) -> None:
    head = export_trail(output=tmp_path / "first", actor="cli:ops", using=mixed_trail).head
    lines, checkpoints = read_lines(tmp_path / "first"), read_lines(tmp_path / "first", "checkpoints.jsonl")
    rewrite(tmp_path / "first", "events.jsonl", lines[:5])
    rewrite(tmp_path / "first", "checkpoints.jsonl", checkpoints[:1])
    assert run_verifier(tmp_path / "first", public_key).returncode == 0, "an older state of the trail is whole"
    run = run_verifier(tmp_path / "first", public_key, "--expect", f"13:{head}")
    assert run.returncode == 1 and "(expected)" in run.stdout


@one_database
def test_forged_checkpoint_is_found(mixed_trail: str, tmp_path: Path, public_key: Path) -> None:
    export_trail(output=tmp_path / "e", actor="cli:ops", using=mixed_trail)
    checkpoints = read_lines(tmp_path / "e", "checkpoints.jsonl")
    checkpoints[0]["signed_at"] = "2020-01-01T00:00:00.000000Z"
    rewrite(tmp_path / "e", "checkpoints.jsonl", checkpoints)
    run = run_verifier(tmp_path / "e", public_key)
    assert run.returncode == 1 and "(checkpoint_signature)" in run.stdout


@one_database
def test_export_signed_by_another_key_is_found(mixed_trail: str, tmp_path: Path) -> None:
    export_trail(output=tmp_path / "e", actor="cli:ops", using=mixed_trail)
    signing.create_key(tmp_path / "other" / "key.pem")
    other = tmp_path / "other.pem"
    key = load_pem_private_key((tmp_path / "other" / "key.pem").read_bytes(), None).public_key()
    other.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    run = run_verifier(tmp_path / "e", other)
    assert run.returncode == 1 and "(checkpoint_key)" in run.stdout


@one_database
def test_line_in_another_spelling_is_found(mixed_trail: str, tmp_path: Path, public_key: Path) -> None:
    export_trail(output=tmp_path / "e", actor="cli:ops", using=mixed_trail)
    events = tmp_path / "e" / "events.jsonl"
    # A reader's eye stops at the first "actor", a parser takes the last.
    events.write_text(events.read_text().replace('{"action"', '{"actor":"eve","action"', 1))
    run = run_verifier(tmp_path / "e", public_key)
    assert run.returncode == 1 and "at event 1 (unreadable)" in run.stdout


@one_database
def test_changed_manifest_is_found(mixed_trail: str, tmp_path: Path, public_key: Path) -> None:
    export_trail(output=tmp_path / "e", actor="cli:ops", using=mixed_trail)
    manifest = tmp_path / "e" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"events": 13', '"events": 14'))
    run = run_verifier(tmp_path / "e", public_key)
    assert run.returncode == 1 and "(manifest)" in run.stdout


@one_database
def test_thousand_flipped_bytes_of_an_export_are_found(mixed_trail: str, tmp_path: Path) -> None:
    export_trail(output=tmp_path / "e", actor="cli:ops", using=mixed_trail)
    chance = random.Random(5)
    for _ in range(1000):
        path = tmp_path / "e" / chance.choice(["events.jsonl", "checkpoints.jsonl"])
        data = bytearray(path.read_bytes())
        original = bytes(data)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(data))
        verdict, _manifest = standalone.verify_export(tmp_path / "e", own_keys())
        assert not verdict.ok
        path.write_bytes(original)
    assert standalone.verify_export(tmp_path / "e", own_keys())[0].ok


@one_database
@pytest.mark.parametrize(
    "damage",
    ["no manifest", "no export", "key is no key", "no key", "another format", "half a zip", "manifest is a list"],
)
def test_what_cannot_be_read_is_refused_without_a_traceback(
    mixed_trail: str, tmp_path: Path, public_key: Path, damage: str
) -> None:
    export = tmp_path / ("e.zip" if damage == "half a zip" else "e")
    export_trail(output=export, actor="cli:ops", using=mixed_trail)
    manifest = export / "manifest.json"
    match damage:
        case "no manifest":
            manifest.unlink()
        case "no export":
            export = tmp_path / "nothing"
        case "key is no key":
            public_key.write_text("hello")
        case "no key":
            public_key.unlink()
        case "another format":
            manifest.write_text('{"format": "causeway audit export 9"}')
        case "half a zip":
            export.write_bytes(export.read_bytes()[:500])
        case "manifest is a list":
            manifest.write_text("[]")
    run = run_verifier(export, public_key)
    assert run.returncode == 2
    assert run.stderr.startswith("REFUSED") and "Traceback" not in run.stderr


@one_database
@pytest.mark.parametrize("name", ["full", "there.zip", "no/such/folder"])
def test_export_does_not_overwrite_nor_create_folders(mixed_trail: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "there.zip").touch()
    with pytest.raises(ExportRefused):
        export_trail(output=tmp_path / name, actor="cli:ops", using=mixed_trail)
    assert AuditEvent.objects.using(mixed_trail).count() == 12, "a refused export is no event"


@one_database
def test_failed_export_leaves_nothing(mixed_trail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "_sync", fail)
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportRefused, match="No space left"):
        export_trail(output=tmp_path / "out" / "e", actor="cli:ops", using=mixed_trail)
    assert list((tmp_path / "out").iterdir()) == []


def test_export_of_a_tampered_trail_is_written_and_found_broken(
    mixed_trail: str, tmp_path: Path, public_key: Path
) -> None:
    guards.remove(connections[mixed_trail])
    AuditEvent.objects.using(mixed_trail).filter(sequence=4).update(actor="eve")
    with connections[mixed_trail].cursor() as cursor:
        cursor.execute("UPDATE audit_auditevent SET payload = '{' WHERE sequence = 8")
    guards.install(connections[mixed_trail])
    for name, application in (("whole", None), ("part.zip", "yukyu")):
        export_trail(output=tmp_path / name, actor="cli:ops", application=application, using=mixed_trail)
        run = run_verifier(tmp_path / name, public_key)
        assert run.returncode == 1
        assert "event 8 (unreadable)" in run.stdout


@one_database
def test_zip_holds_the_three_files_alone(mixed_trail: str, tmp_path: Path) -> None:
    export_trail(output=tmp_path / "e.zip", actor="cli:ops", using=mixed_trail)
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        assert sorted(archive.namelist()) == ["checkpoints.jsonl", "events.jsonl", "manifest.json"]
