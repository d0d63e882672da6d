"""Lines made by SQLite are byte for byte those made cell by cell, in whatever parts."""

import math
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.export import part_writer, source_lines
from migrations_app.engine.export.source_lines import PartReader
from migrations_app.engine.planning.planning import check_plan_with_profile
from migrations_app.engine.source import line_sql, table_parts
from migrations_app.engine.source.cells import encode_row
from migrations_app.engine.source.opening import open_again, open_source
from migrations_app.engine.source.row_ranges import Part
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.source.table_parts import parts
from tests.migrations_app.engine.artefacts import every_kind, execute, plain_plan
from tests.migrations_app.engine.export.test_export import export, snapshot

ODD = [
    *(None, 0, -1, 2**63 - 1, -(2**63), 7),
    *(0.0, -0.0, 0.5, 1.0, -2.25, 0.1, 1 / 3, 1e15, 1e16, 1e10, 10000000000.0625, 123456789.0625, 5e-324, 1.7e308),
    *(float("inf"), float("-inf")),
    *("", "null", '"', "\\", "\\n", "a\nb\r\tc\x0b\x0c\x08\x1f\x7f", "nul\0inside", "\0", "é名🎉\u2028", "[1,2]", "{}"),
    *(b"", b"\0\xff", b'"', b"abc"),
]
DECLARED = ("INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB", "", "VARCHAR(10)", "BOOLEAN")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A table with a column of every affinity, and every odd value in each; BLOBs where one would look for them."""
    path = tmp_path / "odd.sqlite"
    columns = ", ".join(f"c{place} {declared}" for place, declared in enumerate(DECLARED))
    insert = f"INSERT INTO t VALUES ({', '.join('?' * len(DECLARED))})"
    seeded = random.Random(5)
    drawn = [[value] * len(DECLARED) for value in ODD] + [[seeded.choice(ODD) for _ in DECLARED] for _ in range(300)]
    rows = [
        (insert, [_likely(value, declared) for value, declared in zip(row, DECLARED, strict=True)]) for row in drawn
    ]
    execute(path, f"CREATE TABLE t ({columns})", rows)
    return path


def _likely(value: object, declared: str) -> object:
    if declared == "REAL" and not isinstance(value, int | float):
        return None
    return None if isinstance(value, bytes) and declared in ("TEXT", "VARCHAR(10)") else value


def fast_and_careful(source: Source, name: str, *, profiled: bool) -> tuple[bytes, bytes, int]:
    """All lines by SQL, all lines by Python, and how many blocks SQLite made."""
    table = source.schema.table(name)
    columns = [column.name for column in table.columns]
    found = check_plan_with_profile(plain_plan(source.schema), source)[1].table(name) if profiled else None
    reader = PartReader(source, name, columns, (), found)
    assert reader.fast
    blocks = [block for part in parts(source, name) for block in reader.blocks(part)]
    careful = b"".join(encode_row(row) for _key, row in source.rows_by_rowid(Part(name, 0), columns, -1))
    return b"".join(block.raw for block in blocks), careful, len([block for block in blocks if block.rows > 1])


@pytest.mark.parametrize("profiled", [True, False])
def test_sqlite_writes_every_odd_cell_as_python_does(odd: Path, profiled: bool) -> None:
    with open_source(odd) as source:
        fast, careful, blocks = fast_and_careful(source, "t", profiled=profiled)
    assert fast == careful
    assert blocks > 0


@pytest.mark.parametrize("value", [value for value in ODD if isinstance(value, str | bytes)])
@pytest.mark.parametrize("declared", DECLARED)
def test_a_cell_that_nobody_would_expect_there_comes_all_the_same(tmp_path: Path, declared: str, value: object) -> None:
    path = tmp_path / "a.sqlite"
    execute(path, f"CREATE TABLE t (a {declared})", [("INSERT INTO t VALUES (?)", (value,))])
    with open_source(path) as source:
        reader = PartReader(source, "t", ["a"])
        assert b"".join(block.raw for block in reader.blocks(Part("t", 0))) == encode_row(next(source.rows("t")))


def test_random_reals_keep_every_bit(tmp_path: Path) -> None:
    path, seeded = tmp_path / "a.sqlite", random.Random(11)
    values = [
        seeded.choice((seeded.random(), seeded.randrange(-(2**20), 2**20) / 16, seeded.gauss(0, 1e12)))
        for _ in range(4000)
    ]
    values += [seeded.uniform(-1e6, 1e6) * 10 ** seeded.randrange(-300, 300) for _ in range(4000)]
    execute(path, "CREATE TABLE t (x REAL, y)", [("INSERT INTO t VALUES (?, ?)", (v, v)) for v in values])
    with open_source(path) as source:
        fast, careful, _blocks = fast_and_careful(source, "t", profiled=False)
    assert fast == careful


REPEATED = (0.0, 0.5, -2.0, 0.1, 1 / 3, -4000 / 3, 1e16, 1e300, 5e-324, float("inf"))


@pytest.mark.parametrize("common", REPEATED)
def test_a_real_that_a_column_repeats_is_told_from_its_neighbours(tmp_path: Path, common: float) -> None:
    path = tmp_path / "a.sqlite"
    beside = [-common, math.nextafter(common, 1e308), math.nextafter(common, -1e308), None, 0.0, -0.0, *REPEATED]
    values = [common] * 300 + beside * 3
    execute(path, "CREATE TABLE t (x, y REAL)", [("INSERT INTO t VALUES (?, ?)", (v, v)) for v in values])
    with open_source(path) as source:
        profile = check_plan_with_profile(plain_plan(source.schema), source)[1].table("t")
        assert common in source_lines.repeated_reals(source, source.schema.table("t"), profile)["x"]
        fast, careful, blocks = fast_and_careful(source, "t", profiled=True)
    assert fast == careful
    assert blocks > 0


def test_a_sqlite_without_mathematics_tells_the_zeros_apart_too(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_sql, "_knows_angles", lambda source: False)
    with open_source(odd) as source:
        fast, careful, blocks = fast_and_careful(source, "t", profiled=True)
    assert fast == careful
    assert blocks > 0


def test_parts_cover_every_row_once_whatever_the_rowids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_parts, "PART_ROWS", 4)
    monkeypatch.setattr(source_lines, "BLOCK_ROWS", 3)
    path = tmp_path / "a.sqlite"
    keys = [-(2**63), -5, 0, 1, 2, 3, 10, 11, 12, 2**40, 2**63 - 1]
    execute(path, "CREATE TABLE t (id INTEGER PRIMARY KEY)", [("INSERT INTO t VALUES (?)", (key,)) for key in keys])
    with open_source(path) as source:
        found = parts(source, "t")
        reader = PartReader(source, "t", ["id"])
        lines = [b"".join(block.raw for block in reader.blocks(part)) for part in found]
        assert [raw.count(b"\n") for raw in lines] == [4, 4, 3]
        assert b"".join(lines) == b"".join(b"[%d]\n" % key for key in keys)
        for skip in range(12):
            rest = b"".join(block.raw for block in reader.blocks(Part("t", 0), skip))
            assert rest == b"".join(b"[%d]\n" % key for key in keys[skip:])


@pytest.mark.parametrize("ddl", ["(k TEXT PRIMARY KEY, v) WITHOUT ROWID", "(rowid, oid, _rowid_, v)"])
def test_tables_that_no_rowid_reaches_come_whole(tmp_path: Path, ddl: str) -> None:
    path = tmp_path / "a.sqlite"
    marks = ", ".join("?" for _ in range(ddl.count(",") + 1))
    rows = [[f"k{n}"] * (ddl.count(",") + 1) for n in (3, 1, 2)]
    execute(path, f"CREATE TABLE t {ddl}", [(f"INSERT INTO t VALUES ({marks})", row) for row in rows])
    with open_source(path) as source:
        columns = [column.name for column in source.schema.table("t").columns]
        reader = PartReader(source, "t", columns)
        for skip in range(4):
            raw = b"".join(block.raw for block in reader.blocks(Part("t", 0), skip))
            expected = b"".join(encode_row(row) for row in source.rows("t", columns)).splitlines(keepends=True)
            assert raw == b"".join(expected[skip:])


def test_a_block_that_is_too_large_or_not_text_comes_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_lines, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(source_lines, "BLOCK_ROWS", 10)
    path = tmp_path / "a.sqlite"
    texts = ["x" * (30_000 if n == 15 else 10) for n in range(40)]
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)",
        [("INSERT INTO t(x) VALUES (?)", (text,)) for text in texts]
        + [("INSERT INTO t(x) VALUES (CAST(? AS TEXT))", (b"\xff",))],
    )
    with open_source(path) as source:
        fast, careful, blocks = fast_and_careful(source, "t", profiled=False)
    assert fast == careful
    assert blocks == 3


def test_a_sqlite_that_writes_otherwise_is_not_used(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_sql, "_PRINTED_ALIKE", "{0} <> 0")
    with open_source(odd) as source:
        assert not PartReader(source, "t", ["c0"]).fast


@pytest.mark.parametrize("profiled", [True, False])
def test_an_export_is_the_same_bytes_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profiled: bool
) -> None:
    monkeypatch.setattr(part_writer, "CHUNK_ROWS", 7)
    monkeypatch.setattr(table_parts, "PART_ROWS", 20)
    monkeypatch.setattr(source_lines, "BLOCK_ROWS", 5)
    path = every_kind(tmp_path / "a.sqlite", people=90)
    export(path, tmp_path / "fast", profiled=profiled, photo="bytea")
    monkeypatch.setattr(source_lines, "FAST", False)
    export(path, tmp_path / "careful", profiled=profiled, photo="bytea")
    assert snapshot(tmp_path / "fast") == snapshot(tmp_path / "careful")


@pytest.fixture
def wal(tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    path = tmp_path / "wal.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.executescript(
            "PRAGMA journal_mode=WAL; CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);"
        )
        yield path, writer


def test_a_file_opened_again_is_known_to_show_the_same_snapshot_or_not(wal: tuple[Path, sqlite3.Connection]) -> None:
    path, writer = wal
    with open_source(path) as source:
        with open_again(source.address, Control()) as other:
            assert source.is_alone(other.identity)
            writer.execute("INSERT INTO t VALUES (2)")
            assert list(other.rows("t")) == list(source.rows("t")) == [(1,)]
        with open_again(source.address, Control()) as other:
            assert not source.is_alone(other.identity)
    with open_source(path, Control()) as source, open_again(source.address, Control()) as other:
        assert source.is_alone(other.identity) and list(other.rows("t")) == [(1,), (2,)]
        replaced = path.with_name("other.sqlite")
        shutil.copy(path, replaced)
        replaced.rename(path)
        assert not source.is_alone(other.identity)
