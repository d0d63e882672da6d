"""One pass over the values: what each column really holds, and which conversions all of its cells fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from migrations_app.engine.control import Control
from migrations_app.engine.profile.column_profile import Candidate, ColumnProfile, Fit, Profile, TableProfile
from migrations_app.engine.profile.profile_columns import BatchColumn, Room, Tracker, looks_like_number
from migrations_app.engine.source.affinity import TEXT, affinity
from migrations_app.engine.source.row_keys import key_names, row_key_text
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.source_batches import Batch, NeedsCare, careful_batches, quick_batches
from migrations_app.engine.source.sqlite_source import Source

__all__ = [
    "Candidate",
    "Candidates",
    "ColumnProfile",
    "Fit",
    "Profile",
    "TableProfile",
    "looks_like_number",
    "profile_source",
]

_ROOM = 16 * 1024 * 1024  # bytes of texts that are remembered while a table is read

Candidates = Mapping[tuple[str, str], Sequence[Candidate]]


def profile_source(source: Source, tables: Sequence[str], candidates: Candidates, control: Control) -> Profile:
    """Read every row of the named tables once. candidates: by (table, column), the conversions to try."""
    return Profile(tuple(_profile_table(source, source.schema.table(name), candidates, control) for name in tables))


def _profile_table(source: Source, table: SourceTable, candidates: Candidates, control: Control) -> TableProfile:
    names = [column.name for column in table.columns if not column.hidden]
    total = source.count(table.name)
    control.progress("profile", table.name, 0, total)
    if source.schema.encoding == "UTF-8":
        try:
            quick = _Pass(table, candidates)
            return quick.read(quick_batches(source, table, names), total, control)
        except NeedsCare:
            control.checkpoint()  # and once more from the start: few files hold such rows
    return _Pass(table, candidates).read(careful_batches(source, table, names), total, control)


class _Pass:
    """One way through a table's rows."""

    def __init__(self, table: SourceTable, candidates: Candidates) -> None:
        room = Room(_ROOM)
        self._table = table
        self._key_names = key_names(table)
        self._trackers = [
            # SQLite turns numbers into text in columns of text affinity: there is nothing to confuse there.
            Tracker(
                column.name,
                candidates.get((table.name, column.name), ()),
                room,
                watch_numbers=affinity(column.declared_type) != TEXT,
            )
            for column in table.columns
            if not column.hidden
        ]

    def read(self, batches: Iterator[Batch], total: int, control: Control) -> TableProfile:
        done = 0
        for batch in batches:
            self._take(batch)
            done += len(batch.rows)
            control.progress("profile", self._table.name, done, total)
        columns = tuple(tracker.result() for tracker in self._trackers)
        return TableProfile(self._table.name, done, columns)

    def _take(self, batch: Batch) -> None:
        def key(place: int) -> str:
            return row_key_text(self._key_names, batch.key(place)) if self._key_names else ""

        # What the key takes beside the columns comes last in a row: no tracker is left for it.
        for tracker, cells in zip(self._trackers, zip(*batch.rows, strict=True), strict=False):
            tracker.take(BatchColumn(cells, key))
