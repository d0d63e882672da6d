"""A single document holds every cell, comes back the same, and is refused when anything about it is wrong."""

import json
from pathlib import Path

import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, Refused
from migrations_app.engine.export.export import open_export
from migrations_app.engine.export.single_document import DocumentResult, import_single_document, write_single_document
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.artefacts import every_kind, execute, plain_plan


def write(path: Path, document: Path, control: Control | None = None) -> DocumentResult:
    with open_source(path) as source:
        plan = plain_plan(source.schema)
        return write_single_document(source, plan, document, control or Control(), fingerprint(path))


def test_every_cell_comes_back(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    execute(path, 'CREATE TABLE "empty ""one""" (a, b)')
    result = write(path, tmp_path / "data_export_1.json")
    imported = import_single_document(result.path, tmp_path / "out")
    opened = open_export(tmp_path / "out", imported.sha256)
    with open_source(path) as source:
        for table in source.schema.tables:
            assert opened.table(table.name).column_names == tuple(column.name for column in table.columns)
            assert repr(list(opened.rows(table.name))) == repr(list(source.rows(table.name)))
    assert result.tables == imported.tables == {'empty "one"': 0, "log": 3, "people": 51, "words": 5}
    assert opened.plan is None
    assert [table.name for table in opened.schema.tables] == sorted(result.tables)


def test_it_is_json_that_anybody_can_read(tmp_path: Path) -> None:
    result = write(every_kind(tmp_path / "a.sqlite"), tmp_path / "d.json")
    document = json.loads(result.path.read_text(encoding="utf-8"))
    assert document["row_counts"] == {"log": 3, "people": 51, "words": 5}
    assert document["tables"]["people"][0] == {
        "id": 1,
        "name": "名前 1",
        "wage": 1 / 7,
        "photo": {"b": "01" * 9},
        "any_value": -(2**63),
    }
    assert result.path.stat().st_size == result.size
    assert result.path.stat().st_mode & 0o077 == 0


def test_a_document_that_was_stopped_has_no_name(tmp_path: Path) -> None:
    control = Control()
    control.stop.set()
    with pytest.raises(Cancelled):
        write(every_kind(tmp_path / "a.sqlite"), tmp_path / "out" / "d.json", control)
    assert not list((tmp_path / "out").iterdir())


def test_a_document_of_another_tool_is_read(tmp_path: Path) -> None:
    document = {"exported": {"by": [1]}, "tables": {"t": [{"a": 1, "b": True}, {"b": None, "a": 1.5}], "none": []}}
    (tmp_path / "d.json").write_text(json.dumps(document))
    import_single_document(tmp_path / "d.json", tmp_path / "out")
    opened = open_export(tmp_path / "out")
    assert list(opened.rows("t")) == [(1, 1), (1.5, None)]
    assert [table.name for table in opened.tables] == ["t"]


def table(*rows: str) -> bytes:
    return ('{"tables": {"t": [' + ", ".join(rows) + "]}}").encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"", ""),
        (b"not json", ""),
        (b"[]", ""),
        (b"{}", "tables"),
        (b'{"tables": []}', "'{'"),
        (b'{"tables": {"\\ud800": []}}', "surrogate"),
        (table('{"\\ud800": 1}'), "surrogate"),
        (b'{"tables": {"t": {}}}', "'t'"),
        (b'{"tables": {"t": []', ""),
        (b'{"tables": {}} {}', "behind its end"),
        (b'{"tables": {}, "tables": {}}', "twice"),
        (b'{"tables": {"t": [], "t": []}}', "twice"),
        (b'{"tables": {"t": []}, "row_counts": {"t": 1}}', "row_counts"),
        (table("[1]"), "row 1"),
        (table("{}"), "row 1"),
        (table('{"a": 1}', '{"b": 1}'), "row 2"),
        (table('{"a": 1}', "{}"), "row 2"),
        (table('{"a": 1, "a": 1}'), "twice"),
        (table('{"a": NaN}'), ""),
        (table('{"a": 1e400}'), "column 'a'"),
        (table('{"a": 9223372036854775808}'), "64 bits"),
        (table('{"a": ' + "9" * 10_000 + "}"), "64 bits"),
        (table('{"a": [1]}'), "column 'a'"),
        (table('{"a": {"x": 1}}'), "column 'a'"),
        (table('{"a": {"b": "0g"}}'), "column 'a'"),
        (table('{"a": {"b": "00", "t": "00"}}'), "column 'a'"),
        (table('{"a": "\\ud800"}'), "surrogate"),
        (table('{"a": "\\udc00 \\ud83d"}'), "surrogate"),
        (table('{"a": "\ud800"}'), "UTF-8"),
        (b'{"tables": {"t": [{"a": "\xff"}]}}', "UTF-8"),
        (table('{"a": ' + "[" * 1_000_000), "deeply"),
        (b'{"x": ' + b"[" * 1_000_000, "deeply"),
        (b'{"row_counts": ' + b"[" * 1_000_000, "deeply"),
    ],
)
def test_a_wrong_document_is_refused_before_anything_is_written(tmp_path: Path, raw: bytes, where: str) -> None:
    (tmp_path / "d.json").write_bytes(raw)
    with pytest.raises(Refused) as caught:
        import_single_document(tmp_path / "d.json", tmp_path / "out")
    assert caught.value.code == "BAD_DOCUMENT"
    assert where in caught.value.message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pad", range(0, 13))
def test_an_escape_is_seen_wherever_a_block_ends(tmp_path: Path, pad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrations_app.engine.source.json_stream._BLOCK", 16)
    number = b'{"n": 1234567890123456789e2, "tables": {"t": []}}' + b" " * pad
    (tmp_path / "d.json").write_bytes(b" " * pad + number)
    import_single_document(tmp_path / "d.json", tmp_path / "numbers")
    good = table('{"a": "' + "x" * pad + '\\ud83d\\ude00 \\\\ud800 \\\\\\\\ud800"}')
    (tmp_path / "d.json").write_bytes(good)
    import_single_document(tmp_path / "d.json", tmp_path / "out")
    assert list(open_export(tmp_path / "out").rows("t")) == [("x" * pad + "\U0001f600 \\ud800 \\\\ud800",)]
    (tmp_path / "d.json").write_bytes(table('{"a": "' + "x" * pad + '\\\\\\ud800 "}'))
    with pytest.raises(Refused):
        import_single_document(tmp_path / "d.json", tmp_path / "out2")


def test_the_smallest_and_the_largest_numbers_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    values = [5e-324, 1.7976931348623157e308, -0.0, 0.1, 2**63 - 1, -(2**63)]
    execute(path, "CREATE TABLE t (x)", [("INSERT INTO t VALUES (?)", (value,)) for value in values])
    write(path, tmp_path / "d.json")
    import_single_document(tmp_path / "d.json", tmp_path / "out")
    assert [repr(row[0]) for row in open_export(tmp_path / "out").rows("t")] == [repr(value) for value in values]
