"""Defaults of columns, as `INSERT OR REPLACE` puts them in the place of a NULL that a column doesn't take."""

from __future__ import annotations

from migrations_app.engine.source.schema import SourceColumn, SourceTable
from migrations_app.engine.source.sqlite_ddl import Token, tokenize

_WORDS = frozenset({"NULL", "TRUE", "FALSE"})
_MOMENTS = frozenset({"CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"})
_SIGNS = frozenset("+-*/%|&~()") | {"||", "<<", ">>"}


def replaces_null(table: SourceTable, column: SourceColumn) -> bool:
    """Whether a NULL given to the column may become its default (ON CONFLICT REPLACE of a NOT NULL).

    The INTEGER PRIMARY KEY is none of these: its NULL becomes a new number.
    """
    if column.default is None or column.name == table.rowid_alias or column.generated:
        return False
    required = column.not_null or (table.without_rowid and column.pk_position > 0)
    tokens = tokenize(column.default)
    return required and not (len(tokens) == 1 and tokens[0].keyword == "NULL")


def constant_default(column: SourceColumn) -> str | None:
    """The default as SQL that means the same anywhere; None when it isn't the same each time, or hard to tell."""
    tokens = tokenize(column.default or "")
    if len(tokens) == 1 and tokens[0].keyword not in _WORDS | _MOMENTS and tokens[0].kind in ("word", "quoted"):
        # DEFAULT abc is the text 'abc' (parse.y: an id there becomes a string).
        return "'" + tokens[0].name.replace("'", "''") + "'"
    return f"({column.default})" if tokens and all(_is_constant(token) for token in tokens) else None


def _is_constant(token: Token) -> bool:
    if token.kind == "word":
        return token.keyword in _WORDS
    return token.kind in ("number", "string", "blob") or (token.kind == "op" and token.text in _SIGNS)
