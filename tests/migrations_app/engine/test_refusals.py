"""Refusals and failures that no test of their own room provokes, and: none is without a test."""

from __future__ import annotations

import hashlib
import re
import resource
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.artefact_files import write_atomically
from migrations_app.engine.back.rebuild import rebuild_source
from migrations_app.engine.backup import backup
from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError, Failed, Refused
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import MODE_EXISTING, EncryptedColumn
from migrations_app.engine.planning.planning import make_plan as plan_anew
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.source_copy import copy_with_journal
from migrations_app.engine.target import lease, target
from migrations_app.engine.target.target import connect, inspect_target, transaction
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url
from migrations_app.engine.verify import decrypt_sample
from migrations_app.engine.verify.compare import verify
from tests.migrations_app.engine.fragile import text_of
from tests.migrations_app.engine.moves import RUN, Look, held, make_export, make_plan, make_source
from tests.migrations_app.engine.sqlite_files import build
from tests.migrations_app.engine.test_reference import raised_codes

ROOT = Path(__file__).resolve().parents[3]


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(EngineError) as caught:
        work()
    assert caught.value.message and caught.value.hint
    return caught.value.code


def test_every_refusal_and_failure_is_named_by_a_test() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert sorted(code for code in set(raised_codes()) if not re.search(rf"\b{code}\b", tests)) == []


# --- the source ---------------------------------------------------------------------------------------------------


def reading(path: Path) -> Callable[[], object]:
    def read() -> None:
        with open_source(path) as source:
            for table in source.schema.tables:
                list(source.rows(table.name))

    return read


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = build(tmp_path / "a.db", "CREATE TABLE t(v)")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_schema SET name = CAST(x'ff' AS TEXT), tbl_name = CAST(x'ff' AS TEXT)")
        connection.commit()
    assert code_of(reading(path)) in ("BAD_NAME", "NOT_READABLE")


def test_a_table_whose_rows_come_out_of_a_view_is_not_read(tmp_path: Path) -> None:
    """Full text of "external content": reading it would run the view."""
    path = build(
        tmp_path / "a.db",
        "CREATE VIEW w AS SELECT 1 AS id, 'text' AS v; CREATE VIRTUAL TABLE f USING fts5(v, content='w',"
        " content_rowid='id'); INSERT INTO f(rowid, v) VALUES (1, 'text')",
    )

    def read() -> None:
        with open_source(path) as source:
            list(source.rows("f"))

    assert code_of(read) == "NOT_READABLE"


def test_a_generated_column_that_calls_what_is_not_there_is_told(tmp_path: Path) -> None:
    path = build(tmp_path / "a.db", "CREATE TABLE t(a, b AS (a)); INSERT INTO t(a) VALUES (1)")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_schema SET sql = 'CREATE TABLE t(a, b AS (the_application_s_own(a)))'")
        connection.commit()
    assert code_of(reading(path)) == "SQLITE_FAILED"


def test_a_copy_for_recovery_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = build(tmp_path / "a.db", "CREATE TABLE t(v)")
    (tmp_path / "scratch" / "a.db").mkdir(parents=True)
    assert code_of(lambda: copy_with_journal(path, tmp_path / "scratch", Control())) == "COPY_FAILED"


def test_a_file_that_changes_while_it_is_copied_for_recovery_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(tmp_path / "a.db", "CREATE TABLE t(v)")
    control = Control()
    monkeypatch.setattr(control, "checkpoint", lambda: path.write_bytes(path.read_bytes() + bytes(4096)))
    assert code_of(lambda: copy_with_journal(path, tmp_path, control)) in ("LOCKED", "COPY_FAILED")


SECRET = Fernet.generate_key().decode()


@pytest.mark.parametrize(
    ("column", "environment", "code"),
    [
        ("v", {"KEY": SECRET}, "CELLS_DONT_OPEN"),
        ("v", {}, "KEY_MISSING"),
        ("nosuch", {"KEY": SECRET}, "UNKNOWN_COLUMN"),
    ],
)
def test_encrypted_cells_that_cannot_be_sampled_are_refused(
    tmp_path: Path, column: str, environment: dict[str, str], code: str
) -> None:
    path = build(tmp_path / "a.db", "CREATE TABLE t(v); INSERT INTO t VALUES ('canary')")
    columns = [EncryptedColumn("t", column, "fernet", "KEY")]
    with pytest.raises(Refused) as caught:
        decrypt_sample.check(path, columns, environment)
    assert caught.value.code == code and "canary" not in str(caught.value)


def test_choices_and_modes_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with open_source(build(tmp_path / "a.db", "CREATE TABLE t(v)")) as source:
        twice = (("NUL_IN_TEXT", "bytea"), ("NUL_IN_TEXT", "skip_rows"))
        assert code_of(lambda: plan_anew(source, mode="create", choices=twice, control=Control())) == "CHOICE_TWICE"
        assert code_of(lambda: plan_anew(source, mode="mend", control=Control())) == "UNKNOWN_MODE"
        assert code_of(lambda: plan_anew(source, mode=MODE_EXISTING, control=Control())) == "NO_TARGET_SCHEMA"


# --- artefacts ----------------------------------------------------------------------------------------------------


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert code_of(lambda: write_atomically(tmp_path / "file" / "x", b"")) == "FILE_ERROR"


def test_a_backup_that_sqlite_gives_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gives_up(self: object, connection: sqlite3.Connection, **_: object) -> None:
        raise sqlite3.OperationalError("the source database is locked")

    monkeypatch.setattr("migrations_app.engine.source.sqlite_source.Source.copy_into", gives_up)
    path = build(tmp_path / "a.db", "CREATE TABLE t(v)")
    assert code_of(lambda: backup.take_backup(path, tmp_path / "b.db", Control())) == "BACKUP_FAILED"


def test_a_line_that_no_export_holds_is_refused(tmp_path: Path) -> None:
    export = make_export(make_source(tmp_path / "a.db", 3), make_plan(), tmp_path / "out")
    chunk = next(iter(export.chunks("note")))
    raw = b'["same"]\n["same"]\n[{"x":1}]\n["other"]\n'
    (chunk.directory / chunk.file.name).write_bytes(raw)
    forged = replace(chunk, file=replace(chunk.file, sha256=hashlib.sha256(raw).hexdigest(), size=len(raw)))
    assert code_of(lambda: forged.read()) == "BAD_CELL"


def test_a_schema_that_cannot_be_made_again_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = make_export(make_source(tmp_path / "a.db", 3), make_plan(), tmp_path / "out")
    forged = replace(export.manifest, schema=replace(export.schema, encoding="UTF-7"))
    monkeypatch.setattr(export, "manifest", forged)
    assert code_of(lambda: rebuild_source(export, tmp_path / "b.db", Control())) == "BAD_SCHEMA"


# --- the target -----------------------------------------------------------------------------------------------------


def test_an_older_server_is_refused(url: TargetUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "MINIMUM_VERSION", 990000)
    assert code_of(lambda: inspect_target(url)) == "SERVER_TOO_OLD"


def test_a_server_without_tls_is_told_when_tls_is_wanted(url: TargetUrl) -> None:
    wants = parse_target_url(f"{text_of(url)}?sslmode=require")
    assert code_of(lambda: connect(wants, application_name="causeway:test:0")) == "TLS_FAILED"


def test_a_role_without_free_connections_is_told(url: TargetUrl, postgres: EmbeddedPostgres) -> None:
    postgres.execute(f'ALTER ROLE "{url.user}" CONNECTION LIMIT 0')
    assert code_of(lambda: connect(url, application_name="causeway:test:0")) == "TOO_MANY_CONNECTIONS"


def test_an_error_that_has_no_code_of_ours_names_postgresqls_and_no_value(url: TargetUrl) -> None:
    connection = connect(url, application_name="causeway:test:0")
    try:
        with pytest.raises(Failed) as caught, transaction(connection, "trying") as cursor:
            cursor.execute("SELECT 'canary'::int")
    finally:
        connection.close()
    assert caught.value.code == "TARGET_ERROR"
    assert "22P02" in caught.value.message and "canary" not in str(caught.value)


def test_an_older_session_of_another_role_is_told_with_the_grant(url: TargetUrl, postgres: EmbeddedPostgres) -> None:
    postgres.create_role("somebody_else", "word")
    theirs = parse_target_url(postgres.url(url.database, role="somebody_else", password="word"))
    session = connect(theirs, application_name="causeway:run-0:1")
    try:
        with pytest.raises(Failed) as caught:
            lease.claim(url, RUN, "test")
    finally:
        session.close()
        postgres.drop_role("somebody_else")
    assert caught.value.code == "OLD_HOLDER_STILL_THERE" and "GRANT pg_signal_backend" in caught.value.hint


def test_a_lost_lease_has_its_code(url: TargetUrl, look: Look) -> None:
    mine = lease.claim(url, RUN, "test")
    look.run("UPDATE causeway.lease SET token = token + 1")
    assert code_of(lambda: lease.renew(url, mine)) == "LEASE_LOST"


def test_a_sequence_that_ends_below_the_rows_is_told_and_the_table_emptied(
    url: TargetUrl, look: Look, tmp_path: Path
) -> None:
    look.run(
        "CREATE TABLE city (code text PRIMARY KEY, name text NOT NULL); CREATE TABLE note (text text);"
        "CREATE TABLE person (id bigint GENERATED ALWAYS AS IDENTITY (MAXVALUE 100) PRIMARY KEY, name text NOT NULL,"
        " city text, score double precision, photo bytea)"
    )
    export = make_export(make_source(tmp_path / "a.db", 200), make_plan(MODE_EXISTING), tmp_path / "out")

    def load() -> None:
        with held(url) as mine:
            load_export(export, make_plan(MODE_EXISTING), url, run_key=RUN, lease=mine)

    assert code_of(load) == "SEQUENCE_TOO_SMALL"
    assert look.value("SELECT count(*) FROM person") == 0


def test_a_table_without_a_key_that_cannot_be_sorted_on_disk_is_told(
    url: TargetUrl, look: Look, tmp_path: Path
) -> None:
    """It is sorted when the quick way has seen a difference."""
    path = make_source(tmp_path / "a.db", 200)
    export = make_export(path, make_plan(), tmp_path / "out")
    with held(url) as mine:
        load_export(export, make_plan(), url, run_key=RUN, lease=mine)
    look.run("UPDATE note SET text = 'changed' WHERE text = 'other'")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with open_source(path) as source:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            assert code_of(lambda: verify(source, make_plan(), url)) == "SCRATCH_FAILED"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
