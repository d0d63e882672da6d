"""Profiles of a table's parts, put together: what one pass over all of its rows would have found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce

from migrations_app.engine.profile.column_profile import Candidate, ColumnProfile, Fit, TableProfile


def joined(parts: Sequence[TableProfile], candidates: Mapping[tuple[str, str], Sequence[Candidate]]) -> TableProfile:
    """`parts` in the order of their rows, at least one; `candidates` by (table, column) as they were tried."""
    return reduce(partial(_join_tables, candidates), parts)


def _join_tables(
    candidates: Mapping[tuple[str, str], Sequence[Candidate]], one: TableProfile, later: TableProfile
) -> TableProfile:
    columns = tuple(
        _join_columns(a, b, candidates.get((one.name, a.name), ()))
        for a, b in zip(one.columns, later.columns, strict=True)
    )
    return TableProfile(one.name, one.rows + later.rows, columns)


def _join_columns(one: ColumnProfile, later: ColumnProfile, candidates: Sequence[Candidate]) -> ColumnProfile:
    return ColumnProfile(
        name=one.name,
        nulls=one.nulls + later.nulls,
        integers=one.integers + later.integers,
        reals=one.reals + later.reals,
        texts=one.texts + later.texts,
        blobs=one.blobs + later.blobs,
        invalid=one.invalid + later.invalid,
        nul=one.nul + later.nul,
        number_like=one.number_like + later.number_like,
        infinite=one.infinite + later.infinite,
        lowest=_of_both(min, one.lowest, later.lowest),
        highest=_of_both(max, one.highest, later.highest),
        max_chars=max(one.max_chars, later.max_chars),
        max_bytes=max(one.max_bytes, later.max_bytes),
        first={**later.first, **one.first},
        fits=tuple(map(_join_fits, candidates, one.fits, later.fits)),
    )


def _of_both(choose: Callable[[int, int], int], one: int | None, later: int | None) -> int | None:
    if one is None or later is None:
        return later if one is None else one
    return choose(one, later)


def _join_fits(candidate: Candidate, one: Fit, later: Fit) -> Fit:
    """Unless every cell was to be counted, one that doesn't fit is all that is known."""
    unfit = one.unfit + later.unfit if candidate.every else max(one.unfit, later.unfit)
    return replace(one if one.unfit else later, unfit=unfit)
