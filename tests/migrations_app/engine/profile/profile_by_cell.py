"""The profile as its definition says: every cell by itself, every conversion called. Slow, and hard to get wrong."""

from __future__ import annotations

from collections.abc import Sequence

from migrations_app.engine.conversions.conversions import Unfit, conversion
from migrations_app.engine.profile.profile import (
    Candidate,
    Candidates,
    ColumnProfile,
    Fit,
    Profile,
    TableProfile,
    looks_like_number,
)
from migrations_app.engine.source.affinity import TEXT, affinity
from migrations_app.engine.source.cells import Cell, InvalidText
from migrations_app.engine.source.row_keys import key_names, row_key_text
from migrations_app.engine.source.sqlite_source import Source

_WORDS = {int: "integer", float: "real", str: "text", bytes: "blob", InvalidText: "invalid"}
Keyed = list[tuple[str, Cell]]  # a column: each cell with its row's key


def profile_by_cell(source: Source, tables: Sequence[str], candidates: Candidates) -> Profile:
    return Profile(tuple(_table(source, name, candidates) for name in tables))


def _table(source: Source, name: str, candidates: Candidates) -> TableProfile:
    table = source.schema.table(name)
    rows = list(source.rows_with_key(name, ordered=False))
    keys = [row_key_text(key_names(table), key) if key_names(table) else "" for key, _row in rows]
    columns = [column for column in table.columns if not column.hidden]
    profiles = [
        _column(
            column.name,
            affinity(column.declared_type) == TEXT,
            [(key, row[place]) for key, (_key, row) in zip(keys, rows, strict=True)],
            candidates.get((name, column.name), ()),
        )
        for place, column in enumerate(columns)
    ]
    return TableProfile(name, len(rows), tuple(profiles))


def _column(name: str, is_text: bool, cells: Keyed, candidates: Sequence[Candidate]) -> ColumnProfile:
    found: dict[str, Keyed] = {word: [] for word in (*_WORDS.values(), "nul", "number_like")}
    for key, cell in cells:
        if cell is not None:
            found[_WORDS[type(cell)]].append((key, cell))
        if isinstance(cell, str) and "\0" in cell:
            found["nul"].append((key, cell))
        if isinstance(cell, str) and looks_like_number(cell) and not is_text:
            found["number_like"].append((key, cell))
    integers = [cell for _key, cell in found["integer"] if isinstance(cell, int)]
    texts = [cell for _key, cell in found["text"] if isinstance(cell, str)]
    return ColumnProfile(
        name=name,
        nulls=sum(cell is None for _key, cell in cells),
        integers=len(integers),
        reals=len(found["real"]),
        texts=len(texts),
        blobs=len(found["blob"]),
        invalid=len(found["invalid"]),
        nul=len(found["nul"]),
        number_like=len(texts) if is_text else len(found["number_like"]),
        infinite=sum(cell in (float("inf"), float("-inf")) for _key, cell in found["real"]),
        lowest=min(integers, default=None),
        highest=max(integers, default=None),
        max_chars=max(map(len, texts), default=0),
        max_bytes=_max_bytes([cell for _key, cell in cells], texts),
        first={word: items[0][0] for word, items in found.items() if items},
        fits=tuple(_fit(candidate, cells) for candidate in candidates),
    )


def _max_bytes(cells: Sequence[Cell], texts: Sequence[str]) -> int:
    """Texts of up to 600 characters are too short to matter, and count by characters."""
    raw = [len(c.raw) if isinstance(c, InvalidText) else len(c) for c in cells if isinstance(c, bytes | InvalidText)]
    return max([*raw, *(len(text) if len(text) <= 600 else len(text.encode()) for text in texts)], default=0)


def _fit(candidate: Candidate, cells: Keyed) -> Fit:
    convert = conversion(candidate.conversion, candidate.target_type).convert
    refusals: list[tuple[str, str]] = []
    for key, cell in cells:
        try:
            convert(cell)
        except Unfit as error:
            refusals.append((key, error.why))
    count = len(refusals) if candidate.every else bool(refusals)
    return Fit(candidate.conversion, candidate.target_type, int(count), *(refusals[0] if refusals else ("", "")))
