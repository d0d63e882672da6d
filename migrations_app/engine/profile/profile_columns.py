"""One column's share of the profile, collected batch by batch: counts, ranges, oddities, and how candidates do.

What has been learnt of a text holds wherever it occurs again, so that in a column of few distinct texts a cell costs
one look into a set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import cast

from migrations_app.engine.conversions.conversions import Unfit, conversion
from migrations_app.engine.profile.column_profile import Candidate, ColumnProfile, Fit
from migrations_app.engine.profile.profile_proofs import Blobs, Cells, Integers, Reals, Texts, lines_of, proofs_for
from migrations_app.engine.source.cells import Cell, InvalidText

_MEASURED_FROM = 600  # characters: only longer texts can be too wide for an index, so only they are encoded
_SHORT = 200  # characters, on average, of texts worth remembering
_ENTRY_BYTES = 150  # what a remembered text takes beside its characters, about
_LEARN_FROM = 8000  # texts, before a column is taken to have too many distinct ones
_TOO_MANY = 0.9  # of them are new
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_NUMBER_STARTS = frozenset("-0123456789in")
_NO_NUMBERS = lines_of(r"(?:\d++-|[-+.0-9einfa]*+[^-+.0-9einfa\n])[^\n]*+")  # a number has '-' first or after 'e'
_NONE = type(None)


@dataclass(slots=True)  # not frozen: one is made for each column of each batch
class BatchColumn:
    """One column's cells in a batch, and the text of the key of the row at a place among them."""

    cells: Sequence[Cell]
    key: Callable[[int], str]

    def place(self, cell: Cell) -> int:
        """Where this very object lies: the first cell equal to it, when it is the first of its equals."""
        return next(place for place, found in enumerate(self.cells) if found is cell)


class Room:
    """Bytes that the remembered texts of a table's columns may take together."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._left += size


class _Known:
    """Texts of a column about which nothing is odd and that every candidate takes, unless it takes no text at all."""

    def __init__(self, room: Room) -> None:
        self.cells: set[Cell] = set()  # NULL too, once it has occurred
        self.worthwhile = True
        self._room = room
        self._taken = self._seen = self._new = 0

    def new_among(self, texts: Sequence[str]) -> Sequence[str]:
        """Those to be judged, in order. Once the column has turned out to hold mostly new texts, all of them."""
        if not self.worthwhile:
            return texts
        return [text for text in dict.fromkeys(texts) if text not in self.cells]

    def learn(self, texts: Texts, odd: Collection[Cell]) -> None:
        """Remember the judged ones but for `odd`, while there is room; forget all where nearly all are new."""
        if not self.worthwhile:
            return
        self._seen += len(texts.values)
        self._new += len(texts.fresh)
        chars = len(texts.lines)
        if chars <= _SHORT * len(texts.fresh) and self._room.take(2 * chars + _ENTRY_BYTES * len(texts.fresh)):
            self._taken += 2 * chars + _ENTRY_BYTES * len(texts.fresh)
            self.cells.update(texts.fresh)
            self.cells.difference_update(odd)
        if self._seen > _LEARN_FROM and self._new > _TOO_MANY * self._seen:
            self.worthwhile = False
            self.cells = set()
            self._room.give_back(self._taken)


class _Trial:
    """One candidate on its way through a column."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.unfit = 0
        self._convert = conversion(candidate.conversion, candidate.target_type).convert
        self._proofs = proofs_for(candidate.conversion, candidate.target_type)
        self._first_key = self._why = ""

    @property
    def ended(self) -> bool:
        return bool(self.unfit) and not self.candidate.every

    def refuses(self, kind: type) -> bool:
        return kind in self._proofs.refused

    def take(self, parts: dict[type, Cells], column: BatchColumn) -> Sequence[Cell]:
        """Try a batch; gives the cells that don't fit, but for those of storage classes that are refused as a whole."""
        firsts: list[Cell] = []
        unfit: list[Cell] = []
        count = 0
        for kind, part in parts.items():
            if self.refuses(kind):
                firsts.append(part.values[0])
                count += len(part.values)
            elif not part.surely_fit(self._proofs) and (found := self._unfit(part.judged)):
                firsts.append(found[0])
                count += part.count(found)
                unfit += found
        if firsts and not self.unfit:
            place = min(map(column.place, firsts))
            self._first_key, self._why = column.key(place), self._refusal(column.cells[place])
        self.unfit += count if self.candidate.every else bool(count)
        return unfit

    def add_refused(self, count: int) -> None:
        """Count cells of a refused storage class, of which earlier batches had some."""
        self.unfit += count

    def _unfit(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that don't fit; the first one only, unless all are counted."""
        if self.candidate.every:
            return [cell for cell in cells if self._refusal(cell)]
        return next(([cell] for cell in cells if self._refusal(cell)), [])

    def _refusal(self, cell: Cell) -> str:
        """Why a cell doesn't fit; '' when it does."""
        try:
            self._convert(cell)
        except Unfit as error:
            return error.why
        return ""

    def result(self) -> Fit:
        return Fit(self.candidate.conversion, self.candidate.target_type, self.unfit, self._first_key, self._why)


class Tracker:
    """Collects one column's profile, batch by batch."""

    def __init__(self, name: str, candidates: Sequence[Candidate], room: Room, *, watch_numbers: bool) -> None:
        self.name = name
        self._watch_numbers = watch_numbers
        self._counts = dict.fromkeys(("nulls", "integers", "reals", "texts", "blobs", "invalid"), 0)
        self._nul = self._number_like = self._infinite = self._max_chars = self._max_bytes = 0
        self._lowest: int | None = None
        self._highest: int | None = None
        self._first: dict[str, str] = {}
        self._trials = [_Trial(candidate) for candidate in candidates]
        self._live = self._trials  # those that have not ended
        self._known = _Known(room)

    def take(self, column: BatchColumn) -> None:
        if self._take_known(column.cells):
            return
        parts: dict[type, Cells] = {}
        odd: set[Cell] = set()
        for kind, values in _by_kind(column.cells).items():
            if kind is _NONE:
                self._counts["nulls"] += len(values)
                self._known.cells.add(None)
            elif kind is int:
                parts[kind] = self._integers(Integers(cast(Sequence[int], values)), column)
            elif kind is float:
                parts[kind] = self._reals(Reals(cast(Sequence[float], values)), column)
            elif kind is str:
                texts = Texts(found := cast(Sequence[str], values), self._known.new_among(found))
                parts[kind] = texts
                odd.update(self._texts(texts, column))
            else:
                parts[kind] = self._bytes(kind, values, column)
        for trial in self._live:
            odd.update(trial.take(parts, column))
        if any(trial.ended for trial in self._live):
            self._live = [trial for trial in self._live if not trial.ended]
        if str in parts:
            self._known.learn(texts, odd)

    def _take_known(self, cells: Sequence[Cell]) -> bool:
        """Count a batch of known texts and NULLs. False where there is anything else."""
        if not self._known.cells or not self._known.cells.issuperset(cells):
            return False
        nulls = len([cell for cell in cells if cell is None]) if self._counts["nulls"] else 0
        self._counts["nulls"] += nulls
        self._counts["texts"] += len(cells) - nulls
        for trial in self._live:
            if trial.refuses(str):
                trial.add_refused(len(cells) - nulls)
        return True

    def _integers(self, part: Integers, column: BatchColumn) -> Cells:
        self._counts["integers"] += len(part.values)
        self._lowest = part.low if self._lowest is None else min(part.low, self._lowest)
        self._highest = part.high if self._highest is None else max(part.high, self._highest)
        self._note("integer", part.values[0], column)
        return part

    def _reals(self, part: Reals, column: BatchColumn) -> Cells:
        self._counts["reals"] += len(part.values)
        self._infinite += part.infinite
        self._note("real", part.values[0], column)
        return part

    def _bytes(self, kind: type, values: Sequence[Cell], column: BatchColumn) -> Cells:
        raw = [cell.raw if isinstance(cell, InvalidText) else cast(bytes, cell) for cell in values]
        self._max_bytes = max(self._max_bytes, *map(len, raw))
        count, word = ("blobs", "blob") if kind is bytes else ("invalid", "invalid")
        self._counts[count] += len(values)
        self._note(word, values[0], column)
        return Blobs(raw) if kind is bytes else Cells(values)

    def _texts(self, texts: Texts, column: BatchColumn) -> list[str]:
        """Measure the texts of a batch; gives those of the judged ones that are odd."""
        self._counts["texts"] += len(texts.values)
        self._note("text", texts.values[0], column)
        self._max_chars = max(self._max_chars, texts.longest)
        widest = texts.longest
        if widest > _MEASURED_FROM:
            widest = max(len(text.encode()) for text in texts.fresh if len(text) > _MEASURED_FROM)
        self._max_bytes = max(self._max_bytes, widest)
        with_nul = [text for text in texts.fresh if "\0" in text] if texts.has_nul else []
        if with_nul:
            self._nul += texts.count(with_nul)
            self._note("nul", with_nul[0], column)
        if not self._watch_numbers or texts.all_like(_NO_NUMBERS):
            return with_nul
        numbers = [text for text in texts.fresh if text[:1] in _NUMBER_STARTS and looks_like_number(text)]
        if numbers:
            self._number_like += texts.count(numbers)
            self._note("number_like", numbers[0], column)
        return with_nul + numbers

    def _note(self, word: str, cell: Cell, column: BatchColumn) -> None:
        if word not in self._first:
            self._first[word] = column.key(column.place(cell))

    def result(self) -> ColumnProfile:
        return ColumnProfile(
            name=self.name,
            nul=self._nul,
            number_like=self._number_like if self._watch_numbers else self._counts["texts"],
            infinite=self._infinite,
            lowest=self._lowest,
            highest=self._highest,
            max_chars=self._max_chars,
            max_bytes=self._max_bytes,
            first=self._first,
            fits=tuple(trial.result() for trial in self._trials),
            **self._counts,
        )


def _by_kind(cells: Sequence[Cell]) -> dict[type, Sequence[Cell]]:
    kinds = set(map(type, cells))
    if len(kinds) == 1:
        return {kinds.pop(): cells}
    if len(kinds) == 2 and _NONE in kinds:
        found = [cell for cell in cells if cell is not None]
        return {_NONE: [None] * (len(cells) - len(found)), type(found[0]): found}
    return {kind: [cell for cell in cells if type(cell) is kind] for kind in kinds}


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
