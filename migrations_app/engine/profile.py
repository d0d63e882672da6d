"""One pass over the values: what each column really holds, and which conversions all of its cells fit."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from migrations_app.engine.affinity import TEXT, affinity
from migrations_app.engine.cells import Cell, InvalidText, Row
from migrations_app.engine.control import Control
from migrations_app.engine.conversions import Conversion, Unfit, conversion
from migrations_app.engine.row_keys import key_names, row_key_text
from migrations_app.engine.schema import SourceTable
from migrations_app.engine.sqlite_source import Source

_MOST_ROWS = 2000
_BATCH_BYTES = 4 * 1024 * 1024
_MEASURED_FROM = 600  # characters: only longer texts can be too wide for an index, so only they are encoded
_WIDE_TABLE = 400  # columns: from here on a row may be too wide for a page of 8 kB
_TOAST_POINTER = 18
_SHORT_VALUE = 24  # PostgreSQL moves no value out of line that is smaller than an aligned pointer
_PAGE_ROOM = 8160 - 24
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_INT_RANGES = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63, "int8_strict": 2**63}
_EXACT_IN_DOUBLE = 2**53
_TEXT_NAMES = frozenset({"text", "verbatim"})
_NONE = type(None)


@dataclass(frozen=True)
class Candidate:
    """A conversion to try. every: count all cells that don't fit; otherwise the first one ends the trial."""

    conversion: str
    target_type: str
    every: bool = False


@dataclass(frozen=True)
class Fit:
    """How a candidate did: unfit 0 means that every cell fits. `why` never holds a value."""

    conversion: str
    target_type: str
    unfit: int = 0
    first_key: str = ""
    why: str = ""


@dataclass(frozen=True)
class ColumnProfile:
    """Counts of cells by storage class; `first` has the key of the first row with each oddity.

    Keys of `first`: 'integer', 'real', 'text', 'blob', 'invalid', 'nul', 'number_like'. number_like counts texts that
    spell a number exactly as a number of the file would be written ('1', '1.5'): as text they can't be told apart. In
    a column of text affinity, where SQLite keeps no numbers, every text counts.
    """

    name: str
    nulls: int
    integers: int
    reals: int
    texts: int
    blobs: int
    invalid: int
    nul: int
    number_like: int
    infinite: int
    lowest: int | None
    highest: int | None
    max_chars: int
    max_bytes: int
    first: dict[str, str]
    fits: tuple[Fit, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The storage classes that occur, NULL aside."""
        counts = {"integer": self.integers, "real": self.reals, "text": self.texts + self.invalid, "blob": self.blobs}
        return tuple(kind for kind, count in counts.items() if count)

    @property
    def numbers(self) -> int:
        return self.integers + self.reals

    def fit(self, name: str, target_type: str) -> Fit | None:
        return next((f for f in self.fits if f.conversion == name and f.target_type == target_type), None)


@dataclass(frozen=True)
class TableProfile:
    """too_wide counts rows that no 8 kB page can hold even with all long values stored apart."""

    name: str
    rows: int
    columns: tuple[ColumnProfile, ...]
    too_wide: int = 0
    too_wide_key: str = ""

    def column(self, name: str) -> ColumnProfile:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True)
class Profile:
    tables: tuple[TableProfile, ...]

    def table(self, name: str) -> TableProfile:
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)


Candidates = Mapping[tuple[str, str], Sequence[Candidate]]


def profile_source(source: Source, tables: Sequence[str], candidates: Candidates, control: Control) -> Profile:
    """Read every row of the named tables once. candidates: by (table, column), the conversions to try."""
    return Profile(tuple(_profile_table(source, source.schema.table(name), candidates, control) for name in tables))


def _batches(rows: Iterator[tuple[Row, Row]]) -> Iterator[list[tuple[Row, Row]]]:
    """Grows from few rows to many, as long as a batch stays small in bytes."""
    size = 50
    while batch := list(itertools.islice(rows, size)):
        yield batch
        weight = sum(len(c) for _key, row in batch[:50] for c in row if isinstance(c, str | bytes))
        heavy = weight * (size / min(len(batch), 50)) > _BATCH_BYTES
        size = max(1, size // 4) if heavy else min(_MOST_ROWS, size * 2)


def _profile_table(source: Source, table: SourceTable, candidates: Candidates, control: Control) -> TableProfile:
    columns = [column for column in table.columns if not column.hidden]
    trackers = [
        # SQLite turns numbers into text in columns of text affinity: there is nothing to confuse there.
        _Tracker(c.name, candidates.get((table.name, c.name), ()), watch_numbers=affinity(c.declared_type) != TEXT)
        for c in columns
    ]
    total, done, too_wide, too_wide_key = source.count(table.name), 0, 0, ""
    control.progress("profile", table.name, 0, total)
    for batch in _batches(source.rows_with_key(table.name, [c.name for c in columns], ordered=False)):
        keys = _Keys(table, [key for key, _row in batch])
        for tracker, cells in zip(trackers, zip(*(row for _key, row in batch), strict=True), strict=True):
            tracker.take(cells, keys)
        if len(columns) > _WIDE_TABLE:
            for place, (_key, row) in enumerate(batch):
                if _least_width(row) > _PAGE_ROOM:
                    too_wide += 1
                    too_wide_key = too_wide_key or keys.text(place)
        done += len(batch)
        control.progress("profile", table.name, done, total)
    return TableProfile(table.name, done, tuple(tracker.result() for tracker in trackers), too_wide, too_wide_key)


def _least_width(row: Row) -> int:
    """The least bytes that a row takes in its page: null bitmap, numbers, short values, pointers for the long ones."""
    width = len(row) // 8
    for cell in row:
        if isinstance(cell, int | float):
            width += 8
        elif cell is not None:
            size = 1 + len(
                cell.raw if isinstance(cell, InvalidText) else cell if isinstance(cell, bytes) else cell.encode()
            )
            width += size if size <= _SHORT_VALUE else _TOAST_POINTER
    return width


class _Keys:
    """Keys of a batch's rows, written as text only when asked for."""

    def __init__(self, table: SourceTable, keys: Sequence[Row]) -> None:
        self._names = key_names(table)
        self._keys = keys

    def text(self, place: int) -> str:
        return row_key_text(self._names, self._keys[place]) if self._names else ""


class _Trial:
    """One candidate on its way through a column."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.work: Conversion = conversion(candidate.conversion, candidate.target_type)
        self.unfit = 0
        self.first_key = ""
        self.why = ""

    def take(self, cells: Sequence[Cell], keys: _Keys) -> None:
        if self.unfit and not self.candidate.every:
            return
        convert = self.work.convert
        for place, cell in enumerate(cells):
            try:
                convert(cell)
            except Unfit as error:
                self.unfit += 1
                if self.unfit == 1:
                    self.first_key, self.why = keys.text(place), error.why
                if not self.candidate.every:
                    return

    def result(self) -> Fit:
        return Fit(self.candidate.conversion, self.candidate.target_type, self.unfit, self.first_key, self.why)


class _Tracker:
    """Collects one column's profile, batch by batch."""

    def __init__(self, name: str, candidates: Sequence[Candidate], *, watch_numbers: bool) -> None:
        self.name = name
        self.watch_numbers = watch_numbers
        self.counts = dict.fromkeys(("nulls", "integers", "reals", "texts", "blobs", "invalid"), 0)
        self.nul = self.number_like = self.infinite = self.max_chars = self.max_bytes = 0
        self.lowest: int | None = None
        self.highest: int | None = None
        self.first: dict[str, str] = {}
        self.trials = [_Trial(candidate) for candidate in candidates]

    def take(self, cells: Sequence[Cell], keys: _Keys) -> None:
        kinds = set(map(type, cells))
        nulls = cells.count(None) if _NONE in kinds else 0
        self.counts["nulls"] += nulls
        if int in kinds:
            self._integers(cells, keys)
        if float in kinds:
            reals = [cell for cell in cells if type(cell) is float]
            self.counts["reals"] += len(reals)
            self.infinite += sum(1 for cell in reals if cell in (float("inf"), float("-inf")))
            self._note("real", float, cells, keys)
        has_nul = str in kinds and self._texts(cells, keys)
        for kind, count, word in ((bytes, "blobs", "blob"), (InvalidText, "invalid", "invalid")):
            if kind in kinds:
                found = [c for c in cells if isinstance(c, kind)]
                self.counts[count] += len(found)
                self.max_bytes = max(
                    self.max_bytes, *(len(c.raw) if isinstance(c, InvalidText) else len(c) for c in found)
                )
                self._note(word, kind, cells, keys)
        for trial in self.trials:
            if not self._fits_at_once(trial.candidate, kinds - {_NONE}, has_nul, cells):
                trial.take(cells, keys)

    def _integers(self, cells: Sequence[Cell], keys: _Keys) -> None:
        found = [cell for cell in cells if type(cell) is int]
        self.counts["integers"] += len(found)
        low, high = min(found), max(found)
        self.lowest = low if self.lowest is None else min(low, self.lowest)
        self.highest = high if self.highest is None else max(high, self.highest)
        self._note("integer", int, cells, keys)

    def _texts(self, cells: Sequence[Cell], keys: _Keys) -> bool:
        """Measure the texts of a batch; True when one holds U+0000."""
        found = [cell for cell in cells if type(cell) is str]
        self.counts["texts"] += len(found)
        self._note("text", str, cells, keys)
        longest = max(map(len, found))
        self.max_chars = max(self.max_chars, longest)
        if longest > _MEASURED_FROM:
            self.max_bytes = max(self.max_bytes, *(len(text.encode()) for text in found if len(text) > _MEASURED_FROM))
        else:
            self.max_bytes = max(self.max_bytes, longest)
        for place, cell in enumerate(cells) if self.watch_numbers else ():
            if type(cell) is str and (cell[:1] in _NUMBER_STARTS) and looks_like_number(cell):
                self.number_like += 1
                if "number_like" not in self.first:
                    self.first["number_like"] = keys.text(place)
        if "\0" not in "".join(found):
            return False
        self.nul += sum("\0" in text for text in found)
        place = next(i for i, cell in enumerate(cells) if isinstance(cell, str) and "\0" in cell)
        self.first.setdefault("nul", keys.text(place))
        return True

    def _note(self, word: str, kind: type, cells: Sequence[Cell], keys: _Keys) -> None:
        if word not in self.first:
            self.first[word] = keys.text(next(i for i, cell in enumerate(cells) if type(cell) is kind))

    def _fits_at_once(self, candidate: Candidate, kinds: set[type], has_nul: bool, cells: Sequence[Cell]) -> bool:
        """Whether a whole batch is known to fit without a call for each cell. False means: try them."""
        name = candidate.conversion
        if not kinds:
            return True
        if kinds == {str}:
            return name in _TEXT_NAMES and not has_nul
        if kinds == {bytes}:
            return name == "bytea"
        if not kinds <= {int, float}:
            return False
        if name == "text":
            return True
        if name == "numeric" and candidate.target_type == "numeric":
            return 0.0 not in cells or float not in kinds  # a zero may be the negative one
        if kinds == {float}:
            return name == "double"
        limit = _EXACT_IN_DOUBLE if name == "double" else _INT_RANGES.get(name, 0)
        return kinds == {int} and -limit <= (self.lowest or 0) and (self.highest or 0) < limit

    def result(self) -> ColumnProfile:
        return ColumnProfile(
            name=self.name,
            nul=self.nul,
            number_like=self.number_like if self.watch_numbers else self.counts["texts"],
            infinite=self.infinite,
            lowest=self.lowest,
            highest=self.highest,
            max_chars=self.max_chars,
            max_bytes=self.max_bytes,
            first=self.first,
            fits=tuple(trial.result() for trial in self.trials),
            **self.counts,
        )


_NUMBER_STARTS = frozenset("-0123456789in")


def looks_like_number(text: str) -> bool:
    """Whether the text is exactly how some number of a SQLite file is written as text ('1', '-1.5', '1e+20', 'inf')."""
    if _WHOLE.fullmatch(text):
        return text != "-0" and len(text) < 21
    if len(text) > 25:
        return False
    try:
        return repr(float(text)) == text
    except ValueError:
        return False
