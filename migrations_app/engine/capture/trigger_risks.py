"""Triggers of the application after which nobody can tell which row a write replaces.

"If a BEFORE UPDATE or BEFORE DELETE trigger modifies or deletes a row that was to have been updated or deleted, then
the result of the subsequent update or delete operation is undefined" (https://www.sqlite.org/lang_createtrigger.html).
What was asked of the unique indexes beforehand holds no longer then.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from migrations_app.engine.source.schema import SourceSchema, SourceTable
from migrations_app.engine.source.sqlite_ddl import fold, tokenize


def rewrites_own_row(schema: SourceSchema, tables: Sequence[SourceTable]) -> Iterator[tuple[str, str]]:
    """Table and reason, for BEFORE UPDATE triggers that update their own table, where that has unique indexes."""
    unique = {fold(table.name): table.name for table in tables if any(index.unique for index in table.indexes)}
    for trigger in schema.triggers:
        table = unique.get(fold(trigger.table))
        if table and _updates_itself(trigger.sql, fold(trigger.table)):
            yield (
                table,
                f"The trigger {trigger.name} changes rows of {table} before they are changed, so which rows a write "
                "replaces isn't defined. Make it an AFTER trigger, or move with the strategy offline.",
            )


def _updates_itself(sql: str, table: str) -> bool:
    tokens = tokenize(sql)
    begin = next((i for i, token in enumerate(tokens) if token.keyword == "BEGIN"), len(tokens))
    head = [token.keyword for token in tokens[:begin]]
    event = next((word for word in head if word in ("INSERT", "UPDATE", "DELETE")), "")
    if event != "UPDATE" or "AFTER" in head[: head.index(event)] or "INSTEAD" in head:
        return False  # without a word for the moment it is BEFORE
    body = tokens[begin:]  # a table's name stands there without its database's: SQLite allows no other
    pairs = itertools.pairwise(body)
    names = [after.name for before, after in pairs if before.keyword == "UPDATE"]
    replaced = [body[i + 3].name for i in range(len(body) - 3) if _is_update_or(body[i].keyword, body[i + 1].keyword)]
    return table in {fold(name) for name in (*names, *replaced)}


def _is_update_or(first: str, second: str) -> bool:
    return first == "UPDATE" and second == "OR"
