"""Reading untrusted files: what is refused, what is recovered, and that nothing in the file ever runs."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, Refused
from migrations_app.engine.source.cells import InvalidText
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.sqlite_files import build, hot_journal, unflushed_wal


def refused(path: Path) -> str:
    with pytest.raises(Refused) as caught, open_source(path) as source:
        source.check_integrity()
    assert caught.value.hint
    return caught.value.code


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.db") == "NOT_FOUND"


def test_a_path_with_nul_is_refused() -> None:
    assert refused(Path("a\0b")) == "UNREADABLE"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == "NOT_A_FILE"


def test_a_fifo_is_refused_and_never_blocks(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.db"
    os.mkfifo(fifo)
    codes: list[str] = []
    reader = threading.Thread(target=lambda: codes.append(refused(fifo)), daemon=True)
    reader.start()
    reader.join(timeout=10)
    assert codes == ["NOT_A_FILE"]


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    assert refused(path) == "EMPTY_FILE"


@pytest.mark.parametrize("content", [b"PRAGMA foreign_keys=OFF;\nCREATE TABLE t(id);\n", bytes(range(256)) * 64])
def test_what_is_no_database_is_called_encrypted_or_not_sqlite(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "noise.db"
    path.write_bytes(content)
    assert refused(path) == "NOT_SQLITE"


def test_a_truncated_file_is_refused_as_such(tmp_path: Path) -> None:
    path = build(tmp_path / "cut.db", "CREATE TABLE t(v)", [("INSERT INTO t VALUES(?)", ("z" * 900,))] * 100)
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)
    assert refused(path) == "TRUNCATED"


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = build(tmp_path / "bad.db", "CREATE TABLE t(v)", [("INSERT INTO t VALUES(?)", ("z" * 900,))] * 100)
    with path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xde\xad\xbe\xef" * 1024)
    assert refused(path) == "CORRUPT"


def test_a_file_under_an_exclusive_lock_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrations_app.engine.source.opening.BUSY_SECONDS", 0.1)
    path = build(tmp_path / "locked.db", "CREATE TABLE t(v)")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    assert refused(path) == "LOCKED"
    writer.close()


def test_rows_that_break_the_files_own_constraints_are_no_damage(tmp_path: Path) -> None:
    script = """PRAGMA ignore_check_constraints=ON; CREATE TABLE t(a CHECK(a > 0), b); INSERT INTO t VALUES(-1, NULL);
                PRAGMA writable_schema=ON; UPDATE sqlite_master SET sql = replace(sql, 'b)', 'b NOT NULL)');"""
    with open_source(build(tmp_path / "check.db", script)) as source:
        assert set(source.check_integrity()) <= {"CHECK constraint failed in t", "NULL value in t.b"}


def test_a_hot_journal_is_rolled_back_in_a_copy_and_the_file_stays(tmp_path: Path) -> None:
    path = hot_journal(tmp_path)
    files = [path, path.with_name("dead.db-journal")]
    before = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    with open_source(path) as source:
        assert source.recovered_journal
        assert [row for row in source.rows("t", ["v"])] == [("x" * 500,)] * 100
        source.check_integrity()
    assert [hashlib.sha256(file.read_bytes()).hexdigest() for file in files] == before


def test_a_wal_without_its_shm_is_read_and_stays(tmp_path: Path) -> None:
    path = unflushed_wal(tmp_path)
    files = [path, path.with_name("copied.db-wal")]
    before = [file.read_bytes() for file in files]
    with open_source(path) as source:
        assert source.count("t") == 1000
    assert [file.read_bytes() for file in files] == before


def test_one_snapshot_is_seen_and_later_commits_are_noticed(tmp_path: Path) -> None:
    path = build(tmp_path / "wal.db", "PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(1)")
    with open_source(path) as source:
        version = source.data_version()
        assert source.data_version() == version
        build(path, "INSERT INTO t VALUES(2)")
        assert source.data_version() != version
        assert list(source.rows("t")) == [(1,)]


def test_invalid_utf8_and_nul_are_kept_as_they_are(tmp_path: Path) -> None:
    insert = "INSERT INTO t VALUES(?, CAST(? AS TEXT))"
    cells = [b"caf\xc3\xa9", b"caf\xe9", b"\xed\xa0\x80", b"overlong \xc0\xaf", b"a\0b"]
    path = build(
        tmp_path / "t.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", [(insert, r) for r in enumerate(cells)]
    )
    with open_source(path) as source:
        found = [row[0] for row in source.rows("t", ["v"])]
    assert found == [
        "café",
        InvalidText(b"caf\xe9"),
        InvalidText(b"\xed\xa0\x80"),
        InvalidText(b"overlong \xc0\xaf"),
        "a\0b",
    ]


@pytest.mark.parametrize(("encoding", "codec"), [("UTF-16le", "utf-16-le"), ("UTF-16be", "utf-16-be")])
def test_utf16_is_decoded_strictly(tmp_path: Path, encoding: str, codec: str) -> None:
    half = "\ud83d".encode(codec, "surrogatepass")
    script = f'PRAGMA encoding=\'{encoding}\'; CREATE TABLE "日本"("é" TEXT)'
    path = build(tmp_path / "w.db", script, [('INSERT INTO "日本" VALUES(?)', (v,)) for v in ("😀 ﷺ", "a\0b", b"\1")])
    build(path, "", [(f"INSERT INTO \"日本\" VALUES(CAST(X'{half.hex()}' AS TEXT))", ())])
    with open_source(path) as source:
        assert source.schema.encoding == encoding
        assert list(source.rows("日本")) == [("😀 ﷺ",), ("a\0b",), (b"\1",), (InvalidText(half),)]


def test_rows_come_in_the_order_of_the_key_compared_as_binary(tmp_path: Path) -> None:
    script = """CREATE TABLE n(k TEXT PRIMARY KEY COLLATE NOCASE); INSERT INTO n VALUES('b'),('A'),('a1'),('C');
                CREATE TABLE w(k TEXT, n INT, PRIMARY KEY(n, k)) WITHOUT ROWID;
                INSERT INTO w VALUES('z',1),('a',2),('b',1);
                CREATE TABLE r(v); INSERT INTO r(rowid, v) VALUES(7,'late'),(-3,'early');"""
    with open_source(build(tmp_path / "o.db", script)) as source:
        assert [row[0] for row in source.rows("n")] == ["A", "C", "a1", "b"]
        assert list(source.rows("w", ["k"])) == [("b",), ("z",), ("a",)]
        assert list(source.rows_with_key("w")) == [((1, "b"), ("b", 1)), ((1, "z"), ("z", 1)), ((2, "a"), ("a", 2))]
        assert list(source.rows_with_key("r")) == [((-3,), ("early",)), ((7,), ("late",))]


def test_a_column_may_take_the_rowids_names(tmp_path: Path) -> None:
    script = "CREATE TABLE t(rowid TEXT, \"_rowid_\" TEXT); INSERT INTO t VALUES('b','y'),('a','x')"
    with open_source(build(tmp_path / "r.db", script)) as source:
        assert source.schema.table("t").rowid_name == "oid"
        assert [key for key, _row in source.rows_with_key("t")] == [(1,), (2,)]


def test_views_and_triggers_of_the_file_never_run(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c"
    script = f"""CREATE TABLE t(v); INSERT INTO t VALUES(1); CREATE VIEW evil AS {endless};
                 CREATE TRIGGER boom AFTER INSERT ON t BEGIN DELETE FROM t; END;"""
    with open_source(build(tmp_path / "evil.db", script)) as source:
        assert [view.name for view in source.schema.views] == ["evil"]
        assert [trigger.name for trigger in source.schema.triggers] == ["boom"]
        with pytest.raises(Refused, match="would run code"):
            list(source.query("SELECT * FROM evil"))


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH 'other.db' AS other",
        "INSERT INTO t VALUES(1)",
        "CREATE TEMP TABLE x(y)",
        "SELECT load_extension('x')",
        "PRAGMA writable_schema=ON",
        "PRAGMA journal_mode=DELETE",
    ],
)
def test_nothing_but_reading_is_allowed(tmp_path: Path, sql: str) -> None:
    with open_source(build(tmp_path / "t.db", "CREATE TABLE t(v)")) as source, pytest.raises(Refused):
        list(source.query(sql))


def test_a_cell_over_the_limit_names_table_and_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrations_app.engine.source.sqlite_source.MAX_CELL_BYTES", 100_000)
    path = build(
        tmp_path / "big.db", "CREATE TABLE t(v); INSERT INTO t VALUES('ok'); INSERT INTO t VALUES(zeroblob(200000))"
    )
    with open_source(path) as source, pytest.raises(Refused) as caught:
        list(source.rows("t"))
    assert caught.value.code == "VALUE_TOO_LARGE"
    assert """'t', row {"rowid": 2}.""" in caught.value.message


def test_long_reading_stops_when_asked(tmp_path: Path) -> None:
    rows = [("INSERT INTO t VALUES(?)", (i,)) for i in range(3000)]
    control = Control()
    with open_source(build(tmp_path / "t.db", "CREATE TABLE t(v)", rows), control) as source:
        control.stop.set()
        with pytest.raises(Cancelled):
            list(source.query("SELECT count(*) FROM t a, t b, t c"))


def test_generated_columns_shadow_tables_and_unknown_modules_are_listed(tmp_path: Path) -> None:
    script = """CREATE TABLE g(a INT, v AS (a*2), s TEXT GENERATED ALWAYS AS (a || ',(') STORED);
                INSERT INTO g(a) VALUES(4);
                CREATE VIRTUAL TABLE f USING fts5(title); INSERT INTO f VALUES('found');
                PRAGMA writable_schema=ON;
                INSERT INTO sqlite_master VALUES('table','u','u',0,'CREATE VIRTUAL TABLE u USING unicorn(a)');"""
    with open_source(build(tmp_path / "v.db", script)) as source:
        generated = [(c.name, c.generated, c.generated_sql) for c in source.schema.table("g").columns]
        assert generated == [("a", "", ""), ("v", "virtual", "a*2"), ("s", "stored", "a || ',('")]
        assert list(source.rows("g")) == [(4, 8, "4,(")]
        kinds = {table.name: table.kind for table in source.schema.tables}
        assert kinds["f"] == "virtual" and kinds["f_content"] == "shadow" and kinds["u"] == "virtual"
        assert list(source.rows("f")) == [("found",)]
        assert source.schema.table("u").columns == ()


def test_names_that_would_break_sql_are_read(tmp_path: Path) -> None:
    name = 'x"; DROP TABLE t; --%s'
    quoted = '"' + name.replace('"', '""') + '"'
    path = build(tmp_path / "n.db", f"CREATE TABLE {quoted}({quoted} TEXT); INSERT INTO {quoted} VALUES('still here')")
    with open_source(path) as source:
        assert list(source.rows(name, [name])) == [("still here",)]


def test_an_index_on_a_json_path_is_no_damage(tmp_path: Path) -> None:
    """SQLite calls json_extract() unsafe in a schema that it doesn't trust, as soon as it parses that."""
    path = build(
        tmp_path / "json.db",
        "CREATE TABLE t (a TEXT); CREATE INDEX by_path ON t (json_extract(a, '$.x')); INSERT INTO t VALUES ('{}')",
    )
    with open_source(path) as source:
        assert source.check_integrity() == ()
        assert list(source.rows("t")) == [("{}",)]
