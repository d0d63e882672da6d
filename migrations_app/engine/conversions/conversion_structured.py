"""Cells to UUIDs, JSON, enumerations and arrays."""

from __future__ import annotations

import json
import re

from migrations_app.engine.conversions.conversion_base import Convert, Unfit, wrong_kind
from migrations_app.engine.conversions.conversion_texts import as_text
from migrations_app.engine.conversions.pg_text import BadJson, array_text, check_json, jsonb_text
from migrations_app.engine.source.cells import Cell

_UUID = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}", re.ASCII)


def uuid(cell: Cell) -> str | None:
    """32 hexadecimal digits, with or without dashes, in any case; or 16 bytes."""
    if cell is None:
        return None
    if isinstance(cell, bytes) and len(cell) == 16:
        digits = cell.hex()
    elif isinstance(cell, str) and _UUID.fullmatch(cell):
        digits = cell.replace("-", "").lower()
    else:
        raise Unfit("it is no UUID")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def strict_uuid(cell: Cell) -> str | None:
    text = uuid(cell)
    if text != cell:
        raise Unfit("it is no UUID as PostgreSQL writes it")
    return text


def _json_source(cell: Cell) -> str | None:
    """JSON text. A column declared JSON has numeric affinity, so that numbers lie there as numbers."""
    if isinstance(cell, float) and cell in (float("inf"), float("-inf")):
        raise Unfit("it is infinite, which JSON doesn't know")
    return as_text(cell)


def as_json(cell: Cell) -> str | None:
    text = _json_source(cell)
    if text is not None:
        try:
            check_json(text)
        except BadJson as error:
            raise Unfit(str(error)) from error
    return text


def as_jsonb(cell: Cell) -> str | None:
    text = _json_source(cell)
    try:
        return None if text is None else jsonb_text(text)
    except BadJson as error:
        raise Unfit(str(error)) from error


def strict_jsonb(cell: Cell) -> str | None:
    """Only what jsonb gives back letter by letter: it keeps no spaces, no order of keys and no spelling of numbers."""
    text = as_jsonb(cell)
    if text != as_text(cell):
        raise Unfit("jsonb spells it otherwise")
    return text


def enum(labels: frozenset[str], cell: Cell) -> str | None:
    if cell is None or (isinstance(cell, str) and cell in labels):
        return cell
    raise Unfit("it is none of the type's labels")


def array(element: Convert, cell: Cell) -> str | None:
    """A JSON list kept as text, to a one-dimensional array."""
    if cell is None:
        return None
    if not isinstance(cell, str):
        raise wrong_kind(cell, "a JSON list as text")
    try:
        items = json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise Unfit("it isn't a JSON list") from error
    if not isinstance(items, list) or any(isinstance(item, list | dict) for item in items):
        raise Unfit("it isn't a flat JSON list")
    return array_text(element(int(item) if isinstance(item, bool) else item) for item in items)
