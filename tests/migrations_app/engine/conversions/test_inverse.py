"""The way back of values: every cell of a column comes back bit for bit, or the column is refused and named."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import RowUnfit, conversion, row_converter
from migrations_app.engine.conversions.inverse import InverseForms, forms_from_document, learn, try_to_learn
from migrations_app.engine.conversions.inverse_values import same_cell
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import LOAD, MODE_EXISTING, ColumnPlan, MovePlan, TablePlan
from migrations_app.engine.source.cells import Cell
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from tests.migrations_app.engine.random_databases import Database, databases
from tests.migrations_app.engine.round_trip import planned

MANY = int(os.environ.get("CAUSEWAY_PROPERTY_EXAMPLES", "2000"))
_common = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
few = settings(_common, max_examples=120, derandomize=True, database=None)
many = settings(_common, max_examples=5 * MANY)


def make_file(path: Path, declared: str, cells: Iterable[Cell]) -> Path:
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
    connection.executemany("INSERT INTO t (v) VALUES (?)", [(cell,) for cell in cells])
    connection.commit()
    connection.close()
    return path


def make_plan(declared: str, target_type: str, name: str, on_unfit: str = "fail") -> MovePlan:
    columns = (
        ColumnPlan("id", "id", "INTEGER", "bigint", "bigint", not_null=True),
        ColumnPlan("v", "v", declared, target_type, name, on_unfit=on_unfit),
    )
    return MovePlan(MODE_EXISTING, "public", "digest", "UTF-8", (TablePlan("t", "t", LOAD, columns, ("id",)),))


def learned(folder: Path, declared: str, target_type: str, name: str, cells: Iterable[Cell]) -> str:
    """The form of a column; every cell was had back by it."""
    plan = make_plan(declared, target_type, name)
    with open_source(make_file(folder / "one.db", declared, cells)) as source:
        forms = learn(source, plan, Control())
        assert_law(source, plan, forms)
    return forms.tables["t"]["v"]


def assert_law(source: Source, plan: MovePlan, forms: InverseForms) -> None:
    """inverse(convert(cell)) is the cell; where a remark allows another spelling, it converts to the same."""
    loose = {(remark.table, remark.column) for remark in forms.remarks}
    for table in plan.tables:
        if not table.is_loaded:
            continue
        inverse, convert_row = forms.of_table(table), row_converter(table)
        for row in source.rows(table.name, [column.name for column in table.loaded_columns]):
            texts = convert_row(row)
            if texts is None:
                continue  # left out, by choice
            for column, cell, text in zip(table.loaded_columns, row, texts, strict=True):
                if column not in inverse.columns:
                    continue  # refused
                back = None if text is None else inverse.undo(column.name)(text)
                if (table.name, column.name) in loose and column.conversion != "numeric_rounded":
                    assert conversion(column.conversion, column.target_type).convert(back) == text
                elif (table.name, column.name) not in loose:
                    assert same_cell(back, cell), (column, cell, text, back)


@given(databases(objects=False), st.integers(0, 7))
@few
def test_random_columns_come_back_whole_or_are_refused(database: Database, chooser: int) -> None:
    law_on(database, chooser)


@pytest.mark.chaos
@given(databases(objects=False), st.integers(0, 7))
@many
def test_many_random_columns_come_back_whole_or_are_refused(database: Database, chooser: int) -> None:
    law_on(database, chooser)


def law_on(database: Database, chooser: int) -> None:
    with planned(database, chooser) as (source, plan, _profile, _folder):
        if plan is None:
            return
        forms, problems = try_to_learn(source, plan, Control())
        refused = {(finding.table, finding.column) for finding in problems}
        for table in plan.tables:
            if table.is_loaded:
                known = {column.name for column in table.loaded_columns} - {c for t, c in refused if t == table.name}
                assert set(forms.tables[table.name]) == known
                for column in table.loaded_columns:
                    if (table.name, column.name) in refused:
                        assert may_lose(column), column
        assert_law(source, plan, forms)


def may_lose(column: ColumnPlan) -> bool:
    """Conversions that were chosen by a person although they merge values, or take several spellings."""
    word = column.conversion.partition(":")[0]
    free = column.conversion in ("timestamp", "time", "text") or "generated" in column.reason
    return free or word in ("boolean_words", "uuid", "numeric_rounded", "text_bytes")  # in keys, or merged


SPELLINGS: list[tuple[str, str, str, list[Cell], str]] = [
    ("BOOLEAN", "boolean", "boolean", [0, 1, None], "boolean"),
    ("TEXT", "boolean", "boolean_words", ["True", "False"], 'words:["True","False"]'),
    ("TEXT", "boolean", "boolean_words", ["YES"], 'words:["YES","NO"]'),
    ("TEXT", "boolean", "boolean_words", ["f"], 'words:["t","f"]'),
    ("INTEGER", "boolean", "boolean_words", [], "words:[1,0]"),
    ("TEXT", "uuid", "uuid", ["0123456789abcdef0123456789abcdef"], "uuid:plain"),
    ("TEXT", "uuid", "uuid", ["01234567-89AB-CDEF-0123-456789ABCDEF"], "uuid:DASHES"),
    ("BLOB", "uuid", "uuid", [bytes(range(16))], "uuid:bytes"),
    ("TEXT", "numeric(10,2)", "numeric", ["3.50", "2.00"], "text"),
    ("TEXT", "numeric(10,2)", "numeric", ["3.5", "2"], "trimmed"),
    ("TEXT", "numeric(10,2)", "numeric", ["3.5", "2.0"], "one_place"),
    ("TEXT", "numeric", "numeric", ["12345678901234567890"], "text"),
    ("DECIMAL(10,2)", "numeric(10,2)", "numeric", [3, 3.5], "number"),
    ("", "numeric(10,2)", "numeric", [3.0, 3.5], "real"),
    ("", "numeric(10,2)", "numeric", [3, 3.5], "number"),
    ("", "double precision", "double", [1.0, -0.0], "real"),
    ("NUMERIC", "double precision", "double", [3, 2**60, 0.5], "float_number"),
    ("TEXT", "double precision", "double", ["1.0"], "float_words"),
    ("TEXT", "double precision", "double", ["1", "0.5"], "short_words"),
    ("TEXT", "bigint", "bigint", ["7"], "text"),
    ("", "integer", "integer", [7.0], "real"),
    ("DATETIME", "timestamp", "timestamp", ["2024-01-02 03:04:05", "2024-01-02 03:04:05.000123"], "space-py-"),
    ("DATETIME", "timestamp", "timestamp", ["2024-01-02T03:04:05.000000"], "T-6-"),
    ("DATETIME", "timestamp", "timestamp", ["2024-01-02 03:04:05.120"], "space-3-"),
    ("DATETIME", "timestamp", "timestamp", ["2024-01-02 03:04:05.12", "2024-01-02 03:04:05.1"], "space-trim-"),
    ("DATETIME", "timestamptz", "timestamptz", ["2024-01-02 03:04:05Z"], "space-py-Z"),
    ("DATETIME", "timestamptz", "timestamptz", ["2024-01-02T03:04:05-02:30"], "T-py--02:30"),
    ("DATETIME", "timestamptz", "timestamptz", ["0001-01-01 00:00:00+0000"], "space-py-+0000"),
    ("TIME", "time", "time", ["03:04:05.500000", "00:00:00.000000"], "space-6-"),
    ("DATETIME", "timestamptz", "epoch:ms", [1700000000123, -5], "number"),
    ("REAL", "timestamptz", "epoch:s", [1700000000.5, 17.0], "real"),
    ("REAL", "timestamptz", "julian", [2460000.5, 2440587.5, 2459000.123456], "real"),
    ("TEXT", "interval", "interval", ["1970-01-01 00:00:05.000000", "1969-12-31 23:00:00.000000"], "space-6-"),
    ("BIGINT", "interval", "interval_microseconds", [5, -1, 10**13], "microseconds"),
    ("TEXT", "jsonb", "jsonb", ['{"a": 1, "b": ["é", null]}'], "json:printed"),
    ("TEXT", "jsonb", "jsonb", ['{"a": "\\u00e9\\ud83d\\ude00"}'], "json:ascii"),
    ("TEXT", "jsonb", "jsonb", ['{"a":1,"b":[", : ",{"c":2}]}'], "json:compact"),
    ("JSON", "jsonb", "jsonb", [5, 1.5, '"x"', None], "json:printed-number"),
    ("TEXT", "integer[]", "array:integer", ["[1, 2]", "[]", "[null]"], "array:number-wide-ascii"),
    ("TEXT", "text[]", "array:text", ['["a,\\"b\\\\", "NULL", "{}", ""]'], "array:string-wide-ascii"),
    ("TEXT", "boolean[]", "array:boolean", ["[true,false]"], "array:boolean-narrow-ascii"),
    ("TEXT", "character(5)", "char", ["ab", ""], "padded:text"),
    ("TEXT", "bytea", "text_bytes:UTF-8", ["é", "plain"], "encoded:UTF-8"),
    ("", "text", "text", ["a", 5, 1.5, 1e300], "text_or_number"),
    ("", "text", "tagged_text", ["a", 5, 1.5, b"\0", None, "a\0b"], "tagged"),
]


@pytest.mark.parametrize(("declared", "target_type", "name", "cells", "form"), SPELLINGS)
def test_a_columns_spelling_is_learned_from_its_cells(
    declared: str, target_type: str, name: str, cells: list[Cell], form: str, tmp_path: Path
) -> None:
    types = {"timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone"}
    assert learned(tmp_path, declared, types.get(target_type, target_type), name, cells) == form


MERGED: list[tuple[str, str, str, list[Cell], int]] = [
    ("", "numeric(10,2)", "numeric", [3, 3.0], 2),
    ("", "text", "text", ["5", 5], 2),
    ("BLOB", "bytea", "text_bytes:UTF-8", ["a", b"b"], 2),
    ("TEXT UNIQUE", "uuid", "uuid", ["0123456789abcdef0123456789abcdef", "F123456789ABCDEF0123456789ABCDEF"], 2),
    ("TEXT UNIQUE", "timestamp without time zone", "timestamp", ["2024-01-02T03:04:05", "2024-01-02 03:04:06"], 2),
]


@pytest.mark.parametrize(("declared", "target_type", "name", "cells", "row"), MERGED)
def test_a_column_whose_cells_cannot_be_told_apart_is_refused_with_its_first_row_and_no_value(
    declared: str, target_type: str, name: str, cells: list[Cell], row: int, tmp_path: Path
) -> None:
    plan = make_plan(declared.removesuffix(" UNIQUE"), target_type, name)
    with open_source(make_file(tmp_path / "two.db", declared, cells)) as source:
        with pytest.raises(Refused) as caught:
            learn(source, plan, Control())
        problems = try_to_learn(source, plan, Control())[1]
    assert caught.value.code == "ONLINE_NO_INVERSE"
    assert "t.v" in caught.value.message
    assert f'{{"id": {row}}}' in caught.value.message
    assert not any(str(cell) in caught.value.message for cell in cells if isinstance(cell, str) and len(cell) > 4)
    assert [(each.severity, each.table, each.column, each.count) for each in problems] == [("refuse", "t", "v", 1)]


MIXED: list[tuple[str, str, str, list[Cell], str]] = [
    (
        "TEXT",
        "uuid",
        "uuid",
        ["0123456789abcdef0123456789abcdef", *["0123456789ABCDEF0123456789ABCDEF"] * 2],
        "uuid:PLAIN",
    ),
    ("TEXT", "timestamp", "timestamp", ["2024-01-02T03:04:05", *["2024-01-02 03:04:05.000000"] * 2], "space-6-"),
    ("TEXT", "timestamptz", "timestamptz", [*["2024-01-02 03:04:05Z"] * 2, "2024-01-02 03:04:05+01:00"], "space-py-Z"),
    ("TEXT", "boolean", "boolean_words", ["yes", "true", "true", "false"], 'words:["true","false"]'),
    ("TEXT", "numeric(10,2)", "numeric", ["3.5", "3.5", "3.50"], "trimmed"),
    ("NUMERIC", "numeric(10,2)", "numeric_rounded", [1.5, 1.005], "number"),
    ("TEXT", "jsonb", "jsonb", ['{"bb":1,"a":2}', '{"x":1}', '{"x": 1}', '{"y":2}'], "json:compact"),
]


@pytest.mark.parametrize(("declared", "target_type", "name", "cells", "form"), MIXED)
def test_of_several_spellings_the_most_frequent_is_taken_and_said_in_a_remark(
    declared: str, target_type: str, name: str, cells: list[Cell], form: str, tmp_path: Path
) -> None:
    types = {"timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone"}
    plan = make_plan(declared, types.get(target_type, target_type), name)
    with open_source(make_file(tmp_path / "mixed.db", declared, cells)) as source:
        forms = learn(source, plan, Control())
        assert_law(source, plan, forms)
    assert forms.tables["t"]["v"] == form
    assert [(remark.table, remark.column) for remark in forms.remarks] == [("t", "v")]
    assert forms.of_table(plan.tables[0]).lost((1, cells[0]), ("1", "another")) == ""


def test_rows_that_the_plan_leaves_out_do_not_count(tmp_path: Path) -> None:
    plan = make_plan("TEXT", "uuid", "uuid", on_unfit="skip_row")
    cells = ["0123456789abcdef0123456789abcdef", "no uuid", None]
    with open_source(make_file(tmp_path / "skip.db", "TEXT", cells)) as source:
        assert learn(source, plan, Control()).tables["t"]["v"] == "uuid:plain"


def test_a_generated_column_that_is_an_ordinary_one_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "generated.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT AS (id || 'x'))")
    connection.close()
    with open_source(path) as source, pytest.raises(Refused, match=r"t\.v is generated"):
        learn(source, make_plan("TEXT", "text", "text"), Control())


def test_forms_survive_their_document_and_another_plan_refuses_them(tmp_path: Path) -> None:
    plan = make_plan("TEXT", "jsonb", "jsonb")
    with open_source(make_file(tmp_path / "one.db", "TEXT", ['{"bb": 1, "a":2}', "{}"])) as source:
        forms = learn(source, plan, Control())
    document = json.loads(json.dumps(forms.to_document()))
    assert forms_from_document(document, plan) == forms
    with pytest.raises(ValueError, match="another plan"):
        forms_from_document(document, make_plan("TEXT", "text", "text"))
    document["tables"]["t"]["v"] = "no such form"
    with pytest.raises(ValueError, match="don't fit"):
        forms_from_document(document, plan)


def test_a_cell_that_came_later_in_another_spelling_is_noticed(tmp_path: Path) -> None:
    plan = make_plan("TEXT", "uuid", "uuid")
    with open_source(make_file(tmp_path / "one.db", "TEXT", ["0123456789abcdef0123456789abcdef"])) as source:
        inverse = learn(source, plan, Control()).of_table(plan.tables[0])
    text = "01234567-89ab-cdef-0123-456789abcdef"
    assert inverse.lost((1, "0123456789abcdef0123456789abcdef"), ("1", text)) == ""
    assert inverse.lost((1, text), ("1", text)) == "v"


# What an application may write on PostgreSQL that no cell stands for.
UNFIT = [
    ("DATETIME", "timestamp without time zone", "timestamp", "infinity"),
    ("DATETIME", "timestamp without time zone", "timestamp", "0044-03-15 00:00:00 BC"),
    ("REAL", "double precision", "double", "NaN"),
    ("DECIMAL(5,2)", "numeric(5,2)", "numeric", "NaN"),
    ("TEXT", "timestamp with time zone", "epoch:ms", "2024-01-01 00:00:00.000001+00"),
    ("BIGINT", "interval", "interval_microseconds", "1 mon"),
    ("TEXT", "text", "tagged_text", "written by the application"),
    ("TEXT", "text[]", "array:text", "{{a},{b}}"),
    ("TEXT", "text[]", "array:text", "[2:3]={a,b}"),
    ("BIGINT", "bigint", "bigint", "9" * 5000),  # more digits than Python reads
    ("DECIMAL", "numeric", "numeric_apart", "9" * 5000),
    ("TEXT", "text", "tagged_text", "i:" + "9" * 5000),
]


def test_a_text_of_very_many_digits_is_no_number() -> None:
    column = ColumnPlan("v", "v", "", "text", "text")
    forms = InverseForms("", {"t": {"v": "text_or_number"}})
    inverse = forms.of_table(TablePlan("t", "t", LOAD, (column,), ()))
    assert inverse.cells(("9" * 5000,)) == ("9" * 5000,)


@pytest.mark.parametrize(("declared", "target_type", "name", "text"), UNFIT)
def test_a_value_without_a_cell_is_said_with_its_column(
    declared: str, target_type: str, name: str, text: str, tmp_path: Path
) -> None:
    plan = make_plan(declared, target_type, name)
    with open_source(make_file(tmp_path / "none.db", declared, [])) as source:
        inverse = learn(source, plan, Control()).of_table(plan.tables[0])
    with pytest.raises(RowUnfit) as caught:
        cells = inverse.cells(("1", text))
        conversion(name, target_type).convert(cells[1])
        raise AssertionError(cells)
    assert caught.value.column == "v"
    assert text == "NaN" or text not in caught.value.why


@given(st.floats(allow_nan=False))
@example(-0.0)
@example(math.inf)
@example(2.0**63)
@few
def test_every_double_comes_back(value: float) -> None:
    column = ColumnPlan("v", "v", "REAL", "double precision", "double")
    forms = InverseForms("", {"t": {"v": "real"}})
    inverse = forms.of_table(TablePlan("t", "t", LOAD, (column,), ()))
    text = conversion("double", "double precision").convert(value)
    assert text is not None
    assert same_cell(inverse.cells((text,))[0], value)
