"""Other keys of SQLite that are the same key in PostgreSQL: 1 and '1' in a text column, a UUID in other letters.

Of two such rows PostgreSQL can hold one. A dirty key names its row there by the text, and would take away the row of
a twin that isn't dirty. So each dirty key is looked up in all its spellings, and the twins that SQLite has count as
dirty, too: a twin's row stays where the key itself is gone; where both are there, PostgreSQL refuses the second.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product

from migrations_app.engine.conversions import conversion_times as times
from migrations_app.engine.conversions.conversion_base import Undo, Unfit
from migrations_app.engine.conversions.conversions import conversion
from migrations_app.engine.conversions.inverse_forms import candidates, column_affinity, undo_of, words_form
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
_CLOCKS = tuple(f"space-{fraction}-" for fraction in (*times.FRACTIONS, "0"))


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
            _different([cell, *undo(convert(cell) or "")]) if undo else [cell]
            for cell, convert, undo in zip(key, self._converters, self._undo, strict=True)
        ]


def _undoing(column: ColumnPlan) -> Callable[[str], list[Cell]] | None:
    """What gives the cells of a text; None where it has one."""
    known = candidates(column, column_affinity(column.declared_type, strict=True))  # ANY elsewhere: a few too many
    if known.known:
        return None
    if column.conversion.partition(":")[0] in ("timestamp", "timestamptz"):
        return _moments
    forms = known.forms if known.derived is None else _CLOCKS
    each = [undo_of(column, form) for form in (_BOOLEANS if column.conversion == "boolean_words" else forms)]
    return partial(_undone, each)


def _undone(each: Sequence[Undo], text: str) -> list[Cell]:
    found = []
    for undo in each:
        with contextlib.suppress(Unfit):  # a text that isn't spelled so
            found.append(undo(text))
    return found


def _moments(text: str) -> list[Cell]:
    """By hand: forty forms, each of which would read the text anew, are too slow for a long log."""
    whole, _, fraction = text.removesuffix("+00").partition(".")
    fractions = {fraction, fraction.ljust(3, "0"), fraction.ljust(6, "0")}
    tails = [f".{digits}{zone}" if digits else zone for digits in fractions for zone in times.ZONES]
    return [whole.replace(" ", sign) + tail for sign in times.SEPARATORS.values() for tail in tails]


def _different(cells: Sequence[Cell]) -> list[Cell]:
    return list({(type(cell), repr(cell)): cell for cell in cells}.values())


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
