"""Codes of an authenticator, against the vectors of RFC 6238, and recovery codes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from controlplane.people import codes

# RFC 6238, appendix B (SHA-1): the last six of its eight digits.
SECRET = base64.b32encode(b"12345678901234567890").decode()
VECTORS = {1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 20000000000: "353130"}


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize("seconds", VECTORS)
def test_code_is_the_standards_and_holds_for_its_neighbours_alone(seconds: int) -> None:
    step = seconds // 30
    for late in (-30, 0, 30):
        assert codes.step_of_code(SECRET, VECTORS[seconds], at(seconds + late)) == step
    assert codes.step_of_code(SECRET, VECTORS[seconds], at(seconds + 90)) is None
    assert codes.step_of_code(SECRET, VECTORS[seconds], at(seconds - 90)) is None


@pytest.mark.parametrize("typed", ["", "0", "08180", "0818040", "abcdef", "081804\x00"])
def test_what_is_no_code_is_none(typed: str) -> None:
    assert codes.step_of_code(SECRET, typed, at(1111111109)) is None


def test_digits_of_a_japanese_keyboard_are_digits() -> None:
    assert codes.normal_code("２８７ ０８２") == "287082"


def test_recovery_codes_differ_and_are_read_as_people_type_them() -> None:
    made = codes.new_recovery_codes()
    assert len(made) == len(set(made)) == codes.RECOVERY_CODES
    assert codes.recovery_digest(made[0]) == codes.recovery_digest(f" {made[0].upper().replace('-', ' ')} ")
    assert codes.recovery_digest(made[0]) != codes.recovery_digest(made[1])
    assert made[0] not in codes.recovery_digest(made[0])
