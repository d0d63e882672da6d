"""Mode `create`: choices may make two values one ('1' and 1 as text, '' and x'' as bytes). Not in a unique key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from migrations_app.engine.conversions.conversions import Unfit, conversion
from migrations_app.engine.plan import ColumnPlan, Finding
from migrations_app.engine.planning.findings import REFUSE, Decisions
from migrations_app.engine.planning.left_out import LeftOut
from migrations_app.engine.planning.plan_objects import TableDraft
from migrations_app.engine.source.row_keys import row_key_text
from migrations_app.engine.source.sqlite_source import Source, quote_name

_MERGING = frozenset({"boolean_words", "numeric_rounded", "text_bytes", "time", "timestamp", "timestamptz", "uuid"})


def refuse_merged_keys(source: Source, draft: TableDraft, left_out: LeftOut, decisions: Decisions) -> None:
    """A finding for each plain unique key in which different values of the source become equal in the target."""
    for folded in dict.fromkeys(draft.unique_sets):
        columns = [draft.columns[name] for name in folded]
        readable = not any(draft.profile.column(column.name).invalid for column in columns if not _as_bytes(column))
        if readable and any(_may_merge(draft, column) for column in columns):
            _look(source, draft, columns, left_out, decisions)


def _as_bytes(column: ColumnPlan) -> bool:
    return column.conversion.startswith("text_bytes:")


def _may_merge(draft: TableDraft, column: ColumnPlan) -> bool:
    word = column.conversion.partition(":")[0]
    plain_form = ":" in column.conversion and word != "text_bytes"  # a form gives the text back, so it merges nothing
    kinds = draft.profile.column(column.name).kinds
    return (word in _MERGING and not plain_form) or (column.conversion == "text" and len(kinds) > 1)


def _look(
    source: Source, draft: TableDraft, columns: Sequence[ColumnPlan], left_out: LeftOut, decisions: Decisions
) -> None:
    """SQLite groups the converted keys; what it can't hold in memory goes to its own scratch file."""
    cells = [_cell(source, column, f"causeway_key_{place}") for place, column in enumerate(columns)]
    table, names = draft.source, [column.name for column in columns]
    complete = " AND ".join(f"{cell} IS NOT NULL" for cell in cells)
    shown = ", ".join(f"min({quote_name(name)})" for name in names)
    groups = ", ".join(str(place + len(names) + 1) for place in range(len(cells)))
    rows = source.query(
        f"SELECT {shown}, {', '.join(cells)} FROM {quote_name(table.name)} WHERE {complete}"
        f"{left_out.kept(table)} GROUP BY {groups} HAVING count(*) > 1"
    )
    first = next(rows, None)
    if first is None:
        return
    count = 1 + sum(1 for _row in rows)
    where = ", ".join(names)
    message = (
        f"In the unique key {table.name}({where}) {count} value(s) would come to be there more than once by the choice"
        " that was made for its column: choose what keeps them apart (tagged_text), or mend the source."
    )
    key = row_key_text(names, first[: len(names)])
    decisions.ask(Finding("DUPLICATE_KEYS", REFUSE, message, table.name, where, key, count))


def _cell(source: Source, column: ColumnPlan, function: str) -> str:
    if _as_bytes(column):  # the bytes as they lie in the file, which need be no text
        return f"CAST({quote_name(column.name)} AS BLOB)"
    source.define(function, _converted(column))
    return f"{function}({quote_name(column.name)})"


def _converted(column: ColumnPlan) -> Callable[[Any], str | None]:
    convert = conversion(column.conversion, column.target_type).convert

    def work(value: Any) -> str | None:
        try:
            return convert(value)
        except Unfit:  # a row that is left out, by choice
            return None

    return work
