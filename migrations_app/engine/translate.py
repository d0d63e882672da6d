"""SQLite's SQL in PostgreSQL's words: expressions of checks, indexes and generated columns, and views.

sqlglot does the grammar. What it can't know is put right here: names are matched as SQLite matches them (ASCII case
aside) and then quoted, a double-quoted word that names no column is a string, LIKE ignores case, booleans are compared
with 0 and 1. A translation is an offer: the loader tries each and lists what PostgreSQL refuses.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp

from migrations_app.engine.sqlite_ddl import fold

# Functions of SQLite with no twin of the same meaning: what uses them is listed, not guessed at.
_UNTRANSLATED = frozenset(
    {
        "CHANGES",
        "DATETIME",
        "FORMAT",
        "GLOB",
        "GREATEST",
        "HEX",
        "INSTR",
        "JSON_EACH",
        "JSON_TREE",
        "JSON_TYPE",
        "JSON_VALID",
        "JULIANDAY",
        "LAST_INSERT_ROWID",
        "LIKELIHOOD",
        "LEAST",
        "LIKELY",
        "MATCH",
        "PRINTF",
        "QUOTE",
        "RANDOM",
        "RANDOMBLOB",
        "REGEXP",
        "ROWID",
        "SOUNDEX",
        "SQLITE_VERSION",
        "STRFTIME",
        "TOTAL",
        "TOTAL_CHANGES",
        "TYPEOF",
        "UNICODE",
        "UNIXEPOCH",
        "UNLIKELY",
        "ZEROBLOB",
    }
)
_LONGEST = 200_000  # characters of SQL: the parser's time and memory are bounded by it
SCHEMA_MARK = "{schema}"
_SCHEMA_NAME = "causeway_schema_mark_8c1f"


class NotTranslated(Exception):
    """Why an expression or view stays behind, as a clause."""


@dataclass(frozen=True)
class Scope:
    """What names mean. columns: folded source name to target name; booleans: folded names of boolean columns."""

    columns: Mapping[str, str]
    booleans: frozenset[str] = frozenset()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """sqlglot logs what it isn't sure of, with the SQL in it."""
    logger = logging.getLogger("sqlglot")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _parse(sql: str) -> Any:
    if len(sql) > _LONGEST:
        raise NotTranslated("it is too long")
    try:
        with _quiet():
            tree: Any = sqlglot.parse_one(sql, read="sqlite")
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise NotTranslated("its syntax wasn't understood") from error
    return tree


def _print(tree: exp.Expression) -> str:
    try:
        with _quiet():
            return str(tree.sql(dialect="postgres", unsupported_level=sqlglot.ErrorLevel.RAISE))
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise NotTranslated("it has no form in PostgreSQL") from error


def _refuse_functions(tree: Any) -> None:
    """Stop at what means something else in PostgreSQL, or nothing."""
    for node in tree.find_all(exp.Func, exp.Glob, exp.RegexpLike):
        name = node.name.upper() if isinstance(node, exp.Anonymous) else type(node).__name__.upper()
        if name in _UNTRANSLATED or isinstance(node, exp.Glob | exp.RegexpLike | exp.TimeToStr):
            raise NotTranslated(f"{name}() has no twin in PostgreSQL")
    if any(tree.find_all(exp.Subquery, exp.Select)) and not isinstance(tree, exp.Query):
        raise NotTranslated("it holds a subquery")


def _like(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Like):
        return exp.ILike(**node.args)
    return node


def _is_bit(node: exp.Expression | None) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and node.name in ("0", "1")


def _boolean(scope: Scope, node: exp.Expression) -> exp.Expression:
    """`active = 1` to `active = TRUE`, for columns that became boolean."""
    if not isinstance(node, exp.EQ | exp.NEQ | exp.Is | exp.In):
        return node
    sides = [node.this, node.args.get("expression"), *(node.args.get("expressions") or ())]
    if any(isinstance(side, exp.Column) and fold(side.name) in scope.booleans for side in sides):
        for side in sides:
            if _is_bit(side):
                side.replace(exp.Boolean(this=side.name == "1"))
    return node


def expression(sql: str, scope: Scope) -> str:
    """A scalar expression over one table's columns. Raises NotTranslated."""
    tree = _parse(f"SELECT {sql}").expressions
    if len(tree) != 1:
        raise NotTranslated("its syntax wasn't understood")
    root: Any = exp.Paren(this=tree[0].unalias())
    _refuse_functions(root)
    root = root.transform(_like).transform(lambda node: _boolean(scope, node))
    for column in list(root.find_all(exp.Column)):
        _name_column(column, scope)
    text = _print(root)
    return text[1:-1]


def _name_column(column: exp.Column, scope: Scope) -> None:
    target = scope.columns.get(fold(column.name))
    if target is not None:
        column.replace(exp.column(exp.to_identifier(target, quoted=True)))
    elif column.this.args.get("quoted"):
        column.replace(exp.Literal.string(column.name))
    else:
        raise NotTranslated(f"{column.name} is no column of the table")


@dataclass(frozen=True)
class ViewScope:
    """relations: folded name of a table or view to its target's; columns: likewise, over all tables."""

    relations: Mapping[str, str]
    columns: Mapping[str, str]
    booleans: frozenset[str] = frozenset()


def view(sql: str, target_name: str, scope: ViewScope) -> str:
    """A CREATE VIEW with SCHEMA_MARK for the schema's quoted name. Raises NotTranslated."""
    tree = _parse(sql)
    query = tree.expression if isinstance(tree, exp.Create) else None
    if not isinstance(query, exp.Query) or not isinstance(tree, exp.Create):
        raise NotTranslated("it is no plain view")
    _refuse_functions(query)
    local = {fold(cte.alias) for cte in query.find_all(exp.CTE)}
    for table in list(query.find_all(exp.Table)):
        _name_relation(table, scope, local)
    _name_identifiers(query, scope)
    narrow = Scope(scope.columns, scope.booleans)
    query = query.transform(_like).transform(lambda node: _boolean(narrow, node))
    heads = _column_list(tree)
    body = _print(query).replace(f'"{_SCHEMA_NAME}"', SCHEMA_MARK)
    return f"CREATE VIEW {SCHEMA_MARK}.{_quoted(target_name)}{heads} AS {body}"


def _column_list(tree: exp.Create) -> str:
    named = tree.this.expressions if isinstance(tree.this, exp.Schema) else ()
    return f" ({', '.join(_quoted(item.name) for item in named)})" if named else ""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _name_relation(table: exp.Table, scope: ViewScope, local: set[str]) -> None:
    """Give a relation its target name and the schema's mark; it keeps its old name as an alias."""
    name = fold(table.name)
    if name in local:
        return
    target = scope.relations.get(name)
    if target is None:
        raise NotTranslated(f"it reads {table.name}, which isn't there")
    if not table.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
    table.set("this", exp.to_identifier(target, quoted=True))
    table.set("db", exp.to_identifier(_SCHEMA_NAME, quoted=True))
    table.set("catalog", None)


def _name_identifiers(query: Any, scope: ViewScope) -> None:
    """Spell every name one way, as its column or its first use does, and quote it; unknown quoted words are strings."""
    spelling: dict[str, str] = dict(scope.columns)
    for alias in query.find_all(exp.TableAlias, exp.Alias):
        identifier = alias.args.get("this" if isinstance(alias, exp.TableAlias) else "alias")
        if isinstance(identifier, exp.Identifier):
            spelling.setdefault(fold(identifier.name), identifier.name)
    for column in list(query.find_all(exp.Column)):
        if column.this.args.get("quoted") and not column.table and fold(column.name) not in spelling:
            column.replace(exp.Literal.string(column.name))
    for identifier in query.find_all(exp.Identifier):
        in_table = isinstance(identifier.parent, exp.Table)
        name = identifier.name if in_table else spelling.get(fold(identifier.name), identifier.name)
        identifier.set("this", name)
        identifier.set("quoted", True)
