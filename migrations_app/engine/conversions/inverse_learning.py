"""The form of one column, learned from its cells: the first candidate that gives back every one of them, else the one
that gives back the most."""

from __future__ import annotations

from collections import Counter
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

    `failed`: how many cells the form doesn't give back, at least; `first`: the row of the first cell that the cells
    before it had no form in common with.
    """

    def __init__(self, column: ColumnPlan, found: Candidates) -> None:
        self._column, self._found = column, found
        self._known: dict[str, Undo] = {} if found.derived else self._undoing(found.forms)
        self._alive = list(self._known)  # those that gave back every cell so far
        self._given: Counter[str] = Counter()  # cells by form, once no form gives back all
        self._seen = 0
        self.first: Row | None = None

    def _undoing(self, forms: Iterable[str]) -> dict[str, Undo]:
        return {form: undo_of(self._column, form) for form in forms}

    def see(self, cell: Cell, text: str | None, key: Callable[[], Row]) -> None:
        if text is None:
            return
        if not self._known and self._found.derived is not None:
            self._derive(cell)
            self._alive = list(self._known)
        self._seen += 1
        if self.first is None:
            kept = [form for form in self._alive if gives_back(self._known[form], text, cell)]
            if kept:
                self._alive = kept
                return
            self.first = key()
            self._given.update(dict.fromkeys(self._alive, self._seen - 1))
        fitting = [form for form, undo in self._known.items() if gives_back(undo, text, cell)]
        if not fitting and self._found.derived is not None:
            fitting = self._derive(cell)
        self._given.update(fitting)

    def _derive(self, cell: Cell) -> list[str]:
        assert self._found.derived is not None
        found = self._undoing(self._found.derived(cell) or self._found.forms)
        self._known.update(found)
        return list(found)

    @property
    def seen(self) -> int:
        """Cells that say something of the form."""
        return self._seen

    @property
    def failed(self) -> int:
        return 0 if self.first is None else self._seen - max(self._given.values(), default=0)

    @property
    def form(self) -> str:
        """What gives back every cell, else the most of them; '' where values of several forms aren't the same."""
        if self.first is None:
            return next(iter(self._alive), self._found.forms[0] if self._found.forms else "")
        if not self._found.equivalent:
            return ""
        return max(self._known, key=self._given.__getitem__)


class WordLearner(Learner):
    """Of words for true and false: one for each, the most frequent where there are several."""

    def __init__(self, column: ColumnPlan, kind: str) -> None:
        super().__init__(column, Candidates())
        self._kind = kind
        self._words: dict[str, Counter[tuple[type, Cell]]] = {"t": Counter(), "f": Counter()}

    def see(self, cell: Cell, text: str | None, key: Callable[[], Row]) -> None:
        if text is None:
            return
        self._seen += 1
        words = self._words[text]
        words[type(cell), cell] += 1
        if len(words) > 1 and self.first is None:
            self.first = key()

    @property
    def failed(self) -> int:
        return sum(words.total() - max(words.values(), default=0) for words in self._words.values())

    @property
    def form(self) -> str:
        true, false = (self._most(words) for words in self._words.values())
        if true is None:
            true = _partner(false, 1) if false is not None else self._plain(1)
        if false is None:
            false = _partner(true, 0)
        return words_form(true, false)

    def _most(self, words: Counter[tuple[type, Cell]]) -> Cell:
        return words.most_common(1)[0][0][1] if words else None

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
