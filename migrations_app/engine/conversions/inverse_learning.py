"""The form of one column, learned from its cells: the first candidate that gives back every one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from migrations_app.engine.conversions.conversion_base import Undo, Unfit
from migrations_app.engine.conversions.inverse_forms import Candidates, undo_of, words_form
from migrations_app.engine.conversions.inverse_values import same_cell
from migrations_app.engine.plan import ColumnPlan
from migrations_app.engine.source.affinity import TEXT
from migrations_app.engine.source.cells import Cell, Row

_PAIRS = (("1", "0"), ("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n"), ("on", "off"))


def gives_back(undo: Undo, text: str, cell: Cell) -> bool:
    try:
        return same_cell(undo(text), cell)
    except Unfit:
        return False


class Learner:
    """See every cell of a column with its converted text; then ask for the form.

    `failed`: how many cells the last form to be given up doesn't give back, the first of them in the row `first`.
    """

    def __init__(self, column: ColumnPlan, found: Candidates) -> None:
        self._column, self._found = column, found
        self._alive: list[tuple[str, Undo]] | None = None if found.derived else self._undoing(found.forms)
        self.failed = 0
        self.first: Row = ()

    def _undoing(self, forms: Iterable[str]) -> list[tuple[str, Undo]]:
        return [(form, undo_of(self._column, form)) for form in forms]

    def see(self, cell: Cell, text: str | None, key: Callable[[], Row]) -> None:
        if text is None:
            return
        if self._alive is None:
            assert self._found.derived is not None
            self._alive = self._undoing(self._found.derived(cell) or self._found.forms)
        if self.failed:
            self.failed += not gives_back(self._alive[0][1], text, cell)
            return
        kept = [each for each in self._alive if gives_back(each[1], text, cell)]
        if kept:
            self._alive = kept
        else:
            self._alive = self._alive[:1]
            self.failed, self.first = 1, key()

    @property
    def form(self) -> str:
        """The form; the fallback, or '', where there is none."""
        if self.failed:
            return self._found.fallback
        return self._alive[0][0] if self._alive else self._found.forms[0]

    @property
    def is_fallback(self) -> bool:
        return bool(self.failed and self._found.fallback)


class WordLearner(Learner):
    """Of words for true and false: one for each."""

    def __init__(self, column: ColumnPlan, kind: str) -> None:
        super().__init__(column, Candidates())
        self._kind = kind
        self._seen: dict[str, Cell] = {}

    def see(self, cell: Cell, text: str | None, key: Callable[[], Row]) -> None:
        if text is None:
            return
        known = self._seen.setdefault(text, cell)
        if not same_cell(known, cell):
            self.first = self.first or key()
            self.failed += 1

    @property
    def form(self) -> str:
        if self.failed:
            return ""
        true, false = self._seen.get("t"), self._seen.get("f")
        if true is None:
            true = _partner(false, 1) if false is not None else self._plain(1)
        if false is None:
            false = _partner(true, 0)
        return words_form(true, false)

    def _plain(self, number: int) -> Cell:
        return str(number) if self._kind == TEXT else number


def _partner(cell: Cell, wanted: int) -> Cell:
    """The other word of the pair, in the same letters; `wanted` 1 for the true one."""
    if isinstance(cell, int | float):
        return type(cell)(wanted)
    assert isinstance(cell, str)
    for true, false in _PAIRS:
        if cell.lower() in (true, false):
            other = true if wanted else false
            return other.upper() if cell.isupper() else other.capitalize() if cell[0].isupper() else other
    raise AssertionError("a word that boolean_words doesn't know")
