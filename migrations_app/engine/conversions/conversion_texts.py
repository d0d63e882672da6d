"""Cells to text and bytes."""

from __future__ import annotations

from migrations_app.engine.conversions.conversion_base import Unfit, wrong_kind
from migrations_app.engine.conversions.conversion_numbers import number_text
from migrations_app.engine.source.cells import Cell, InvalidText


def as_text(cell: Cell) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, str):
        if "\0" in cell:
            raise Unfit("it holds U+0000, which PostgreSQL's text can't")
        return cell
    if isinstance(cell, int | float):
        return number_text(cell)
    raise wrong_kind(cell, "text")


def limited(limit: int, cell: Cell) -> str | None:
    text = as_text(cell)
    if text is not None and len(text) > limit:
        raise Unfit(f"it is longer than {limit} characters")
    return text


def padded(length: int, cell: Cell) -> str | None:
    text = limited(length, cell)
    if text is None:
        return None
    if text.endswith(" "):
        raise Unfit("it ends in spaces, which a padded type doesn't keep")
    return text.ljust(length)


def bytea(cell: Cell) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, bytes):
        return "\\x" + cell.hex()
    raise wrong_kind(cell, "a blob")


_CODECS = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}


def stored_bytes(encoding: str, cell: Cell) -> str | None:
    """By choice: text as the bytes that lie in the file, blobs as they are."""
    if isinstance(cell, str):
        return "\\x" + cell.encode(_CODECS[encoding]).hex()
    if isinstance(cell, InvalidText):
        return "\\x" + cell.raw.hex()
    return bytea(cell)


def tagged(cell: Cell) -> str | None:
    """By choice: one letter for the storage class, a colon, the value. Any cell fits and can be had back."""
    if cell is None:
        return None
    if isinstance(cell, InvalidText):
        return f"x:{cell.raw.hex()}"
    if isinstance(cell, bytes):
        return f"b:{cell.hex()}"
    if isinstance(cell, str):
        return f"n:{cell.encode().hex()}" if "\0" in cell else f"t:{cell}"
    return f"{'i' if isinstance(cell, int) else 'r'}:{number_text(cell)}"


def verbatim(cell: Cell) -> str | None:
    """By choice, for types that have no conversion: the text as it is, which PostgreSQL must print alike."""
    return as_text(cell)
