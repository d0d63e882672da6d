"""One pass over the values: what each column really holds, and which conversions all of its cells fit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from migrations_app.engine.control import Control
from migrations_app.engine.crew import Crew, Helper, lend_hand
from migrations_app.engine.profile.column_profile import Candidate, ColumnProfile, Fit, Profile, TableProfile
from migrations_app.engine.profile.joined import joined
from migrations_app.engine.profile.profile_columns import BatchColumn, Room, Tracker, looks_like_number
from migrations_app.engine.side_process import Channel
from migrations_app.engine.source.address import Address
from migrations_app.engine.source.affinity import TEXT, affinity
from migrations_app.engine.source.opening import open_again
from migrations_app.engine.source.row_keys import key_names, row_key_text
from migrations_app.engine.source.row_ranges import Part
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.source_batches import Batch, NeedsCare, careful_batches, quick_batches
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.source.table_parts import parts

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

HELPED_BYTES = 32 << 20  # of a source: below, a helper's start takes longer than it saves
JOBS = 2
_ROOM = 16 * 1024 * 1024  # bytes of texts that are remembered while a table is read

Candidates = Mapping[tuple[str, str], Sequence[Candidate]]


def profile_source(
    source: Source, tables: Sequence[str], candidates: Candidates, control: Control, *, jobs: int = JOBS
) -> Profile:
    """Read every row of the named tables once. candidates: by (table, column), the conversions to try.

    Tables are read in parts, those of a large source by a helper process, too; what is found doesn't depend on that.
    """
    todo = [_Job(part, _of_table(candidates, name)) for name in tables for part in parts(source, name)]
    work = _Work(source, tables, control)
    helpers = min(jobs, len(todo)) - 1 if source.size >= HELPED_BYTES else 0
    crew = Crew(todo, lambda job, inner: [_profile_part(source, job, inner, work.telling(job))], work.done)
    crew.run(control, [Helper((help_profiling, source.address), source.is_alone)] * helpers)
    return Profile(tuple(joined(work.parts(name), candidates) for name in tables))


@dataclass(frozen=True)
class _Job:
    part: Part
    candidates: Candidates  # of this table alone


def _of_table(candidates: Candidates, name: str) -> Candidates:
    return {place: tried for place, tried in candidates.items() if place[0] == name}


class _Work:
    """What was found of each part, and how far each table is."""

    def __init__(self, source: Source, tables: Sequence[str], control: Control) -> None:
        self._control, self._lock = control, threading.Lock()
        self._totals = {name: source.count(name) for name in tables}
        self._rows = dict.fromkeys(tables, 0)
        self._found: dict[str, dict[int, TableProfile]] = {name: {} for name in tables}

    def parts(self, name: str) -> list[TableProfile]:
        return [found for _number, found in sorted(self._found[name].items())]

    def telling(self, job: _Job) -> Callable[[int], None]:
        name = job.part.table
        return lambda rows: self._control.progress("profile", name, self._rows[name] + rows, self._totals[name])

    def done(self, job: _Job, found: TableProfile) -> None:
        name = job.part.table
        with self._lock:
            self._found[name][job.part.number] = found
            self._rows[name] += found.rows
            self._control.progress("profile", name, self._rows[name], self._totals[name])


def help_profiling(channel: Channel, control: Control, address: Address) -> None:
    """A helper's life: says which file it opened, then reads the parts that it is given."""
    with open_again(address, control) as source:
        lend_hand(
            channel,
            source.identity,
            lambda job: [_profile_part(source, job, control, lambda _: control.checkpoint())],
        )


def _profile_part(source: Source, job: _Job, control: Control, tell: Callable[[int], None]) -> TableProfile:
    table = source.schema.table(job.part.table)
    names = [column.name for column in table.columns if not column.hidden]
    tell(0)
    if source.schema.encoding == "UTF-8":
        try:
            quick = _Pass(table, job.candidates)
            return quick.read(quick_batches(source, table, names, job.part), tell)
        except NeedsCare:
            control.checkpoint()  # and once more from the start: few files hold such rows
    return _Pass(table, job.candidates).read(careful_batches(source, table, names, job.part), tell)


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

    def read(self, batches: Iterator[Batch], tell: Callable[[int], None]) -> TableProfile:
        done = 0
        for batch in batches:
            self._take(batch)
            done += len(batch.rows)
            tell(done)
        columns = tuple(tracker.result() for tracker in self._trackers)
        return TableProfile(self._table.name, done, columns)

    def _take(self, batch: Batch) -> None:
        def key(place: int) -> str:
            return row_key_text(self._key_names, batch.key(place)) if self._key_names else ""

        # What the key takes beside the columns comes last in a row: no tracker is left for it.
        for tracker, cells in zip(self._trackers, zip(*batch.rows, strict=True), strict=False):
            tracker.take(BatchColumn(cells, key))
