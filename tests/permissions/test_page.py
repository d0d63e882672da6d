"""The reference says what the table says."""

from __future__ import annotations

from tests.permissions.page import PAGE, write


def test_reference_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == write(), "write it anew: python -m tests.permissions.page"
