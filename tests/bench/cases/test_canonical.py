"""The lenient rule: what counts as kept, and what no tool gets away with."""

import pytest

from bench.cases.canonical import BOOLEAN, BYTES, MOMENT, NUMBER, TEXT, changed_cells, family, of_source, of_target


@pytest.mark.parametrize(
    ("value", "printed", "kind"),
    [
        (1, "true", BOOLEAN),
        ("f", "false", BOOLEAN),
        (5, "5", TEXT),
        ("5", "5", NUMBER),
        (0.1, "0.1", NUMBER),
        (1.5, "1.50", NUMBER),
        (1e22, "10000000000000000000000", NUMBER),
        (-0.0, "0", NUMBER),
        (float("inf"), "Infinity", NUMBER),
        (2**63 - 1, "9223372036854775807", NUMBER),
        (b"\x00\xff", "\\x00ff", BYTES),
        ("é", "\\xc3a9", BYTES),
        (b"plain", "plain", TEXT),
        ("2020-01-01T10:00", "2020-01-01 10:00:00", MOMENT),
        ("2020-01-01 10:00:00.500", "2020-01-01 10:00:00.5+00", MOMENT),
        ("2020-01-01", "2020-01-01 00:00:00", MOMENT),
        ("2020-01-01T23:30:00+09:30", "2020-01-01 14:00:00+00", MOMENT),
        ("10:05", "10:05:00", MOMENT),
        (1577836800, "2020-01-01 00:00:00", MOMENT),
        (1577836800123, "2020-01-01 00:00:00.123", MOMENT),
        (None, None, TEXT),
        ("a\r\nb", "a\r\nb", TEXT),
    ],
)
def test_the_same_value_in_another_type_is_kept(value: object, printed: str | None, kind: str) -> None:
    assert of_source(value, kind) == of_target(printed, kind)


@pytest.mark.parametrize(
    ("value", "printed", "kind"),
    [
        (3.141592653589793, "3.1415927", NUMBER),
        (2**53 + 1, "9007199254740992", NUMBER),
        ("007", "7", NUMBER),
        ("007", "7", TEXT),
        ("2020-01-01 10:00:00", "2020-01-01 14:00:00+00", MOMENT),
        ("2020-02-30", "2020-03-01 00:00:00", MOMENT),
        ("", None, TEXT),
        ("NULL", None, TEXT),
        ("a\r\nb", "a\nb", TEXT),
        ("ab\0cd", "ab", TEXT),
        (b"\xff", "?", TEXT),
        (2, "true", BOOLEAN),
        (b"", None, BYTES),
    ],
)
def test_another_value_is_not(value: object, printed: str | None, kind: str) -> None:
    assert of_source(value, kind) != of_target(printed, kind)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("numeric(10,2)", NUMBER),
        ("timestamp(3) without time zone", MOMENT),
        ("time without time zone", MOMENT),
        ("character varying(20)", TEXT),
        ("double precision", NUMBER),
        ("bytea", BYTES),
    ],
)
def test_a_type_has_a_family_whatever_its_length(name: str, kind: str) -> None:
    assert family(name) == kind


def test_cells_are_counted_by_how_often_a_value_is_missing() -> None:
    assert changed_cells([["a", "a", "b"]], [["b", "a", "x"]], lost_rows=0) == 1


def test_a_value_is_not_counted_again_with_its_row() -> None:
    assert changed_cells([["a", "b"], ["1", "2"]], [["a"], ["9"]], lost_rows=1) == 1
