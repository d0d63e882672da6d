"""Other keys of SQLite that are the same key in PostgreSQL: 1 and '1' in a text column, a UUID in other letters.

Of two such rows PostgreSQL can hold one. A dirty key names its row there by the text, and would take away the row of
a twin that isn't dirty. So each dirty key is looked up in all its spellings, and the twins that SQLite has count as
dirty, too: a twin's row stays where the key itself is gone; where both are there, PostgreSQL refuses the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from migrations_app.engine.conversions import conversion_times as times
from migrations_app.engine.conversions.conversion_base import Undo, Unfit
from migrations_app.engine.conversions.conversions import conversion
from migrations_app.engine.conversions.inverse_forms import Candidates, candidates, column_affinity, undo_of, words_form
from migrations_app.engine.conversions.inverse_values import same_cell
from migrations_app.engine.plan import ColumnPlan
from migrations_app.engine.source.cells import Cell, Row

_WORDS = [("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n"), ("on", "off"), ("1", "0")]
_CASES = (str.lower, str.upper, str.capitalize)
_BOOLEANS = (
    words_form(1, 0),
    words_form(1.0, 0.0),
    *(words_form(case(true), case(false)) for true, false in _WORDS for case in _CASES),
)
_MOMENTS = tuple("-".join(form) for form in product(times.SEPARATORS, (*times.FRACTIONS, "0"), times.ZONES))


class Spellings:
    """Of a table's key columns: the cells by which a text of PostgreSQL may stand in SQLite.

    As many as a column's conversion and affinity are known to have. What is spelled in a way of its own (a UUID in
    mixed letters, a time in another zone) isn't thought of: the full check compares rows one by one.
    """

    def __init__(self, columns: Sequence[ColumnPlan]) -> None:
        self._converters = [conversion(column.conversion, column.target_type).convert for column in columns]
        self._undo = [_undoing(column) for column in columns]
        self.several = any(self._undo)

    def of(self, key: Row) -> list[list[Cell]]:
        """For each column the cells that convert to the same text, its own first. Raises Unfit."""
        return [
            _spelled(cell, convert(cell), undoing) if undoing else [cell]
            for cell, convert, undoing in zip(key, self._converters, self._undo, strict=True)
        ]


def _undoing(column: ColumnPlan) -> tuple[Undo, ...]:
    """What may give a cell back; () where a text has one spelling."""
    known = candidates(column, column_affinity(column.declared_type, strict=True))  # ANY elsewhere: a few too many
    if known.known:
        return ()
    return tuple(undo_of(column, form) for form in _forms(column, known))


def _forms(column: ColumnPlan, known: Candidates) -> tuple[str, ...]:
    if column.conversion == "boolean_words":
        return _BOOLEANS
    return known.forms if known.derived is None else _MOMENTS


def _spelled(cell: Cell, text: str | None, undoing: Sequence[Undo]) -> list[Cell]:
    found = [cell]
    for undo in undoing:
        try:
            other = undo(text or "")
        except Unfit:
            continue
        if not any(same_cell(other, each) for each in found):
            found.append(other)
    return found


def same_key(one: Row, other: Row) -> bool:
    """Bit for bit, and by storage class."""
    return all(map(same_cell, one, other))


def signs(key: Row) -> Iterator[Row]:
    """The key, and with its zeros in the other sign: SQLite groups and compares 0.0 and -0.0 as one, texts don't."""
    if 0 not in key:
        yield key
        return
    zeros = [(cell, -cell) if isinstance(cell, float) and cell == 0 else (cell,) for cell in key]
    yield from product(*zeros)
