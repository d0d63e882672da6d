"""ORDER BY and LIMIT: terms that sort as SQLite sorts, and a LIMIT only where the order leaves no ties."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlglot import exp

from migrations_app.engine.source.sqlite_ddl import fold
from migrations_app.engine.sql.sql_compare import collated, sorts_as_text
from migrations_app.engine.sql.sql_expressions import only
from migrations_app.engine.sql.sql_functions import AGGREGATES
from migrations_app.engine.sql.sql_parse import NotTranslated
from migrations_app.engine.sql.sql_relations import Scope
from migrations_app.engine.sql.sql_values import Value, number


def term(ordered: Any, value: Value, *, utf16: bool) -> str:
    only(ordered, "this", "desc", "nulls_first")
    direction = " DESC" if ordered.args.get("desc") else ""
    return f"{_sortable(value, utf16)}{direction} NULLS {'FIRST' if ordered.args.get('nulls_first') else 'LAST'}"


def _sortable(value: Value, utf16: bool) -> str:
    """An expression that sorts as SQLite does."""
    if value.form == "null" or value.form in ("bytea", "boolean"):
        return value.sql
    if value.is_number:
        return number(value).sql
    if not value.is_text or utf16:
        raise NotTranslated("it orders by values whose order isn't PostgreSQL's")
    collation = value.collation or "BINARY"
    if collation == "BINARY" and sorts_as_text(value):
        return value.sql
    return f'{collated(value, collation)} COLLATE "C"'


def limit_of(node: exp.Select, scope: Scope) -> str:
    """LIMIT only where the order leaves no ties: which of equal rows come first is left open in both databases."""
    parts = []
    for word in ("limit", "offset"):
        if (part := node.args.get(word)) is not None:
            only(part, "expression")
            if not isinstance(part.expression, exp.Literal) or not part.expression.name.isdigit():
                raise NotTranslated("LIMIT and OFFSET are translated for plain numbers only")
            parts.append(f" {word.upper()} {part.expression.name}")
    if parts and not _is_total(node, scope):
        raise NotTranslated("LIMIT keeps rows that its order doesn't decide on")
    return "".join(parts)


def _is_total(node: exp.Select, scope: Scope) -> bool:
    order = node.args.get("order")
    calls = (str(each.this).lower() for each in node.find_all(exp.Anonymous))
    if order is None or len(scope.sources) != 1 or node.args.get("group") or AGGREGATES & set(calls):
        return False
    names = {fold(each.this.name) for each in order.expressions if isinstance(each.this, exp.Column)}
    names -= {name for name, value in scope.aliases.items() if not (isinstance(value, exp.Column))}
    return any(key <= names for key in scope.sources[0].relation.keys)


def refuse_limit(node: Any) -> None:
    if node.args.get("limit") is not None or node.args.get("offset") is not None:
        raise NotTranslated("LIMIT of a compound or distinct result keeps rows that its order may not decide on")


def refuse_collations(values: Iterable[Value]) -> None:
    for value in values:
        if value.collation not in ("", "BINARY"):
            raise NotTranslated(f"it takes texts for equal by collation {value.collation}")


def ordinal(digits: str, count: int) -> int:
    if not 1 <= int(digits) <= count:
        raise NotTranslated("it names a column by a number that isn't there")
    return int(digits) - 1
