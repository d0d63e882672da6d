"""An export holds every cell, is whole or none, goes on where it was killed, and notices one changed byte."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from migrations_app.engine.control import Control, Progress
from migrations_app.engine.errors import Cancelled, EngineError, Failed, Refused
from migrations_app.engine.export import part_writer
from migrations_app.engine.export.export import ExportResult, export_source, open_export
from migrations_app.engine.planning.planning import check_plan_with_profile
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.artefacts import every_kind, execute, plain_plan


def export(
    path: Path, folder: Path, control: Control | None = None, *, jobs: int = 1, profiled: bool = False, **types: str
) -> ExportResult:
    control = control or Control()
    with open_source(path) as source:
        plan = plain_plan(source.schema, **types)
        profile = check_plan_with_profile(plan, source, control)[1] if profiled else None
        return export_source(source, plan, folder, control, fingerprint(path), profile=profile, jobs=jobs)


def everything(folder: Path) -> dict[str, list[object]]:
    opened = open_export(folder)
    return {table.name: list(opened.rows(table.name)) for table in opened.tables}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_writer, "CHUNK_ROWS", 7)


def test_every_cell_comes_back(tmp_path: Path, small_chunks: None) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    result = export(path, tmp_path / "out", photo="bytea", profiled=True)
    with open_source(path) as source:
        expected = {table.name: list(source.rows(table.name)) for table in source.schema.tables}
        assert repr(everything(tmp_path / "out")) == repr(expected)
        opened = open_export(tmp_path / "out", result.sha256)
        assert opened.schema == source.schema
    assert result.tables == {"log": 3, "people": 51, "words": 5}
    assert opened.plan is not None and opened.plan.digest == plain_plan(opened.schema, photo="bytea").digest
    assert [column.encoding for column in opened.table("people").columns] == ["", "", "", "hex", ""]
    assert opened.table("people").columns[4].classes["invalid_text"] == 1


def test_files_are_the_owners_alone_and_bear_no_names(tmp_path: Path) -> None:
    export(every_kind(tmp_path / "a.sqlite"), tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["0001.jsonl", "1000001.jsonl", "2000001.jsonl", "manifest.json"]
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "out").iterdir()} == {0}
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    export(path, tmp_path / "one")
    export(path, tmp_path / "two")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_chunks_end_by_size_and_a_larger_row_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_writer, "CHUNK_BYTES", 1000)
    path = tmp_path / "a.sqlite"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)",
        [("INSERT INTO t(x) VALUES (?)", ("y" * n,)) for n in (10, 10, 5000, 10, 10)],
    )
    export(path, tmp_path / "out")
    assert [file.rows for file in open_export(tmp_path / "out").table("t").files] == [2, 1, 2]


def test_a_column_named_blob_that_holds_text_too_is_wrapped(tmp_path: Path, small_chunks: None) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    execute(path, "UPDATE people SET photo = 'text' WHERE id = 40")
    export(path, tmp_path / "out", photo="bytea")
    opened = open_export(tmp_path / "out")
    assert opened.table("people").columns[3].encoding == ""
    rows = {row[0]: row[3] for row in opened.rows("people")}
    assert rows[40] == "text" and rows[39] == b"\x27" * 9


def test_columns_can_be_read_alone_and_in_another_order(tmp_path: Path) -> None:
    export(every_kind(tmp_path / "a.sqlite"), tmp_path / "out")
    opened = open_export(tmp_path / "out")
    assert next(opened.rows("people", ("name", "id"))) == ("名前 1", 1)
    assert next(opened.rows("people", ("id",))) == (1,)
    with pytest.raises(Refused) as caught:
        next(opened.rows("people", ("id", "nope")))
    assert caught.value.code == "UNKNOWN_COLUMN"
    with pytest.raises(Refused) as caught:
        opened.table("nope")
    assert caught.value.code == "UNKNOWN_TABLE"


def stop_at(call: int) -> Control:
    """A control that asks to stop at its nth report."""
    seen = 0

    def report(progress: Progress) -> None:
        nonlocal seen
        seen += 1
        if seen == call:
            control.stop.set()

    control = Control(report=report)
    return control


@pytest.mark.parametrize("call", [1, 3, 8])
def test_an_export_goes_on_where_it_was_stopped(tmp_path: Path, small_chunks: None, call: int) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    export(path, tmp_path / "whole", photo="bytea")
    with pytest.raises(Cancelled):
        export(path, tmp_path / "out", stop_at(call), photo="bytea")
    with pytest.raises(Refused) as caught:
        open_export(tmp_path / "out")
    assert caught.value.code == "NO_MANIFEST"
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.jsonl")}
    assert len(kept) >= call
    export(path, tmp_path / "out", photo="bytea")
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in kept} == kept
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")


def test_an_export_of_a_changed_file_starts_over(tmp_path: Path, small_chunks: None) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    with pytest.raises(Cancelled):
        export(path, tmp_path / "out", stop_at(5))
    execute(path, "UPDATE log SET line = 'changed'")
    export(path, tmp_path / "out")
    export(path, tmp_path / "fresh")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


def test_a_damaged_chunk_of_an_unfinished_export_is_made_again(tmp_path: Path, small_chunks: None) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    with pytest.raises(Cancelled):
        export(path, tmp_path / "out", stop_at(5))
    (tmp_path / "out" / "0002.jsonl").write_bytes(b"[]\n")
    export(path, tmp_path / "out")
    export(path, tmp_path / "fresh")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


def test_a_finished_export_is_kept_and_a_damaged_one_made_again(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    first = export(path, tmp_path / "out")
    stamp = (tmp_path / "out" / "manifest.json").stat().st_mtime_ns
    assert export(path, tmp_path / "out") == first
    assert (tmp_path / "out" / "manifest.json").stat().st_mtime_ns == stamp
    (tmp_path / "out" / "0001.jsonl").write_bytes(b"")
    assert export(path, tmp_path / "out") == first
    assert everything(tmp_path / "out")["log"] == [("same",), ("same",), (None,)]


KILLED = """
import sys
from pathlib import Path
from migrations_app.engine import artefact_files
from migrations_app.engine.export import part_writer
from migrations_app.engine.control import Control
from tests.migrations_app.engine.export import test_export
import os, signal
part_writer.CHUNK_ROWS = 7
count, at = 0, int(sys.argv[3])
real = os.replace
def dying(one, two):
    global count
    count += 1
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
    real(one, two)
os.replace = dying
test_export.export(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("at", [1, 4, 10])
def test_an_export_killed_before_a_rename_is_none_and_then_goes_on(tmp_path: Path, small_chunks: None, at: int) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    child = subprocess.run([sys.executable, "-c", KILLED, path, tmp_path / "out", str(at)], timeout=60)
    assert child.returncode == -signal.SIGKILL
    with pytest.raises(Refused):
        open_export(tmp_path / "out")
    export(path, tmp_path / "out")
    export(path, tmp_path / "fresh")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "thesis.txt").write_text("dear")
    with pytest.raises(Refused) as caught:
        export(path, folder)
    assert caught.value.code == "FOLDER_NOT_EMPTY"
    assert snapshot(folder) == {"thesis.txt": b"dear"}
    (tmp_path / "file").touch()
    with pytest.raises(Refused) as caught:
        export(path, tmp_path / "file")
    assert caught.value.code == "NOT_A_FOLDER"


def test_two_exports_into_one_folder_are_refused(tmp_path: Path) -> None:
    from migrations_app.engine.artefact_files import only_one

    (tmp_path / "out").mkdir()
    with only_one(tmp_path / "out"), pytest.raises(Refused) as caught:
        export(every_kind(tmp_path / "a.sqlite"), tmp_path / "out")
    assert caught.value.code == "IN_USE"


def test_a_full_disk_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite", people=400)
    whole = export(path, tmp_path / "whole")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        with pytest.raises(Failed) as caught:
            export(path, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.code == "DISK_FULL"
    assert not list((tmp_path / "out").glob("*.part")) and not (tmp_path / "out" / "manifest.json").exists()
    assert export(path, tmp_path / "out").sha256 == whole.sha256


def test_too_little_space_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    with pytest.raises(Refused) as caught:
        export(every_kind(tmp_path / "a.sqlite"), tmp_path / "out")
    assert caught.value.code == "NO_SPACE"
    assert not list((tmp_path / "out").iterdir())


def test_a_flip_of_any_byte_is_refused(tmp_path: Path, small_chunks: None) -> None:
    export(every_kind(tmp_path / "a.sqlite"), tmp_path / "out")
    good, seed = snapshot(tmp_path / "out"), random.Random(13)
    accepted = []
    for _ in range(500):
        name = seed.choice(sorted(good))
        offset, mask = seed.randrange(len(good[name])), seed.randrange(1, 256)
        changed = bytearray(good[name])
        changed[offset] ^= mask
        (tmp_path / "out" / name).write_bytes(changed)
        try:
            everything(tmp_path / "out")
            accepted.append((name, offset, mask))
        except Refused:
            pass
        (tmp_path / "out" / name).write_bytes(good[name])
    assert accepted == []


def rewritten(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Edit the manifest and give it a right digest again: what someone would do who knows the format."""
    import hashlib

    from migrations_app.engine.export import manifest

    document = json.loads((folder / "manifest.json").read_bytes())
    del document["digest"]
    change(document)
    digest = hashlib.sha256(manifest._canonical(document)).hexdigest()
    (folder / "manifest.json").write_bytes(manifest._canonical({**document, "digest": digest}))


@pytest.mark.parametrize("name", ["../0001.jsonl", "/etc/passwd", "0001.jsonl\n", "a.jsonl", "", "１.jsonl", 7])
def test_a_manifest_that_names_another_kind_of_file_is_refused(tmp_path: Path, name: object) -> None:
    export(every_kind(tmp_path / "a.sqlite"), tmp_path / "out")
    rewritten(tmp_path / "out", lambda d: d["tables"][0]["files"][0].update(name=name))  # type: ignore[index]
    with pytest.raises(Refused) as caught:
        open_export(tmp_path / "out")
    assert caught.value.code == "BAD_MANIFEST"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: d.update(format="causeway-export/99"), "BAD_FORMAT"),
        (lambda d: d.pop("fingerprint"), "BAD_MANIFEST"),
        (lambda d: d["tables"].append(d["tables"][0]), "BAD_MANIFEST"),
        (lambda d: d["tables"][0].update(rows=1), "BAD_MANIFEST"),
        (lambda d: d["plan"].update(target_schema="other"), "BAD_MANIFEST"),
        (lambda d: d.update(schema=[]), "BAD_MANIFEST"),
        (lambda d: d.update(tables=None), "BAD_MANIFEST"),
    ],
)
def test_a_manifest_that_does_not_hold_together_is_refused(
    tmp_path: Path, change: Callable[[dict[str, object]], object], code: str
) -> None:
    export(every_kind(tmp_path / "a.sqlite"), tmp_path / "out")
    rewritten(tmp_path / "out", change)
    with pytest.raises(Refused) as caught:
        open_export(tmp_path / "out")
    assert caught.value.code == code


@pytest.mark.parametrize("raw", [b"", b"[" * 1_000_000, b"{}", b"[]", b"null", b"\xff\xfe", b'{"format": "x"'])
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(raw)
    with pytest.raises(Refused) as caught:
        open_export(tmp_path)
    assert caught.value.code in {"BAD_MANIFEST", "BAD_FORMAT"}


@pytest.mark.parametrize("kind", ["missing", "link", "fifo", "folder"])
def test_a_chunk_that_is_no_file_of_ours_is_refused_without_blocking(tmp_path: Path, kind: str) -> None:
    export(every_kind(tmp_path / "a.sqlite"), tmp_path / "out")
    chunk = tmp_path / "out" / "0001.jsonl"
    chunk.rename(tmp_path / "elsewhere")
    if kind == "link":
        chunk.symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(chunk)
    elif kind == "folder":
        chunk.mkdir()
    with pytest.raises(Refused) as caught:
        everything(tmp_path / "out")
    assert caught.value.code == "BAD_CHUNK"


def test_another_export_than_the_one_expected_is_refused(tmp_path: Path) -> None:
    export(every_kind(tmp_path / "a.sqlite"), tmp_path / "out")
    with pytest.raises(EngineError) as caught:
        open_export(tmp_path / "out", "0" * 64)
    assert caught.value.code == "WRONG_EXPORT"
