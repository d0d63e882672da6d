"""One SQLite cell in Python, and its form in an export (design.md section 4: JSON Lines).

In Python a cell is None, int (64 bit, signed), float, str (valid text), bytes (a BLOB) or InvalidText (TEXT whose
stored bytes aren't valid in the file's encoding). A bool never occurs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InvalidText:
    """TEXT that can't be decoded; `raw` are the stored bytes, as they lie in the file."""

    raw: bytes


Cell = None | int | float | str | bytes | InvalidText
Row = tuple[Cell, ...]
