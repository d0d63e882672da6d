"""The quick comparison says "equal" of equal tables, and never of others."""

import itertools
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from migrations_app.engine.conversions.conversions import Unfit, conversion
from migrations_app.engine.export import source_lines
from migrations_app.engine.load.copy_direct import csv_lines
from migrations_app.engine.plan import ColumnPlan
from migrations_app.engine.side_process import SideProcess
from migrations_app.engine.source import table_parts
from migrations_app.engine.source.line_sql import export_line
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify import compare_shares
from migrations_app.engine.verify.compare import verify
from migrations_app.engine.verify.compare_blocks import rows_if_equal
from migrations_app.engine.verify.printed_sql import printed_cells
from tests.migrations_app.engine.artefacts import execute
from tests.migrations_app.engine.load.test_copy_direct import TEXTS, export, load, path  # noqa: F401 - path is a fixture
from tests.migrations_app.engine.moves import Look

CONVERSIONS = [
    *(("int8_strict", "bigint"), ("bigint", "bigint"), ("integer", "integer"), ("smallint", "smallint")),
    *(("double", "double precision"), ("real", "real"), ("numeric", "numeric"), ("numeric", "numeric(10,2)")),
    *(("numeric", "numeric(6,0)"), ("numeric_rounded", "numeric(10,2)"), ("boolean", "boolean")),
    *(("boolean_words", "boolean"), ("text", "text"), ("varchar", "varchar(40)"), ("char", "char(12)")),
    *(("bytea", "bytea"), ("tagged_text", "text"), ("text_bytes:UTF-8", "bytea"), ("verbatim", "inet")),
    *(("date", "date"), ("time:space-py-", "time without time zone"), ("uuid", "uuid"), ("uuid_strict", "uuid")),
    *((f"timestamp{form}", "timestamp without time zone") for form in ("", ":space-py-", ":T-py-", ":space-6-")),
    *((f"timestamp{form}", "timestamp without time zone") for form in (":space-3-", ":space-trim-", ":T-3-Z")),
    *((f"timestamptz{form}", "timestamp with time zone") for form in ("", ":space-py-", ":space-py-+00:00", ":T-3-Z")),
    *(("timestamp", "timestamp(3) without time zone"), ("json", "json"), ("jsonb", "jsonb"), ("array:text", "text[]")),
    *(("epoch:s", "timestamp without time zone"), ("interval_microseconds", "interval")),
]
TIMES = [
    day + separator + clock + zone
    for day in ("2024-03-01", "2024-02-30", "0001-01-01", "9999-12-31", "２024-03-01")
    for separator in (" ", "T", "X")
    for clock in (
        "10:00:00",
        "10:00:00.5",
        "10:00:00.500",
        "10:00:00.500000",
        "10:00:00.",
        "10:00:00.000000",
        "24:00:00",
    )
    for zone in ("", "Z", "+00:00", "+00", "+02:00", " ")
]
CELLS: list[object] = [
    *(None, 0, 1, -1, 2, 12, 99999, 40000, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)),
    *(
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        0.0625,
        12.34,
        12.345,
        12.340000001,
        0.1,
        1 / 3,
        1e9,
        1e10,
        1e15,
        1e16,
        123456789012.5,
    ),
    *(5e-324, 1.7e308, float("inf"), float("-inf"), 1e-7, 9999999999.9375, 10000000000.0625, 2.5, 99.995),
    *("12", "-0", "0x10", "1.0", "1e3", "t", "true", "yes", "f", "2024-03-01", "2024-02-30", "10:00:00", "10:00:00.5"),
    *("0b8f0e5c-5a3d-4c55-9c3b-0123456789ab", "0B8F0E5C5A3D4C559C3B0123456789AB", '{"b":1,"a":1.0}', "[1, 2]", "NaN"),
    *(b"", b"\0\xff", b"12", b"0123456789abcdef", "nul\0x", "\0", "Infinity", "1.50", "01", " 12", "-1", "null"),
    *TEXTS,
    *TIMES,
]


def printed(source: object, name: str, target_type: str, declared: str, cell: object) -> bytes | None:
    """What SQLite prints for one cell; None where it leaves the cell to the careful way."""
    column = ColumnPlan("c", "c", declared, target_type, name)
    found = printed_cells(source, "table", (column,))[0]  # type: ignore[arg-type]
    sql = f"SELECT CAST({export_line((found.sql,))} AS BLOB) FROM (SELECT ? AS c)"
    try:
        (raw,) = source.select(sql, (cell,)).fetchone()  # type: ignore[attr-defined]
    except sqlite3.Error:
        return None
    return csv_lines(raw + b"\n")


def as_postgresql_prints(text: str | None, *, quoted: bool) -> bytes:
    if text is None:
        return b"null\n"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (f'"{escaped}"\n' if quoted else f"{text}\n").encode()


@pytest.mark.parametrize(("name", "target_type"), CONVERSIONS)
@pytest.mark.parametrize("declared", ["", "TEXT"])
def test_what_sqlite_prints_is_the_cells_own_form_and_never_that_of_another(
    tmp_path: Path, name: str, target_type: str, declared: str
) -> None:
    execute(tmp_path / "a.sqlite", "CREATE TABLE t (c)")
    convert = conversion(name, target_type).convert
    quoted = name not in ("int8_strict", "bigint", "integer", "smallint", "double")
    proper: dict[bytes, object] = {}
    improper: list[tuple[bytes, object]] = []
    exact = 0
    with open_source(tmp_path / "a.sqlite") as source:
        for cell in CELLS:
            if declared == "TEXT" and isinstance(cell, int | float):
                continue  # SQLite keeps no number in such a column
            found = printed(source, name, target_type, declared, cell)
            try:
                expected = as_postgresql_prints(convert(cell), quoted=quoted)  # type: ignore[arg-type]
            except Unfit:
                if found is not None:
                    improper.append((found, cell))
                continue
            proper[expected] = cell
            if found == expected:
                exact += 1
            elif found is not None:
                improper.append((found, cell))
    assert exact > 0
    for found, cell in improper:
        assert found not in proper, (cell, proper.get(found))


def test_equal_tables_of_every_kind_are_seen_equal_without_a_look_at_each_cell(
    path: Path,  # noqa: F811
    tmp_path: Path,
    url: TargetUrl,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, plan = export(path, tmp_path / "out")
    load(url, made, plan)
    answers: list[int | None] = []

    def watched(*arguments: object) -> int | None:
        answers.append(rows_if_equal(*arguments))  # type: ignore[arg-type]
        return answers[-1]

    monkeypatch.setattr(compare_shares, "rows_if_equal", watched)
    with open_source(path) as source:
        assert verify(source, plan, url).equal
        assert answers == [5, 400]
        monkeypatch.setattr(source_lines, "FAST", False)
        assert verify(source, plan, url).equal


CHANGES = {
    "a row less": "DELETE FROM t WHERE id = 399",
    "the first row missing": "DELETE FROM t WHERE id = 0",
    "a row more": "INSERT INTO t (id, note) VALUES (1000, 'x')",
    "one bit of a double": "UPDATE t SET wage = wage + 1e-15 WHERE id = (SELECT min(id) FROM t WHERE wage = 2.5)",
    "null for empty": "UPDATE t SET note = NULL WHERE id = (SELECT min(id) FROM t WHERE note = '')",
    "empty for null": "UPDATE t SET code = NULL WHERE id = 1",
    "a letter": "UPDATE t SET note = note || ' ' WHERE id = 200",
    "a microsecond": "UPDATE t SET moment = moment + interval '1 microsecond' WHERE id = 300",
    "a cent": "UPDATE t SET amount = amount + 0.01 WHERE id = 7",
    "a row below all": "INSERT INTO t (id, note) VALUES (-1, 'x')",
    "two rows exchanged": "UPDATE t SET note = CASE id WHEN 1 THEN (SELECT note FROM t WHERE id = 3) ELSE"
    " (SELECT note FROM t WHERE id = 1) END WHERE id IN (1, 3)",
}


@pytest.mark.parametrize("helped", [False, True])
def test_each_change_is_found_and_named_although_blocks_are_compared(
    path: Path,  # noqa: F811
    tmp_path: Path,
    url: TargetUrl,
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
    helped: bool,
) -> None:
    made, plan = export(path, tmp_path / "out")
    if helped:
        monkeypatch.setattr(table_parts, "PART_ROWS", 50)
        monkeypatch.setattr(compare_shares, "HELPED_BYTES", 0)
    load(url, made, plan)
    look.run("CREATE SCHEMA kept; CREATE TABLE kept.t AS TABLE t")
    with open_source(path) as source:
        for what, sql in CHANGES.items():
            look.run(sql)
            found = verify(source, plan, url).differences
            assert found, what
            assert {difference.table for difference in found} == {"t"}, what
            look.run("TRUNCATE t; INSERT INTO t SELECT * FROM kept.t")
        assert verify(source, plan, url).equal


def test_a_row_without_a_key_is_found_beside_shares_that_are_cut_by_the_key(
    path: Path,  # noqa: F811
    tmp_path: Path,
    url: TargetUrl,
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_parts, "PART_ROWS", 50)
    made, plan = export(path, tmp_path / "out")
    load(url, made, plan)
    look.run("ALTER TABLE t DROP CONSTRAINT t_pkey, ALTER id DROP IDENTITY IF EXISTS, ALTER id DROP NOT NULL")
    look.run("INSERT INTO t (id, note) VALUES (NULL, 'x')")
    with open_source(path) as source:
        assert "extra_row" in {difference.kind for difference in verify(source, plan, url).differences}


def test_helpers_compare_shares_of_the_rows_as_of_the_same_moment(
    path: Path,  # noqa: F811
    tmp_path: Path,
    url: TargetUrl,
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows that come to the target after the verification began are not seen, by whomever."""
    made, plan = export(path, tmp_path / "out")
    load(url, made, plan)
    monkeypatch.setattr(table_parts, "PART_ROWS", 50)
    monkeypatch.setattr(compare_shares, "HELPED_BYTES", 0)
    shared: list[int | None] = []
    receive, compare = SideProcess.receive, compare_shares.rows_if_equal
    ready = threading.Event()

    def received(self: SideProcess) -> Any:
        answer = receive(self)
        if isinstance(answer, int):
            shared.append(answer)
            ready.set()
        elif isinstance(answer, tuple):  # it has just begun
            look.run("INSERT INTO t (id, note) VALUES (55, 'late'), (5000, 'late')")
        return answer

    def patient(*arguments: Any) -> int | None:
        ready.wait(20)  # until a helper has done a share
        return compare(*arguments)

    monkeypatch.setattr(SideProcess, "receive", received)
    monkeypatch.setattr(compare_shares, "rows_if_equal", patient)
    look.run("DELETE FROM t WHERE id = 55")
    with open_source(path) as source:
        result = verify(source, plan, url)
    assert shared and {(each.row_key, each.kind) for each in result.differences} == {('{"id": 55}', "missing_row")}


def test_rows_are_compared_across_the_borders_of_blocks(
    path: Path,  # noqa: F811
    tmp_path: Path,
    url: TargetUrl,
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, plan = export(path, tmp_path / "out")
    load(url, made, plan)
    with open_source(path) as source:
        for rows in (1, 7, 100, 400):
            monkeypatch.setattr(source_lines, "BLOCK_ROWS", rows)
            assert verify(source, plan, url).equal
    assert list(itertools.chain(look.rows("SELECT count(*) FROM t"))) == [(400,)]


KEYLESS = {
    "a row twice": "INSERT INTO log VALUES ('same', 1)",
    "one of two equal rows less": "DELETE FROM log WHERE ctid = (SELECT min(ctid) FROM log WHERE line = 'same')",
    "a cell changed": "UPDATE log SET n = 8 WHERE n = 7",
    "rows with cells exchanged": "UPDATE log SET n = CASE n WHEN 5 THEN 6 ELSE 5 END WHERE n IN (5, 6)",
}


def test_rows_that_nothing_tells_apart_are_compared_in_any_order(
    tmp_path: Path, url: TargetUrl, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_file = tmp_path / "keyless.sqlite"
    rows = [("INSERT INTO log VALUES (?, ?)", (line, n)) for n, line in enumerate([*TEXTS, *["plain"] * 1500])]
    rows += [("INSERT INTO log VALUES ('same', 1)", ())] * 2
    execute(source_file, "CREATE TABLE log (line TEXT, n INTEGER)", rows)
    made, plan = export(source_file, tmp_path / "out")
    load(url, made, plan)
    answers: list[int | None] = []

    def watched(*arguments: object) -> int | None:
        answers.append(rows_if_equal(*arguments))  # type: ignore[arg-type]
        return answers[-1]

    monkeypatch.setattr(compare_shares, "rows_if_equal", watched)
    look.run("CREATE SCHEMA kept; CREATE TABLE kept.log AS SELECT * FROM log ORDER BY md5(log::text)")
    look.run("TRUNCATE log; INSERT INTO log SELECT * FROM kept.log")
    with open_source(source_file) as source:
        assert verify(source, plan, url).equal
        assert answers == [len(rows)]
        for what, sql in KEYLESS.items():
            look.run(sql)
            found = verify(source, plan, url).differences
            assert found and {difference.table for difference in found} == {"log"}, what
            look.run("TRUNCATE log; INSERT INTO log SELECT * FROM kept.log")


def test_a_key_that_is_no_longer_one_of_integers_is_compared_all_the_same(
    path: Path,  # noqa: F811
    tmp_path: Path,
    url: TargetUrl,
    look: Look,
) -> None:
    made, plan = export(path, tmp_path / "out")
    load(url, made, plan)
    look.run("ALTER TABLE t ALTER id DROP IDENTITY; ALTER TABLE t ALTER id TYPE numeric(20,1)")
    look.run("UPDATE t SET id = 0.5 WHERE id = 0")
    with open_source(path) as source:
        found = [each for each in verify(source, plan, url, limit=1000).differences if each.table == "t"]
    keys = {(each.kind, json.loads(each.row_key)["id"]) for each in found if each.row_key}
    assert {("missing_row", "0"), ("extra_row", "0.5"), ("missing_row", "1"), ("extra_row", "1.0")} <= keys
