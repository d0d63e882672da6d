"""Our own disk fills up at some byte of an artefact: nothing that looks finished is left, and what was there stays.

The limit on the size of files stands for the full disk: a write fails in the middle, with the same handling.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations_app.engine.backup.backup import restore_backup, take_backup
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed
from migrations_app.engine.export.export import ExportResult, export_source, open_export
from migrations_app.engine.export.single_document import write_single_document
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.artefacts import every_kind, plain_plan

FEW = (0, 1, 13, 25, 37, 49)
OFFSETS = [pytest.param(step, marks=() if step in FEW else pytest.mark.chaos) for step in range(50)]


@contextlib.contextmanager
def full_after(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return every_kind(tmp_path_factory.mktemp("full") / "a.sqlite", people=1500)


def export(path: Path, folder: Path) -> ExportResult:
    with open_source(path) as source:
        return export_source(source, plain_plan(source.schema), folder, Control(), fingerprint(path))


@pytest.fixture(scope="module")
def exported(file: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    return export(file, tmp_path_factory.mktemp("whole") / "out")


@pytest.mark.parametrize("step", OFFSETS)
def test_a_backup_that_fills_the_disk_is_none(tmp_path: Path, file: Path, step: int) -> None:
    with full_after(file.stat().st_size * step // 50), pytest.raises(Failed):
        take_backup(file, tmp_path / "out" / "b.sqlite", Control())
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("step", OFFSETS)
def test_an_export_that_fills_the_disk_is_none_and_goes_on_when_there_is_room(
    tmp_path: Path, file: Path, exported: ExportResult, step: int
) -> None:
    largest = max(path.stat().st_size for path in exported.directory.iterdir())
    with full_after(largest * step // 50), pytest.raises(Failed) as caught:
        export(file, tmp_path / "out")
    assert caught.value.code == "DISK_FULL"
    assert not (tmp_path / "out" / "manifest.json").exists() and not list((tmp_path / "out").glob("*.part"))
    assert export(file, tmp_path / "out").sha256 == exported.sha256
    assert open_export(tmp_path / "out", exported.sha256).count("people") == 1501


@pytest.mark.parametrize("step", OFFSETS)
def test_a_document_that_fills_the_disk_is_none(tmp_path: Path, file: Path, step: int) -> None:
    size = 40_000  # less than the document has
    with open_source(file) as source:
        plan = plain_plan(source.schema)
        with full_after(size * step // 50), pytest.raises(Failed) as caught:
            write_single_document(source, plan, tmp_path / "out" / "all.json", Control(), fingerprint(file))
    assert caught.value.code == "DISK_FULL"
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("step", OFFSETS)
def test_a_restore_that_fills_the_disk_leaves_the_file_that_was_there(tmp_path: Path, file: Path, step: int) -> None:
    taken = take_backup(file, tmp_path / "b.sqlite", Control())
    (tmp_path / "there").mkdir()
    there = every_kind(tmp_path / "there" / "a.sqlite", people=3)
    before = there.read_bytes()
    with full_after(taken.size * step // 50), pytest.raises(Failed) as caught:
        restore_backup(taken.path, there, taken.sha256)
    assert caught.value.code == "DISK_FULL"
    assert there.read_bytes() == before and os.listdir(there.parent) == ["a.sqlite"]
