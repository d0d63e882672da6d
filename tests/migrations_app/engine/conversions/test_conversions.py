"""Conversions: exactly what PostgreSQL prints for what it was given, and a refusal wherever something would be lost."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Sequence

import pytest

from migrations_app.engine.conversions.conversions import Unfit, conversion, for_target_type, row_converter
from migrations_app.engine.plan import LOAD, ColumnPlan, TablePlan
from migrations_app.engine.source.cells import Cell, InvalidText
from migrations_app.engine.target.target import connect
from migrations_app.engine.target.target_url import TargetUrl

STAMP, STAMPTZ, CLOCK = "timestamp without time zone", "timestamp with time zone", "time without time zone"
DOUBLES = [0.0, -0.0, 1.0, 0.1, 0.1 + 0.2, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1e-5, 1e-4, 1e14]
DOUBLES += [1e15, 123456789012345.0, 1e16, 9007199254740993.0, 1.8014398509481992e16, 1e22, 1e23, math.inf, -math.inf]


def printed(url: TargetUrl, target_type: str, texts: Sequence[str | None]) -> list[str | None]:
    """What PostgreSQL prints for values that it was given as these texts."""
    connection = connect(url, application_name="causeway:test:0")
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT CASE WHEN u IS NOT NULL THEN format('%%s', u::{target_type}) END"
                " FROM unnest(%s::text[]) WITH ORDINALITY AS t(u, n) ORDER BY n",
                (list(texts),),
            )
            return [row[0] for row in cursor.fetchall()]
    finally:
        connection.close()


def converted(name: str, target_type: str, cells: Sequence[Cell]) -> list[str | None]:
    return [conversion(name, target_type).convert(cell) for cell in cells]


def random_doubles(count: int) -> list[float]:
    """Of any exponent, near powers of two, whole numbers between 2^53 and 10^40, and what people type."""
    dice = random.Random(20)
    found = [struct.unpack("d", struct.pack("Q", dice.getrandbits(64)))[0] for _ in range(count)]
    found += [math.nextafter(2.0**k, side) for k in range(-1074, 1023, 3) for side in (0, math.inf)]
    found += [float(dice.getrandbits(54) << dice.randrange(80)) for _ in range(count)]
    found += [float(dice.randrange(1, 10**6) * 10 ** dice.randrange(12, 34)) for _ in range(count)]
    found += [round(dice.uniform(-1000, 1000), dice.randrange(6)) for _ in range(count)]
    return [number for number in found if math.isfinite(number)]


def test_doubles_are_printed_as_postgresql_prints_them(url: TargetUrl) -> None:
    numbers = DOUBLES + random_doubles(4000)
    texts = converted("double", "double precision", numbers)
    assert printed(url, "double precision", texts) == texts
    assert [float(text or "") for text in texts] == numbers


def test_borders_between_doubles_are_where_python_prints_otherwise(url: TargetUrl) -> None:
    # repr gives '1.801439850948199e+16', whose value lies exactly between this double and the one below.
    assert converted("double", "double precision", [18014398509481992.0]) == ["1.8014398509481992e+16"]


def test_four_byte_reals_are_printed_as_postgresql_prints_them(url: TargetUrl) -> None:
    dice = random.Random(4)
    singles = [struct.unpack("f", struct.pack("I", dice.getrandbits(32)))[0] for _ in range(6000)]
    singles += [struct.unpack("f", struct.pack("f", 2.0**k))[0] for k in range(-149, 128)]
    singles += [float(dice.getrandbits(24) << dice.randrange(40)) for _ in range(3000)]
    singles = [number for number in [*singles, 0.0, -0.0, 0.5, 16777216.0, math.inf] if not math.isnan(number)]
    texts = converted("real", "real", singles)
    assert printed(url, "real", texts) == texts


@pytest.mark.parametrize(
    ("target_type", "cells"),
    [
        ("bigint", [0, -(2**63), 2**63 - 1, 3.0, "12", None]),
        ("smallint", [-32768, 32767]),
        ("numeric", [1, -5, 0.1 + 0.2, 1e20, 5e-324, 1.7976931348623157e308, "12.30", 9007199254740993, math.inf]),
        ("numeric(10,2)", [1, 1.5, "12.30", 99999999.99, -0.01, 0]),
        ("boolean", [0, 1, None]),
        ("character varying(5)", ["", "日本語", "abcde", 12]),
        ("character(5)", ["", "ab", "abcde"]),
        ("text", ["", "NULL", "\\N", "a\tb\n\\", "😀e\u0301"]),
        ("bytea", [b"", b"\x00\xff\\"]),
        ("date", ["2020-01-02", "0001-01-01", "9999-12-31", "2024-02-29"]),
        (STAMP, ["2020-01-02 03:04:05", "2020-01-02T03:04:05.500000", "0001-01-01 00:00:00.000001"]),
        ("timestamp(3) without time zone", ["2020-01-02 03:04:05.120000"]),
        (
            STAMPTZ,
            ["2020-01-02 03:04:05", "2020-03-29T01:30:00+02:00", "2020-01-01 00:00:00.25Z", "2020-01-01 00:00:00-0530"],
        ),
        (CLOCK, ["00:00:00", "23:59:59.999999", "01:02:03.100000"]),
        ("uuid", ["6ba7b8109dad11d180b400c04fd430c8", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8", bytes(16)]),
        ("json", ['{"b": 1,  "a": [1.50, null]}', 5, 1.5, "null", '"\\u0000"']),
        (
            "jsonb",
            [
                '{"bb": 1.50, "a": [1e2, -0.0, true], "é": "q\\"\\\\\\n\\u001f\\u00e9\\ud83d\\ude00\\u007f"}',
                7,
                0.25,
                "[]",
                "{}",
            ],
        ),
        (
            "interval",
            ["1970-01-01 00:00:00", "1970-01-02 02:03:04.500000", "1970-03-01 00:00:00", "1969-12-30 23:00:00"],
        ),
        ("integer[]", ["[1, null, -3]", "[]", None]),
        ("text[]", ['["a", "", "NULL", "x,y", "q\\"", "b\\\\", "{}", "two words", null]']),
    ],
)
def test_what_is_given_is_printed_back(url: TargetUrl, target_type: str, cells: list[Cell]) -> None:
    texts = converted(for_target_type(target_type), target_type, cells)
    assert printed(url, target_type, texts) == texts


@pytest.mark.parametrize(
    ("name", "target_type", "cell"),
    [
        ("bigint", "bigint", "12 "),
        ("bigint", "bigint", "0x10"),
        ("bigint", "bigint", 3.5),
        ("bigint", "bigint", "٣"),
        ("bigint", "bigint", -0.0),
        ("integer", "integer", 2**31),
        ("smallint", "smallint", -32769),
        ("int8_strict", "bigint", "12"),
        ("double", "double precision", 2**53 + 1),
        ("double", "double precision", "n/a"),
        ("real", "real", 0.1),
        ("real", "real", 1e39),
        ("numeric", "numeric", -0.0),
        ("numeric", "numeric", "1e3"),
        ("numeric", "numeric(6,2)", 12345.67),
        ("numeric", "numeric(6,2)", 1.005),
        ("numeric", "numeric(6,2)", math.inf),
        ("boolean", "boolean", 2),
        ("boolean", "boolean", "true"),
        ("boolean", "boolean", 1.0),
        ("text", "text", "a\0b"),
        ("text", "text", b"blob"),
        ("text", "text", InvalidText(b"\xff")),
        ("varchar", "character varying(3)", "four"),
        ("char", "character(5)", "ab "),
        ("bytea", "bytea", "text"),
        ("date", "date", "2020-02-30"),
        ("date", "date", "2020-1-2"),
        ("date", "date", "0000-00-00"),
        ("date", "date", "10000-01-01"),
        ("date", "date", "infinity"),
        ("date", "date", 20200101),
        ("timestamp", STAMP, "2020-01-01 24:00:00"),
        ("timestamp", STAMP, "2020-01-01 23:59:60"),
        ("timestamp", STAMP, "2020-01-01 00:00:00.1234567"),
        ("timestamp", STAMP, "2020-01-01 00:00:00Z"),
        ("timestamp", STAMP, "2020-01-01"),
        ("timestamp", "timestamp(3) without time zone", "2020-01-01 00:00:00.1234"),
        ("timestamp:space-py-", STAMP, "2020-01-01 00:00:00.000000"),
        ("timestamp:space-6-", STAMP, "2020-01-01 00:00:00"),
        ("timestamp:space-py-", STAMP, "2020-01-01T00:00:00"),
        ("timestamptz", STAMPTZ, "0001-01-01 00:00:00+01:00"),
        ("time", CLOCK, "24:00:00"),
        ("uuid", "uuid", "6ba7b810-9dad-11d1-80b4"),
        ("uuid_strict", "uuid", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
        ("json", "json", "{'a': 1}"),
        ("json", "json", "NaN"),
        ("json", "json", "[" * 100_000),
        ("jsonb", "jsonb", '{"a": 1, "a": 2}'),
        ("jsonb", "jsonb", '"\\u0000"'),
        ("jsonb", "jsonb", '"\\ud83d"'),
        ("jsonb", "jsonb", "1e999999999"),
        ('enum:["high","low"]', "mood", "middle"),
        ("interval_microseconds", "interval", "1"),
        ("array:integer", "integer[]", "[[1]]"),
        ("array:integer", "integer[]", "1,2"),
    ],
)
def test_what_would_be_lost_is_refused_without_its_value(name: str, target_type: str, cell: Cell) -> None:
    with pytest.raises(Unfit) as caught:
        conversion(name, target_type).convert(cell)
    assert not (isinstance(cell, str) and len(cell) > 4 and cell in caught.value.why)


def test_a_time_and_its_form_give_the_text_back() -> None:
    forms = {
        "timestamp:space-py-": ["2020-01-01 00:00:00", "2020-01-01 00:00:00.100000"],
        "timestamp:space-6-": ["2020-01-01 00:00:00.000000", "2020-01-01 00:00:00.100000"],
        "timestamp:T-3-": ["2020-01-01T00:00:00.000", "2020-01-01T00:00:00.120"],
        "timestamp:space-trim-": ["2020-01-01 00:00:00", "2020-01-01 00:00:00.12"],
    }
    for name, texts in forms.items():
        assert len(set(converted(name, STAMP, texts))) == len(texts)


def test_chosen_ways_carry_what_the_plain_ones_refuse() -> None:
    assert converted("numeric_rounded", "numeric(6,2)", [1.005, 2.675, -0.0]) == ["1.00", "2.68", "0.00"]
    assert converted("boolean_words", "boolean", ["TRUE", "no", 1, 0.0, "y"]) == ["t", "f", "t", "f", "t"]
    assert converted("epoch:s", STAMP, [0, 1577934245, -1]) == [
        "1970-01-01 00:00:00",
        "2020-01-02 03:04:05",
        "1969-12-31 23:59:59",
    ]
    assert converted("epoch:ms", STAMPTZ, [1577934245123]) == ["2020-01-02 03:04:05.123+00"]
    assert converted("interval_microseconds", "interval", [90_061_500_000]) == ["1 day 01:01:01.5"]
    assert converted("text_bytes:UTF-16le", "bytea", ["é", InvalidText(b"\x00\xd8"), b"b"]) == [
        "\\xe900",
        "\\x00d8",
        "\\x62",
    ]


def test_tagged_text_tells_every_cell_apart() -> None:
    cells: list[Cell] = [1, 1.0, "1", b"1", "t:1", "a\0b", InvalidText(b"a\0b"), math.inf, "", b""]
    texts = converted("tagged_text", "text", cells)
    assert len(set(texts)) == len(cells) and not any("\0" in (text or "") for text in texts)


def test_an_unknown_type_has_no_conversion_and_an_unknown_name_is_an_error() -> None:
    assert for_target_type("tsvector") == ""
    assert for_target_type("mood", ("low", "high")) == 'enum:["high","low"]'
    with pytest.raises(KeyError):
        conversion("no_such", "text")


def test_every_conversion_takes_null() -> None:
    for type_sql in (
        "bigint",
        "double precision",
        "numeric(5,1)",
        "boolean",
        "text",
        "bytea",
        STAMP,
        "jsonb",
        "text[]",
        "interval",
    ):
        assert converted(for_target_type(type_sql), type_sql, [None]) == [None]


def test_rows_that_the_plan_leaves_out_are_left_out() -> None:
    columns = (
        ColumnPlan("id", "id", "", "bigint", "bigint"),
        ColumnPlan("when", "when", "", "date", "date", on_unfit="skip_row"),
        ColumnPlan("name", "name", "", "text", "text"),
    )
    convert = row_converter(TablePlan("t", "t", LOAD, columns, ("id",)))
    assert convert((1, "2020-01-01", "a")) == ("1", "2020-01-01", "a")
    assert convert((2, "never", "a")) is None
    with pytest.raises(Unfit, match="U\\+0000"):
        convert((3, None, "a\0"))


def test_jsonb_is_what_a_json_reader_reads() -> None:
    text = json.dumps({"z": [1, {"y": None}], "a": "\u2028 \x7f", "": False})
    assert json.loads(converted("jsonb", "jsonb", [text])[0] or "") == json.loads(text)
