"""Cells become lines and come back the same; anything else that calls itself a line is refused."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrations_app.engine.source.cells import (
    MAX_INTEGER,
    MIN_INTEGER,
    Cell,
    CellError,
    InvalidText,
    decode_row,
    encode_cell,
    encode_key,
    encode_row,
)

CELLS = st.one_of(
    st.none(),
    st.integers(MIN_INTEGER, MAX_INTEGER),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(max_size=40),
    st.binary(max_size=10).map(InvalidText),
)


def same(one: Cell, two: Cell) -> bool:
    """Equal and of one class; 0.0 is not -0.0."""
    if isinstance(one, float) and isinstance(two, float):
        return struct.pack("d", one) == struct.pack("d", two)
    return type(one) is type(two) and one == two


@settings(max_examples=300, deadline=None)
@given(st.lists(CELLS, max_size=8))
def test_a_row_comes_back_cell_by_cell(row: list[Cell]) -> None:
    line = encode_row(row)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    back = decode_row(line, len(row))
    assert all(same(one, two) for one, two in zip(row, back, strict=True))


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "null"),
        (1, "1"),
        (1.0, "1.0"),
        (1e16, "1e+16"),
        (-0.0, "-0.0"),
        (float("inf"), '{"r":"inf"}'),
        (float("-inf"), '{"r":"-inf"}'),
        ("a\0é", '"a\\u0000é"'),
        (b"\x00\xff", '{"b":"00ff"}'),
        (InvalidText(b"\xff"), '{"t":"ff"}'),
    ],
)
def test_a_cell_is_written_as_the_format_says(cell: Cell, text: str) -> None:
    assert encode_row([cell]).decode() == f"[{text}]\n"
    assert encode_cell(cell) == text


def test_a_column_of_blobs_may_be_plain_hex() -> None:
    line = encode_row((b"\x01\xfe", None, "01fe"), hex_positions=(0, 1))
    assert line == b'["01fe",null,"01fe"]\n'
    assert decode_row(line, 3, (0, 1)) == (b"\x01\xfe", None, "01fe")


def test_a_key_is_shown_as_json() -> None:
    assert encode_key((7, "é")) == '[7,"é"]'


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 1_000_000,
        b"[[1]]",
        b'[{"b":{"b":"00"}}]',
        b"[NaN]",
        b"[Infinity]",
        b"[1e400]",
        b"[-1e400]",
        b"[9223372036854775808]",
        b"[-9223372036854775809]",
        b"[" + b"9" * 10_000 + b"]",
        b'[{"b":"00","b":"01"}]',
        b'[{"b":"00","t":"01"}]',
        b"[{}]",
        b'[{"q":"00"}]',
        b'[{"r":"nan"}]',
        b'[{"b":"0"}]',
        b'[{"b":"0 00"}]',
        b'[{"b":"FF"}]',
        b'[{"b":1}]',
        b'["\\ud800"]',
        b'["\\udc00\\ud800"]',
        b'["\xff"]',
        b"[true]",
        b"[1,2]",
        b"[]",
        b"",
        b"{}",
        b"1",
        b"[1] [2]",
    ],
    ids=lambda line: repr(line[:24]),
)
def test_a_line_that_no_export_holds_is_refused(line: bytes) -> None:
    with pytest.raises(CellError):
        decode_row(line, 1)


def test_something_else_than_hex_in_a_hex_column_is_refused() -> None:
    for line in (b"[1]", b'["xy"]', b'[{"t":"ff"}]', b'["AA"]'):
        with pytest.raises(CellError):
            decode_row(line, 1, (0,))


def test_a_pair_of_surrogate_escapes_is_one_character() -> None:
    assert decode_row(b'["\\ud83d\\ude00"]', 1) == ("\U0001f600",)
