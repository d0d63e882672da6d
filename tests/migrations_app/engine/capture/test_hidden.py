"""Of a file with capture in it, or with the fence up, the engine says what it says of the application's alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from migrations_app.engine.artefact_files import make_private_folder
from migrations_app.engine.backup.backup import take_backup
from migrations_app.engine.backup.content import digest_content
from migrations_app.engine.capture.capture import CaptureState, install, remove
from migrations_app.engine.capture.fence import raise_fence
from migrations_app.engine.capture.writing import write_transaction
from migrations_app.engine.control import Control
from migrations_app.engine.export.export import export_source
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.planning.planning import check_plan
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.capture.files import make_file, opened, plan_the_move


def _captured(file: Path, state: CaptureState) -> None:
    with opened(file) as connection:  # a log that isn't empty, and no change
        connection.execute("UPDATE tags SET note = note")


def _fenced(file: Path, state: CaptureState) -> None:
    with write_transaction(file, 1000, "closing it") as connection:
        raise_fence(connection, state)


@pytest.fixture(params=[_captured, _fenced], ids=["captured", "fenced"])
def crossing(request: pytest.FixtureRequest) -> Callable[[Path, CaptureState], None]:
    found: Callable[[Path, CaptureState], None] = request.param
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_file(tmp_path / "app.sqlite")


def _said(file: Path, plan: MovePlan, folder: Path) -> list[object]:
    """What the engine says of a file: its schema, content, plan, export and backup."""
    make_private_folder(folder)
    with open_source(file) as source:
        schema = source.schema
        content = digest_content(source, Control())
        misfits = check_plan(plan, source)
        damage = source.check_integrity()
        exported = export_source(source, plan, folder / "export", Control(), fingerprint(file))
    chunks = sorted(
        (item.name, item.read_bytes()) for item in (folder / "export").iterdir() if not item.name.endswith(".json")
    )
    backup = take_backup(file, folder / "backup" / "backup.sqlite", Control())
    return [
        schema.digest, schema.tables, schema.views, schema.triggers, schema.sequences, schema.encoding,
        content, misfits, damage, exported.tables, chunks, backup.tables, plan_the_move(file).digest,
    ]  # fmt: skip


def test_the_engine_says_the_same_with_and_without(
    file: Path, tmp_path: Path, crossing: Callable[[Path, CaptureState], None]
) -> None:
    plan = plan_the_move(file)
    without = _said(file, plan, tmp_path / "without")
    state = install(file, plan, busy_timeout_ms=1000)
    crossing(file, state)
    assert _said(file, plan, tmp_path / "with") == without
    remove(file, state.identity, busy_timeout_ms=1000)
    assert _said(file, plan, tmp_path / "afterwards") == without


def test_tables_of_the_application_that_look_like_ours_are_its_own(tmp_path: Path) -> None:
    file = make_file(
        tmp_path / "app.sqlite",
        "CREATE TABLE causeway_state(name TEXT PRIMARY KEY, value); CREATE TABLE causeway_log(id INTEGER PRIMARY KEY);"
        "CREATE TRIGGER causeway_c_1_ai AFTER INSERT ON causeway_log BEGIN SELECT 1; END",
    )
    with open_source(file) as source:
        assert [table.name for table in source.schema.tables] == ["causeway_log", "causeway_state"]
        assert [trigger.name for trigger in source.schema.triggers] == ["causeway_c_1_ai"]


def test_a_table_beside_ours_is_the_applications(file: Path) -> None:
    with opened(file) as connection:
        connection.execute("CREATE TABLE causeway_notes(id INTEGER PRIMARY KEY)")
    state = install(file, plan_the_move(file), busy_timeout_ms=1000)
    assert "causeway_notes" in [table.name for table in state.tables]
    with open_source(file) as source:
        assert "causeway_notes" in [table.name for table in source.schema.tables]
        assert "causeway_log" not in [table.name for table in source.schema.tables]
