"""Which rows a write may push out: for each unique index, the question that finds the row in its way.

`REPLACE`, `UPDATE OR REPLACE` and ON CONFLICT REPLACE in a schema delete the rows that clash, and fire no trigger of
theirs (https://www.sqlite.org/lang_conflict.html). So before each write we ask each unique index for a clashing row;
one that is found and not deleted after all does no harm, since rows are read again.

SQLite gives a BEFORE trigger the row as it was handed in: the INTEGER PRIMARY KEY is -1 where SQLite will number the
row, a NULL that will become the column's default is still NULL, and NEW.x has its column's collation but not its
affinity (seen in 3.40). What can't be asked for exactly because of that is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from migrations_app.engine.capture.column_defaults import constant_default, replaces_null
from migrations_app.engine.errors import Refused
from migrations_app.engine.source.affinity import BLOB, TEXT, affinity
from migrations_app.engine.source.schema import SourceColumn, SourceIndex, SourceTable
from migrations_app.engine.source.sqlite_ddl import Token, fold, parse_index, tokenize
from migrations_app.engine.source.sqlite_source import quote_name

_COMPARISONS = frozenset({"=", "==", "<>", "!=", "<", ">", "<=", ">="})
_NAMES = frozenset({"word", "quoted", "string"})  # SQLite takes 'a' for a column's name in places


@dataclass(frozen=True)
class Lookup:
    """found: true for the rows of the table that NEW clashes with. changed: false where an UPDATE can't make a clash.

    Both are SQL for the body of a trigger on the table, where the table's own columns stand without a qualifier.
    """

    found: str
    changed: str


def lookups(table: SourceTable, key: Sequence[str]) -> tuple[Lookup, ...]:
    """The questions before each write, none for a clash that only a row of the same key can be in.

    Raises Refused ONLINE_UNIQUE_UNSEEN.
    """
    found = [_of_index(table, index) for index in table.indexes if index.unique and not _holds_key(table, index, key)]
    if not table.without_rowid and table.rowid_alias is None and table.rowid_name:
        # Anybody may number a row by hand: INSERT OR REPLACE INTO t(rowid, …).
        name = table.rowid_name
        found.append(Lookup(f"{name} = NEW.{name}", f"NEW.{name} IS NOT OLD.{name}"))
    return tuple(dict.fromkeys(found))


def is_untyped(table: SourceTable, column: SourceColumn) -> bool:
    """Whether the column keeps 1 and 1.0 apart, which compare equal."""
    return affinity(column.declared_type) == BLOB or (table.strict and column.declared_type.upper() == "ANY")


def _holds_key(table: SourceTable, index: SourceIndex, key: Sequence[str]) -> bool:
    """Whether two rows that clash in the index have the same key, byte for byte."""
    columns = {column.name: column for column in table.columns}
    exact = {part.name for part in index.columns if part.collation == "BINARY"}
    return all(name in exact and not is_untyped(table, columns[name]) for name in key)


def _of_index(table: SourceTable, index: SourceIndex) -> Lookup:
    texts = parse_index(index.sql).parts if index.sql else ()
    if any(part.name is None for part in index.columns) and len(texts) != len(index.columns):
        raise _unseen(table, index, "its expressions can't be read")
    conditions, asked = [], set()
    for place, part in enumerate(index.columns):
        collation = f" COLLATE {quote_name(part.collation)}"
        if part.name is not None:
            column = _column(table, part.name)
            conditions.append(f"{quote_name(column.name)} = {_given(table, index, column)}{collation}")
            asked.add(column.name)
        else:
            names = _mentioned(table, tokenize(texts[place]))
            value = f"(SELECT {texts[place]} FROM (SELECT {_new_row(table, index, names)}) AS {quote_name(table.name)})"
            _check_comparisons(table, index, tokenize(texts[place]))
            conditions.append(f"({texts[place]}) = {value}{collation}")
            asked |= names
    if index.where:
        # Of the rows that stand: whether NEW itself belongs into the index isn't asked.
        conditions.append(f"({index.where})")
        asked |= _mentioned(table, tokenize(index.where))
    return Lookup(" AND ".join(conditions), _changed(table, asked, index.where))


def _changed(table: SourceTable, names: Iterable[str], where: str) -> str:
    """Whether an UPDATE gives the row another place in the index, or a place at all."""
    used = sorted(names)
    if any(token.kind in _NAMES and fold(token.name) in ("rowid", "_rowid_", "oid") for token in tokenize(where)):
        return "1"
    return " OR ".join(f"NEW.{q} IS NOT OLD.{q} COLLATE BINARY" for q in map(quote_name, used)) if used else "1"


def _new_row(table: SourceTable, index: SourceIndex, names: Iterable[str]) -> str:
    parts = [f"{_given(table, index, _column(table, n), inside=True)} AS {quote_name(n)}" for n in sorted(names)]
    return ", ".join(parts) or "1"


def _given(table: SourceTable, index: SourceIndex, column: SourceColumn, *, inside: bool = False) -> str:
    """SQL for what the row will have in the column. inside: of an expression, where its collation counts.

    Raises Refused ONLINE_UNIQUE_UNSEEN.
    """
    name = quote_name(column.name)
    for source in _origins(table, column):
        if source.name == table.rowid_alias and (inside or column.generated):
            raise _unseen(table, index, f"it depends on {source.name}, which SQLite fills in when the row is written")
        if source is not column and replaces_null(table, source):
            raise _unseen(table, index, f"{column.name} is made of {source.name}, whose NULL may become its default")
    if not replaces_null(table, column):
        return f"NEW.{name}"
    default = constant_default(column)
    if default is None:
        raise _unseen(table, index, f"the default of {column.name} isn't the same each time")
    value = f"coalesce(NEW.{name}, {default})"
    return f"{value} COLLATE {quote_name(column.collation)}" if inside else value


def _origins(table: SourceTable, column: SourceColumn) -> list[SourceColumn]:
    """The column itself, and those that a generated one is made of, directly or not."""
    found, ahead = [column], [column]
    while ahead:
        for name in _mentioned(table, tokenize(ahead.pop().generated_sql)):
            source = _column(table, name)
            if source not in found:
                found.append(source)
                ahead.append(source)
    return found


def _mentioned(table: SourceTable, tokens: Iterable[Token]) -> set[str]:
    """The names of the columns that an expression may speak of; too many rather than too few."""
    spoken = {fold(token.name) for token in tokens if token.kind in _NAMES}
    return {column.name for column in table.columns if fold(column.name) in spoken and not column.hidden}


def _column(table: SourceTable, name: str) -> SourceColumn:
    return next(column for column in table.columns if fold(column.name) == fold(name))


def _check_comparisons(table: SourceTable, index: SourceIndex, tokens: Sequence[Token]) -> None:
    """Refuse comparisons that may convert what they compare: NEW.x would be converted otherwise than x.

    Left are: with NULL, and of a column with a literal of its own kind.
    """
    for place, token in enumerate(tokens):
        after = tokens[place + 1 : place + 3]
        if token.keyword in ("IN", "BETWEEN") or (token.keyword == "CASE" and after and after[0].keyword != "WHEN"):
            raise _unseen(table, index, f"its expression compares by {token.keyword}")
        by_is = token.keyword == "IS" and "NULL" not in [item.keyword for item in after]
        if by_is or (token.kind == "op" and token.text in _COMPARISONS):
            beside = [tokens[i] for i in (place - 1, place + 1) if 0 <= i < len(tokens)]
            if by_is or not _is_plain(table, beside):
                raise _unseen(table, index, f"its expression compares by {token.text}")


def _is_plain(table: SourceTable, beside: Sequence[Token]) -> bool:
    if len(beside) != 2:
        return False
    literals = [token for token in beside if token.kind in ("number", "string", "blob")]
    columns = [
        c for token in beside for c in table.columns if token.kind in _NAMES and fold(c.name) == fold(token.name)
    ]
    if len(literals) != 1 or len(columns) != 1:
        return False
    kind = affinity(columns[0].declared_type)
    return kind == BLOB or (literals[0].kind == "number") == (kind != TEXT)


def _unseen(table: SourceTable, index: SourceIndex, why: str) -> Refused:
    return Refused(
        "ONLINE_UNIQUE_UNSEEN",
        f"Which row a write to {table.name} replaces by its unique index {index.name} can't be told beforehand: {why}.",
        "Move with the strategy offline.",
    )
