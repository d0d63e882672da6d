"""What every conversion is made of: a function from a cell to the text that PostgreSQL prints, and the refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migrations_app.engine.source.cells import Cell, InvalidText


class Unfit(Exception):
    """A cell that the conversion can't carry over; `why` is a clause that never holds the value."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


Convert = Callable[[Cell], str | None]
Undo = Callable[[str], Cell]  # from the text that PostgreSQL prints, never NULL, back to the cell; raises Unfit


def _same(text: str) -> str:
    return text


@dataclass(frozen=True)
class Conversion:
    """canonical: applied to the printed form of both sides before they are compared (json keeps the text as it was)."""

    name: str
    target_type: str
    convert: Convert
    canonical: Callable[[str], str] = _same


def storage_word(cell: Cell) -> str:
    """The storage class of a cell, in words."""
    if isinstance(cell, InvalidText):
        return "text that isn't valid in the file's encoding"
    return {int: "an integer", float: "a real", str: "text", bytes: "a blob"}.get(type(cell), "NULL")


def wrong_kind(cell: Cell, wanted: str) -> Unfit:
    return Unfit(f"it is {storage_word(cell)}, not {wanted}")
