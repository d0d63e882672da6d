"""SQLite's SQL in PostgreSQL's words: expressions of checks, indexes and generated columns, and views.

sqlglot reads the grammar; what each part means on both sides is decided in the modules sql_*.py, from the types and
values of the columns. Only what means exactly the same is translated (docs/decisions/0007); the loader tries each
object all the same, and lists what PostgreSQL refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from migrations_app.engine.source.sqlite_ddl import closing, fold, tokenize
from migrations_app.engine.sql.names import Names
from migrations_app.engine.sql.sql_expressions import Expressions
from migrations_app.engine.sql.sql_parse import NotTranslated, parse
from migrations_app.engine.sql.sql_relations import Relation, quoted
from migrations_app.engine.sql.sql_select import Queries
from migrations_app.engine.sql.sql_values import Value, condition, text_literal

__all__ = ["NotTranslated", "Scope", "expression", "view"]

SCHEMA_MARK = "{schema}"


@dataclass(frozen=True)
class Scope:
    """What names mean in one table: folded source name to the column's value."""

    columns: Mapping[str, Value]
    utf16: bool = False


def _column(scope: Scope, name: str, _table: str, in_quotes: bool) -> Value:
    found = scope.columns.get(fold(name))
    if found is not None:
        return found
    if in_quotes and not _table:
        return text_literal(name)
    raise NotTranslated(f"{name} is no column of the table")


def _value(sql: str, scope: Scope) -> Value:
    select = parse(f"SELECT {sql}")
    if not isinstance(select, exp.Select) or len(select.expressions) != 1 or len(list(select.iter_expressions())) != 1:
        raise NotTranslated("its syntax wasn't understood")
    root = select.expressions[0]
    if isinstance(root, exp.Alias):
        raise NotTranslated("its syntax wasn't understood")
    return Expressions(lambda *name: _column(scope, *name), utf16=scope.utf16).value(root)


def predicate(sql: str, scope: Scope) -> str:
    """A CHECK or the WHERE of an index. Raises NotTranslated."""
    return _bare(condition(_value(sql, scope)))


def expression(sql: str, scope: Scope) -> Value:
    """A scalar expression over one table's columns. Raises NotTranslated."""
    found = _value(sql, scope)
    if found.literal is not None or found.form in ("null", "other"):
        raise NotTranslated("it is a constant, or a column of mixed values")
    return found


def _bare(sql: str) -> str:
    """Without the parentheses around all of it: what it is put into has its own."""
    tokens = tokenize(sql)
    while len(tokens) > 2 and tokens[0].text == "(" and closing(tokens, 0) == len(tokens) - 1:
        sql = sql[tokens[0].end : tokens[-1].start]
        tokens = tokenize(sql)
    return sql


@dataclass(frozen=True)
class ViewScope:
    """relations: tables and views made so far, by folded name."""

    relations: Mapping[str, Relation]
    utf16: bool = False


def view(sql: str, target_name: str, names: Sequence[str], scope: ViewScope) -> tuple[str, Relation]:
    """A CREATE VIEW with SCHEMA_MARK for the schema's quoted name, and the view as others read it.

    names: of its columns, as SQLite gives them. Raises NotTranslated.
    """
    tree = parse(sql)
    if not isinstance(tree, exp.Create) or not isinstance(tree.expression, exp.Query):
        raise NotTranslated("it is no plain view")
    found = Queries(scope.relations, scope.utf16).query(tree.expression)
    if len(found.columns) != len(names):
        raise NotTranslated("its columns weren't understood")
    claimed = Names()
    columns = tuple(
        (name, _own(value, quoted(claimed.claim(name)))) for name, (_, value) in zip(names, found.columns, strict=True)
    )
    where = f"{SCHEMA_MARK}.{quoted(target_name)}"
    heads = ", ".join(value.sql for _, value in columns)
    return f"CREATE VIEW {where} ({heads}) AS {found.sql}", Relation(where, columns)


def _own(value: Value, sql: str) -> Value:
    return Value(
        sql,
        value.form,
        value.kinds,
        affinity=value.affinity,
        collation=value.collation,
        conversion=value.conversion,
        exact=value.exact,
        stays=value.stays,
        pg_collation=value.pg_collation,
    )
