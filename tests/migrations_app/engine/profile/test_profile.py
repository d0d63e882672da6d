"""The quick profile says exactly what looking at each cell by itself says."""

from __future__ import annotations

import random
import re
import sqlite3
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from migrations_app.engine.control import Control, Progress
from migrations_app.engine.conversions.conversion_times import FRACTIONS, ZONES
from migrations_app.engine.conversions.conversions import Unfit, conversion, for_target_type
from migrations_app.engine.errors import Cancelled, Refused
from migrations_app.engine.plan import MODE_CREATE
from migrations_app.engine.planning.planning import check_plan_with_profile, plan_with_profile
from migrations_app.engine.profile import profile
from migrations_app.engine.profile.profile import Candidate, TableProfile, profile_source
from migrations_app.engine.profile.profile_proofs import Blobs, Cells, Integers, Reals, Texts, proofs_for
from migrations_app.engine.source import table_parts
from migrations_app.engine.source.cells import Cell, InvalidText
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.row_ranges import Part
from migrations_app.engine.source.source_batches import quick_batches
from migrations_app.engine.source.sqlite_source import Source
from tests.migrations_app.engine.profile.profile_by_cell import profile_by_cell
from tests.migrations_app.engine.sqlite_files import build

_STAMPS = "timestamp without time zone", "timestamp with time zone"
_TYPES = (
    *("smallint", "integer", "bigint", "double precision", "real", "boolean", "text", "bytea", "date", "interval"),
    *("uuid", "json", "jsonb", "numeric", "numeric(5,2)", "numeric(3,3)", "numeric(4)", "numeric(3,-1)", "char(3)"),
    *("character varying(6)", "character varying", "time without time zone", "integer[]", "numeric(2,4)", "char"),
    *_STAMPS,
    *("timestamp(3) without time zone", "timestamp(0) with time zone", "time(2) without time zone"),
)
_OTHERS = (
    *(("numeric_rounded", "numeric(4,1)"), ("boolean_words", "boolean"), ("tagged_text", "text"), ("verbatim", "inet")),
    *(("text_bytes:UTF-8", "bytea"), ("text_bytes:UTF-16le", "bytea"), ("int8_strict", "bigint")),
    ("jsonb_strict", "jsonb"),
    *(("uuid_strict", "uuid"), ("interval_microseconds", "interval"), ('enum:["a","b b"]', "mood")),
    *((f"epoch:{unit}", kind) for unit in ("s", "ms", "us") for kind in _STAMPS),
    ("julian", _STAMPS[1]),
)
_FORMS = (
    *((f"timestamp:{sep}-{style}-", _STAMPS[0]) for sep in ("space", "T") for style in FRACTIONS),
    *(
        (f"timestamptz:{sep}-{style}-{zone}", _STAMPS[1])
        for sep in ("space", "T")
        for style in FRACTIONS
        for zone in ZONES
    ),
    *((f"time:space-{style}-", "time without time zone") for style in FRACTIONS),
    *(("timestamp:space-3-", "timestamp(3)"), ("time:space-trim-", "time(2)")),
)
_WAYS = [*((for_target_type(kind), kind) for kind in _TYPES), *_OTHERS, *_FORMS]

_MOMENTS = [
    *("2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "0000-01-01", "0000-02-29", "0001-01-01", "9999-12-31"),
    *("2024-04-31", "2024-12-30", "2024-13-01", "2024-1-1", "2024-01-01 00:00:00", "2024-01-01T23:59:59"),
    *("2024-01-01 24:00:00", "2024-01-01 23:60:00", "2024-01-01 23:59:60", "2024-01-01 10:11:12.000000"),
    *("2024-01-01 10:11:12.123456", "2024-01-01T10:11:12.123456", "2024-01-01 10:11:12.120000"),
    *("2024-01-01 10:11:12.12", "2024-01-01 10:11:12.123", "2024-01-01 10:11:12.1234567", "2024-01-01 10:11:12."),
    *("2024-01-01 10:11:12.123456000000", "2024-01-01 10:11:12.1234560000000", "2024-01-01 10:11:12.100000000000"),
    *("2024-01-01 10:11:12Z", "2024-01-01 10:11:12+00:00", "2024-01-01T10:11:12+00", "2024-01-01 10:11:12+0000"),
    *("2024-01-01 10:11:12-00", "0001-01-01 00:00:00+14:00", "2024-01-01 10:11:12+16", "2024-01-01 10:11:12.5+02:30"),
    *("10:11:12", "24:00:00", "10:11:12.000000", "10:11:12.5", "10:11:12.120000", "1:2:3", "2024-01-01  10:11:12"),
    *("٢٠٢٤-01-01", "2024-01-01 10:11:12\n", "2024-01-01\n2024-01-01", "2024-01-01 10:11:12.0000000000000"),
]
_NUMBERS = [
    *("0", "-0", "1", "-1", "007", "9999", "32767", "32768", "-32768", "999999999", "2147483648", "+1", "1 ", "１"),
    *("9" * 15, "9" * 16, "9" * 18, "9" * 19, "-9223372036854775808", "9223372036854775808", "9" * 30, "9" * 500),
    *("0.5", "-0.5", "-0.0", "0.0", "1.0", "1.50", "0.0001", "0.00001", "123456789.1234", "1e5", "1e+20", "1.5e-07"),
    *(
        "inf",
        "-inf",
        "nan",
        "infinity",
        ".5",
        "5.",
        "0x10",
        "1_000",
        "12345.67",
        "999.99",
        "1000.00",
        "99.999",
        "9" * 1100,
    ),
    *("1.7976931348623157e+308", "123456789012345.25", "0." + "1" * 500, "99.95", "999.95"),
]
_WORDS = [
    *(
        "",
        " ",
        "a",
        "b b",
        "abc ",
        "abcdefg",
        "äöü",
        "日本語の文字",
        "\n",
        "a\nb",
        "a\0b",
        "\0",
        "t",
        "YES",
        "off",
        "null",
    ),
    *("x" * 600, "x" * 601, "é" * 601, "12345678-1234-1234-1234-123456789abc", "12345678-1234-1234-1234-123456789ABC"),
    *("12345678123412341234123456789abc", "12345678-12341234-1234-123456789abc", "{}", '{"a":1,"a":2}', "[1,2]", "[1"),
    *('"\\ud800"', "[null,3]", '["x"]', "NaN", '{"a":1e999999}', "true", "𠮷野"),
]
_INTS = [0, 1, -1, 2, 9, 10, 99, 100, 999, 1000, -1000, 2**15 - 1, 2**15, -(2**15), -(2**15) - 1, 2**24 + 1, 2**31]
_INTS += [-(2**31) - 1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53), 2**63 - 1, -(2**63), 253402300799, 253402300800]
_INTS += [-62135596800, -62135596801, 253402300800000, 253402300800000000, 1700000000, 1700000000123]
_FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 0.25, 1.005, 99.99, 100.0, 999.95, 999.96, -999.99, 1000.0, 0.0001, 0.00001]
_FLOATS += [1e15, 1e16, 1e300, float("inf"), float("-inf"), 0.1, 1 / 3, 2.0**53, 1700000000.5, 5e-324, -0.001, 0.125]
_BLOBS = [b"", b"\0", b"a", b"x" * 16, b"\xff" * 700]
_INVALID = [InvalidText(b"\xff"), InvalidText(b"a\x80")]


def _fits(candidate: Candidate, cell: Cell) -> bool:
    try:
        conversion(candidate.conversion, candidate.target_type).convert(cell)
    except Unfit:
        return False
    return True


def _parts(cell: Cell) -> Cells:
    """The cell as a batch of its own."""
    if isinstance(cell, str):
        return Texts([cell], [cell])
    made: dict[type, type[Cells]] = {int: Integers, float: Reals, bytes: Blobs}
    return made.get(type(cell), Cells)([cell])


@pytest.mark.parametrize(("name", "target_type"), _WAYS)
def test_no_proof_is_wider_than_its_conversion(name: str, target_type: str) -> None:
    candidate = Candidate(name, target_type)
    proofs = proofs_for(candidate.conversion, candidate.target_type)
    for cell in [*_MOMENTS, *_NUMBERS, *_WORDS, *_INTS, *_FLOATS, *_BLOBS, *_INVALID]:
        fits = _fits(candidate, cell)
        assert fits or not _parts(cell).surely_fit(proofs), cell
        assert not fits or type(cell) not in proofs.refused, cell


@pytest.mark.parametrize("name", ["date", "timestamp", "timestamp:T-py-"])
def test_every_day_of_the_calendar_is_proved_and_no_other(name: str) -> None:
    proofs = proofs_for(name, "date" if name == "date" else _STAMPS[0])
    suffix = "" if name == "date" else "T10:11:12"
    candidate = Candidate(name, "date" if name == "date" else _STAMPS[0])
    for year in (0, 1, 4, 100, 400, 1900, 1999, 2000, 2023, 2024, 2100, 9999):
        for month in range(14):
            for day in range(33):
                text = f"{year:04d}-{month:02d}-{day:02d}{suffix}"
                assert Texts([text], [text]).surely_fit(proofs) == _fits(candidate, text), text


_POOLS: Sequence[Sequence[object]] = [_MOMENTS, _NUMBERS, _WORDS, _INTS, _FLOATS, _BLOBS]
_DECLARED = (
    "TEXT",
    "",
    "INTEGER",
    "REAL",
    "NUMERIC",
    "DATETIME",
    "BLOB",
    "BOOLEAN",
    "VARCHAR(5)",
    "DECIMAL(5,2)",
    "TIME",
)


def _cells(rng: random.Random, count: int) -> list[object]:
    """A column's values: of one sort mostly, with others in between, and NULLs."""
    main = rng.choice(
        [
            lambda: (
                f"2024-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d} 10:{rng.randrange(60):02d}:00"
                + rng.choice(["", f".{rng.randrange(10**6):06d}"])
            ),
            lambda: f"user{rng.randrange(10**9)}",
            lambda: rng.choice(["open", "shut", "日本"]),
            lambda: rng.randrange(-(10**6), 10**6),
            lambda: rng.choice([0, 1]),
            lambda: rng.random() * 100,
            lambda: round(rng.random() * 1000, 2),
            lambda: str(rng.randrange(10**5)),
            lambda: rng.randbytes(rng.randrange(20)),
            lambda: f"{rng.getrandbits(128):032x}",
            *(lambda pool=pool: rng.choice(pool) for pool in _POOLS),
        ]
    )
    strange, nulls = rng.choice([0, 0, 0.001, 0.3]), rng.choice([0, 0, 0.2, 1])
    start = rng.choice([0, 0, count // 2])  # what is strange may come late
    return [
        None
        if rng.random() < nulls
        else rng.choice(rng.choice(_POOLS))
        if place >= start and rng.random() < strange
        else main()
        for place in range(count)
    ]


_SHAPES = (
    ("id INTEGER PRIMARY KEY, ", ""),
    ("", ""),
    ("k TEXT PRIMARY KEY, ", " WITHOUT ROWID"),
    ("k TEXT, n INT, ", ""),
)


def _random_file(path: Path, rng: random.Random, encoding: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA encoding='{encoding}'")
    for number in range(3):
        before, after = rng.choice(_SHAPES)
        declared = [rng.choice(_DECLARED) for _ in range(rng.randrange(1, 7))]
        columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(declared))
        key = ", PRIMARY KEY(n, k)" if "n INT" in before else ""
        connection.execute(f"CREATE TABLE t{number}({before}{columns}{key}){after}")
        count = rng.choice([0, 1, 40, 1300])
        data = [_cells(rng, count) for _ in declared]
        if "k TEXT" in before:
            data.insert(0, [f"k{place}" for place in range(count)])
        if "n INT" in before:
            data.insert(1, [place % 7 for place in range(count)])
        names = [*(["k"] if "k TEXT" in before else []), *(["n"] if "n INT" in before else [])]
        names += [f"c{place}" for place in range(len(declared))]
        marks = ", ".join("?" * len(names))
        connection.executemany(f"INSERT INTO t{number}({', '.join(names)}) VALUES({marks})", zip(*data, strict=True))
    if rng.random() < 0.4:
        broken = "CAST(x'41ff' AS TEXT)" if encoding == "UTF-8" else "CAST(x'00d8' AS TEXT)"
        connection.execute(f"UPDATE t0 SET c0 = {broken} WHERE abs(random()) % 50 = 0 OR c0 IS NULL")
    connection.commit()
    connection.close()


def _candidates(source: Source, rng: random.Random) -> dict[tuple[str, str], list[Candidate]]:
    return {
        (table.name, column.name): [
            Candidate(name, kind, every=rng.random() < 0.5) for name, kind in rng.sample(_WAYS, 20)
        ]
        for table in source.schema.tables
        for column in table.columns
    }


@pytest.mark.parametrize("seed", range(20))
def test_random_tables_have_the_profile_that_their_cells_have_one_by_one(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "t.db"
    _random_file(path, rng, "UTF-8" if seed % 4 else rng.choice(["UTF-16le", "UTF-16be"]))
    with open_source(path) as source:
        names = [table.name for table in source.schema.tables]
        candidates = _candidates(source, rng)
        assert profile_source(source, names, candidates, Control()) == profile_by_cell(source, names, candidates)


def _profile(path: Path, name: str = "text", kind: str = "text", control: Control | None = None) -> TableProfile:
    """Of the table t, with one candidate for its column v."""
    with open_source(path) as source:
        candidates = {("t", "v"): [Candidate(name, kind, every=True)]}
        made = profile_source(source, ["t"], candidates, control or Control())
        assert made == profile_by_cell(source, ["t"], candidates)
    return made.table("t")


@pytest.mark.parametrize(("seed", "helped"), [(1, False), (2, False), (3, True), (4, False), (5, True)])
def test_a_table_read_in_parts_and_by_helpers_has_the_same_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, helped: bool
) -> None:
    rng = random.Random(seed)
    _random_file(tmp_path / "t.db", rng, "UTF-8" if seed % 4 else "UTF-16le")
    with open_source(tmp_path / "t.db") as source:
        names = [table.name for table in source.schema.tables]
        candidates = _candidates(source, rng)
        whole = profile_source(source, names, candidates, Control())
        monkeypatch.setattr(table_parts, "PART_ROWS", 37)
        if helped:
            monkeypatch.setattr(profile, "HELPED_BYTES", 0)
        assert profile_source(source, names, candidates, Control()) == whole


def test_text_that_is_not_utf_8_is_counted_wherever_it_comes(tmp_path: Path) -> None:
    script = """CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                INSERT INTO t SELECT i, 'malformed ' || i FROM n;
                UPDATE t SET v = CAST(x'6d616c666f726d6564ff' AS TEXT) WHERE id IN (2990, 2995)"""
    column = _profile(build(tmp_path / "t.db", script)).column("v")
    assert (column.texts, column.invalid, column.first["invalid"]) == (2998, 2, '{"id": 2990}')
    assert (column.fits[0].unfit, column.fits[0].first_key) == (2, '{"id": 2990}')


def test_a_cell_of_two_lines_that_would_fit_one_by_one_does_not_fit(tmp_path: Path) -> None:
    rows = [("INSERT INTO t(v) VALUES(?)", (text,)) for text in ("2024-01-01", "2024-01-02\n2024-01-03")]
    path = build(tmp_path / "t.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)", rows)
    fit = _profile(path, "date", "date").column("v").fits[0]
    assert (fit.unfit, fit.first_key) == (1, '{"id": 2}')


def test_zero_and_negative_zero_are_told_apart(tmp_path: Path) -> None:
    rows = [("INSERT INTO t(v) VALUES(?)", (value,)) for value in (0.0, 1.5, 0.0, -0.0, 0.0, -0.0)]
    path = build(tmp_path / "t.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", rows)
    fit = _profile(path, "numeric", "numeric").column("v").fits[0]
    assert (fit.unfit, fit.first_key) == (2, '{"id": 4}')


@pytest.mark.parametrize("declared", ["TEXT", ""])
def test_values_that_do_not_fit_are_counted_in_every_batch(tmp_path: Path, declared: str) -> None:
    """Also where a batch holds nothing but texts that were seen before."""
    script = f"""CREATE TABLE t(id INTEGER PRIMARY KEY, v {declared});
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                INSERT INTO t SELECT i, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN '12' ELSE 'word' END FROM n"""
    path = build(tmp_path / "t.db", script)
    assert _profile(path, "epoch:s", "timestamp with time zone").column("v").fits[0].unfit == 2000
    assert _profile(path, "integer", "integer").column("v").fits[0].unfit == 1000
    column = _profile(path).column("v")
    assert (column.nulls, column.texts, column.number_like) == (1000, 2000, 2000 if declared else 1000)


def test_the_row_that_is_too_large_is_named(tmp_path: Path) -> None:
    script = """CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES(7, 'short'), (8, 'long');
                UPDATE t SET v = zeroblob(2000) WHERE id = 8"""
    with open_source(build(tmp_path / "t.db", script)) as source:
        source.limit_row(1000)
        with pytest.raises(Refused, match=re.escape('row {"id": 8}')) as caught:
            profile_source(source, ["t"], {}, Control())
    assert caught.value.code == "VALUE_TOO_LARGE"


def test_a_stop_ends_the_pass(tmp_path: Path) -> None:
    script = """CREATE TABLE t(v);
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                INSERT INTO t SELECT i FROM n"""
    control, seen = Control(), []

    def report(progress: Progress) -> None:
        seen.append(progress.done)
        if progress.done:
            control.stop.set()

    control.report = report
    with open_source(build(tmp_path / "t.db", script), control) as source, pytest.raises(Cancelled):
        profile_source(source, ["t"], {}, control)
    assert 0 < seen[-1] < 5000


def test_heavy_rows_behind_light_ones_are_read_few_at_a_time(tmp_path: Path) -> None:
    script = """CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                INSERT INTO t SELECT i, CASE WHEN i > 1250 THEN zeroblob(100000) END FROM n"""
    with open_source(build(tmp_path / "t.db", script)) as source:
        batches = quick_batches(source, source.schema.table("t"), ["id", "v"], Part("t", 0))
        sizes = [len(batch.rows) for batch in batches]
        assert sum(sizes) == 3000 and max(sizes[:4]) > 300
        tracemalloc.start()
        profile_source(source, ["t"], {}, Control())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 30_000_000  # of 175 MB, and of 50 MB in a batch of 500 rows


def test_the_profile_comes_with_the_plan_and_with_its_check(tmp_path: Path) -> None:
    script = "CREATE TABLE t(id INTEGER PRIMARY KEY, v DATE); INSERT INTO t(v) VALUES('2024-01-01'), (NULL)"
    path = build(tmp_path / "t.db", script)
    with open_source(path) as source:
        plan, profile = plan_with_profile(source, mode=MODE_CREATE)
        assert (profile.table("t").rows, profile.table("t").column("v").nulls) == (2, 1)
        findings, checked = check_plan_with_profile(plan, source)
        assert not findings and checked.table("t").column("v").texts == 1
    with open_source(build(path, "ALTER TABLE t ADD COLUMN w")) as source:
        findings, checked = check_plan_with_profile(plan, source)
        assert [item.code for item in findings] == ["SCHEMA_CHANGED"] and not checked.tables
