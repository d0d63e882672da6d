"""Lines that go into COPY as they are arrive as the very rows that the careful way loads."""

import csv
import hashlib
import json
import random
from pathlib import Path

import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed
from migrations_app.engine.export.export import Export, export_source, open_export
from migrations_app.engine.load import copy_direct, load_rows
from migrations_app.engine.load.copy_direct import copy_sql, csv_lines, csv_stream
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.planning.planning import plan_with_profile
from migrations_app.engine.source.cells import encode_row
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare import verify
from tests.migrations_app.engine.artefacts import execute
from tests.migrations_app.engine.moves import RUN, Look, held

TEXTS = [
    *("", "null", "NULL", "\\N", "\\.", "a\n\\.\nb", '"', '""', "\\", "\\\\", "\\n", '\\"', ",", "],[", "[", "]", "x{"),
    *("a\r\nb\rc", "\t\b\f\v\x01\x1f\x7f", "é名🎉\u2028\ufeff", " lead and trail ", "\\u0041", "{", '{"a": 1}', "#"),
]
SCHEMA = """
CREATE TABLE t (
    id INTEGER PRIMARY KEY, note TEXT, wage REAL, amount DECIMAL(10,2), flag BOOLEAN, day DATE, moment DATETIME,
    code VARCHAR(40), doc JSON, uid UUID, n INTEGER
);
CREATE TABLE photos (id INTEGER PRIMARY KEY, photo BLOB);
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of every type whose values can travel as they are, and one whose can't."""
    made, seeded = tmp_path_factory.mktemp("direct") / "a.sqlite", random.Random(3)
    rows: list[tuple[str, list[object]]] = []
    for number in range(400):
        text = TEXTS[number % len(TEXTS)]
        cells: list[object] = [
            text,
            seeded.choice([seeded.random() * 8, 0.0, 1e16, 1e-7, 2.5, None]),
            seeded.randrange(10**6) / 100,
            seeded.choice([0, 1, None]),
            f"20{seeded.randrange(10, 30)}-02-{seeded.randrange(1, 29):02d}",
            f"2024-03-01 10:{seeded.randrange(60):02d}:00.{seeded.randrange(1, 10**6):06d}",
            text[:40],
            json.dumps({"k": [number, text]}),
            f"0b8f0e5c-5a3d-4c55-9c3b-{number:012x}",
            seeded.choice([-(2**63), 2**63 - 1, number, None]),
        ]
        rows.append((f"INSERT INTO t VALUES ({', '.join('?' * 11)})", [number, *cells]))
    rows += [("INSERT INTO photos VALUES (?, ?)", [n, bytes([n]) * n]) for n in range(5)]
    execute(made, SCHEMA, rows)
    return made


def export(path: Path, folder: Path) -> tuple[Export, MovePlan]:
    with open_source(path) as source:
        plan, profile = plan_with_profile(source, mode="create")
        made = export_source(source, plan, folder, Control(), fingerprint(path), profile=profile)
    return open_export(folder, made.sha256), plan


def load(url: TargetUrl, made: Export, plan: MovePlan) -> None:
    with held(url) as lease:
        load_export(made, plan, url, run_key=RUN, lease=lease)


def rows(look: Look, table: str) -> list[tuple[object, ...]]:
    return look.rows(f'SELECT x::text FROM "{table}" x ORDER BY id')


def test_what_goes_directly_is_what_the_careful_way_loads(
    path: Path, tmp_path: Path, url: TargetUrl, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, plan = export(path, tmp_path / "out")
    assert copy_sql(plan.table("t"), made.table("t"), "public").startswith("COPY")
    assert copy_sql(plan.table("photos"), made.table("photos"), "public") == ""
    load(url, made, plan)
    direct = {name: rows(look, name) for name in ("t", "photos")}
    with open_source(path) as source:
        assert verify(source, plan, url).equal
    look.run("DROP TABLE t, photos; DROP SCHEMA causeway CASCADE")
    monkeypatch.setattr(load_rows, "DIRECT", False)
    load(url, made, plan)
    assert {name: rows(look, name) for name in ("t", "photos")} == direct


def test_the_direct_way_is_taken_only_for_an_export_that_is_known(
    path: Path, tmp_path: Path, url: TargetUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can write `fitting` into a manifest and put a right digest under it."""
    _known, plan = export(path, tmp_path / "out")
    seen: list[bytes] = []
    monkeypatch.setattr(copy_direct, "csv_stream", lambda raw: seen.append(raw))
    load(url, open_export(tmp_path / "out"), plan)
    assert seen == []


def test_an_export_made_without_a_look_at_the_values_is_loaded_cell_by_cell(path: Path, tmp_path: Path) -> None:
    with open_source(path) as source:
        plan, _profile = plan_with_profile(source, mode="create")
        made = export_source(source, plan, tmp_path / "out", Control(), fingerprint(path))
    assert copy_sql(plan.table("t"), open_export(tmp_path / "out", made.sha256).table("t"), "public") == ""


def test_a_value_that_postgresql_refuses_is_named_with_its_row(
    path: Path, tmp_path: Path, url: TargetUrl, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan said that it fits; should that ever be wrong, the chunk is looked at again, cell by cell."""
    made, plan = export(path, tmp_path / "out")
    chunk = next(made.chunks("t"))
    lines = chunk.raw().replace(b'"2024-03-01 10:', b'"2024-13-01 10:', 1)
    monkeypatch.setattr(copy_direct, "csv_stream", lambda raw: csv_stream(lines))
    load(url, made, plan)  # refused directly, taken cell by cell: the export's own bytes are right
    assert look.value("SELECT count(*) FROM t") == 400
    look.run("DROP TABLE t, photos; DROP SCHEMA causeway CASCADE")
    whole = type(chunk).raw
    monkeypatch.setattr(type(chunk), "raw", lambda self: lines if self.table.name == "t" else whole(self))
    with pytest.raises(Failed) as caught:
        load(url, made, plan)
    assert caught.value.code == "VALUE_UNFIT"
    assert "t.moment" in caught.value.message and '{"id": 0}' in caught.value.message


@pytest.mark.parametrize("cell", [float("inf"), b"blob", "nul\0", "\0"])
def test_a_cell_that_csv_cannot_carry_is_left_to_the_careful_way(cell: object) -> None:
    assert csv_lines(encode_row((1, cell))) is None  # type: ignore[arg-type]


def test_a_text_that_only_looks_like_a_nul_is_carried() -> None:
    for text in ("\\u0000", "\\\\u0000", "a\\", "\\n"):
        line = csv_lines(encode_row((1, text)))
        assert line is not None
        assert next(csv.reader([line.decode()], escapechar="\\", doublequote=False)) == ["1", text]


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_a_chunk_read_in_pieces_is_the_same_csv(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(copy_direct, "_PIECE", 64)
    cells = ("", "x" * 300, "a]\n[b", "\\", '"', "\n\t\x01", "[1]", "é名", None, -5, 1.5)
    raw = b"".join(encode_row((cell, number)) for number, cell in enumerate(cells * 3))
    stream = csv_stream(raw)
    assert stream is not None
    pieces = list(iter(lambda: stream.read(size), b""))
    assert b"".join(pieces) == csv_lines(raw)
    assert max(map(len, pieces)) <= size


def test_the_ledger_names_the_chunk_that_was_loaded(path: Path, tmp_path: Path, url: TargetUrl, look: Look) -> None:
    made, plan = export(path, tmp_path / "out")
    load(url, made, plan)
    files = {hashlib.sha256(file.read_bytes()).hexdigest() for file in (tmp_path / "out").glob("*.jsonl")}
    assert {sha256 for (sha256,) in look.rows("SELECT sha256 FROM causeway.chunk")} == files
