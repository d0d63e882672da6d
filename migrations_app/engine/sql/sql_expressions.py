"""Expressions of SQLite's tree to PostgreSQL's text, node by node; a node that isn't known here isn't translated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlglot import exp

from migrations_app.engine.sql.sql_arithmetic import bits, computed, divided, negative, remainder
from migrations_app.engine.sql.sql_compare import OTHER, SAME, compare
from migrations_app.engine.sql.sql_functions import AGGREGATES, aggregate, call, choice
from migrations_app.engine.sql.sql_parse import NotTranslated
from migrations_app.engine.sql.sql_patterns import glob, like, refuse_escape
from migrations_app.engine.sql.sql_values import (
    BLOBS,
    INTEGERS,
    NULL,
    REALS,
    TEXTS,
    Value,
    big,
    condition,
    double,
    harmonised,
    integer_literal,
    number,
    predicate,
    real_literal,
    text,
    text_literal,
)

Column = Callable[[str, str, bool], Value]  # name, table ('' without one), whether it stands in double quotes
Query = Callable[[Any], tuple[str, list[Value]]]  # a subquery's SQL and its columns

_COMPARISONS: Final = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: SAME,
    exp.NullSafeNEQ: OTHER,
}
_SIGNS: Final = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
_BITS: Final = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|"}


@dataclass(frozen=True)
class Expressions:
    """column resolves names; query translates subqueries (None where there may be none); utf16: of the file."""

    column: Column
    query: Query | None = None
    utf16: bool = False
    aggregates: bool = False

    def value(self, node: Any) -> Value:
        """What an expression gives. Raises NotTranslated."""
        for kinds, work in _WORK:
            if isinstance(node, kinds):
                return work(self, node)
        raise NotTranslated(f"{_name(node)} has no translation")

    def condition(self, node: Any) -> str:
        """An expression that is taken as true or false."""
        return condition(self.value(node))

    def compare(self, op: str, one: Value, two: Value) -> str:
        return compare(op, one, two, utf16=self.utf16)


def only(node: Any, *names: str) -> None:
    """Raise NotTranslated when a node says more than the named parts."""
    more = [name for name, part in node.args.items() if part and name not in (*names, "safe", "typed", "_type")]
    if more:
        raise NotTranslated(f"{_name(node)} with {more[0].upper()} has no translation")


def _name(node: Any) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()


def _literal(_: Expressions, node: exp.Literal) -> Value:
    if node.is_string:
        return text_literal(node.name)
    if re.fullmatch(r"[0-9]+", node.name):
        whole = int(node.name)
        return integer_literal(whole) if whole < 2**63 else real_literal(float(whole))
    return real_literal(float(node.name))


def _hex_string(_: Expressions, node: exp.HexString) -> Value:
    return Value(f"'\\x{bytes.fromhex(node.name).hex()}'::bytea", "bytea", BLOBS)


def _boolean(self: Expressions, node: exp.Boolean) -> Value:
    return replace(integer_literal(int(bool(node.this))), form="int4")


def _column(self: Expressions, node: exp.Column) -> Value:
    only(node, "this", "table")
    if not isinstance(node.this, exp.Identifier):
        raise NotTranslated("a star stands where a value is wanted")
    return self.column(node.name, node.table, bool(node.this.args.get("quoted")))


def _paren(self: Expressions, node: exp.Paren) -> Value:
    only(node, "this")
    found = self.value(node.this)
    return found if found.sql.startswith("(") and found.form == "boolean" else replace(found, sql=f"({found.sql})")


def _not(self: Expressions, node: exp.Not) -> Value:
    return predicate(f"NOT {self.condition(node.this)}")


def _junction(self: Expressions, node: exp.And | exp.Or) -> Value:
    word = "AND" if isinstance(node, exp.And) else "OR"
    return predicate(f"{self.condition(node.this)} {word} {self.condition(node.expression)}")


def _comparison(self: Expressions, node: Any) -> Value:
    only(node, "this", "expression")
    return predicate(self.compare(_COMPARISONS[type(node)], self.value(node.this), self.value(node.expression)))


def _is(self: Expressions, node: exp.Is) -> Value:
    only(node, "this", "expression")
    if isinstance(node.expression, exp.Boolean):
        return predicate(f"{self.condition(node.this)} IS {'TRUE' if node.expression.this else 'FALSE'}")
    return predicate(self.compare(SAME, self.value(node.this), self.value(node.expression)))


def _between(self: Expressions, node: exp.Between) -> Value:
    only(node, "this", "low", "high")
    found, low, high = (self.value(node.args[name]) for name in ("this", "low", "high"))
    return predicate(f"{self.compare('>=', found, low)} AND {self.compare('<=', found, high)}")


def _in(self: Expressions, node: exp.In) -> Value:
    found = self.value(node.this)
    if node.args.get("query") is not None:
        only(node, "this", "query")
        return _in_query(self, found, node.args["query"])
    only(node, "this", "expressions")
    if not node.expressions:
        raise NotTranslated("IN of an empty list has no translation")
    tests = [self.compare("=", found, self.value(item).plain) for item in node.expressions]
    heads = {test.partition(" = ")[0] for test in tests}
    if len(heads) == 1 and all(test.count(" = ") == 1 for test in tests):
        return predicate(f"{heads.pop()} IN ({', '.join(test.partition(' = ')[2] for test in tests)})")
    return predicate(" OR ".join(tests))


def _in_query(self: Expressions, found: Value, query: Any) -> Value:
    sql, columns = _subquery(self, query)
    if len(columns) != 1:
        raise NotTranslated("IN compares rows")
    test = self.compare("=", found, replace(columns[0], sql="\x01", literal=None))
    left, _, right = test.partition(" = ")
    if right != "\x01":
        raise NotTranslated("IN compares values that SQLite converts first")
    return predicate(f"{left} IN ({sql})")


def _subquery(self: Expressions, node: Any) -> tuple[str, list[Value]]:
    if self.query is None:
        raise NotTranslated("it holds a subquery")
    return self.query(node)


def _exists(self: Expressions, node: exp.Exists) -> Value:
    return predicate(f"EXISTS ({_subquery(self, node.this)[0]})")


def _scalar_query(self: Expressions, node: Any) -> Value:
    only(node, "this")
    select = node.this
    single = isinstance(select, exp.Select) and not select.args.get("group") and len(select.expressions) == 1
    if not single or not _is_aggregate(select.expressions[0]):
        raise NotTranslated("a subquery may give several rows, of which SQLite takes one")
    sql, (found,) = _subquery(self, node)
    return replace(found.plain, sql=f"({sql})", literal=None)


def _is_aggregate(node: Any) -> bool:
    calls = [each for each in node.find_all(exp.Anonymous) if str(each.this).lower() in AGGREGATES]
    return any(each.find_ancestor(exp.Select) is node.find_ancestor(exp.Select) for each in calls)


def _like(self: Expressions, node: exp.Like, escape: str = "") -> Value:
    only(node, "this", "expression", "negate")
    negated = bool(node.args.get("negate"))
    return like(self.value(node.this), self.value(node.expression), negated=negated, escape=escape)


def _escaped(self: Expressions, node: exp.Escape) -> Value:
    mark = node.expression
    is_mark = isinstance(mark, exp.Literal) and mark.is_string and len(mark.name) == 1 and not mark.name.isalpha()
    if not isinstance(node.this, exp.Like) or not is_mark or not isinstance(node.this.expression, exp.Literal):
        raise NotTranslated("LIKE with such an ESCAPE has no translation")
    refuse_escape(node.this.expression.name, mark.name)
    return _like(self, node.this, mark.name)


def _glob(self: Expressions, node: exp.Glob) -> Value:
    only(node, "this", "expression", "negate")
    pattern = node.expression
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        raise NotTranslated("GLOB gets its pattern from a column")
    return glob(self.value(node.this), pattern.name, negated=bool(node.args.get("negate")))


def _joined(self: Expressions, node: exp.DPipe) -> Value:
    only(node, "this", "expression")
    values = [self.value(node.this), self.value(node.expression)]
    if NULL in values:
        return NULL
    texts = harmonised(values, [text(value) for value in values])
    if all(value.form == "text" and value.literal is not None for value in values):
        texts[0] = f"{texts[0]}::text"
    collation = "C" if any(value.pg_collation for value in values) else ""
    return Value(f"({texts[0]} || {texts[1]})", "text", TEXTS, pg_collation=collation)


def _arithmetic(self: Expressions, node: Any) -> Value:
    only(node, "this", "expression")
    return computed(_SIGNS[type(node)], self.value(node.this), self.value(node.expression))


def _divided(self: Expressions, node: exp.Div) -> Value:
    return divided(self.value(node.this), self.value(node.expression))


def _remainder(self: Expressions, node: exp.Mod) -> Value:
    return remainder(self.value(node.this), self.value(node.expression))


def _bits(self: Expressions, node: Any) -> Value:
    return bits(_BITS[type(node)], self.value(node.this), self.value(node.expression))


def _negative(self: Expressions, node: exp.Neg) -> Value:
    return negative(self.value(node.this))


_CASTS = {
    **dict.fromkeys((exp.DataType.Type.INT, exp.DataType.Type.BIGINT), "integer"),
    **dict.fromkeys((exp.DataType.Type.FLOAT, exp.DataType.Type.DOUBLE), "real"),
    **dict.fromkeys((exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR), "text"),
}


def _cast(self: Expressions, node: exp.Cast) -> Value:
    only(node, "this", "to")
    found, kind = self.value(node.this), _CASTS.get(node.to.this)
    if kind == "text":
        return replace(found, sql=f"({text(found)})::text", form="text", kinds=TEXTS, affinity="TEXT", literal=None)
    if kind == "real":
        return Value(double(found), "double", REALS, affinity="NUMERIC", exact=found.exact)
    if kind == "integer" and number(found).kinds == INTEGERS:
        return Value(big(found), "bigint", INTEGERS, affinity="NUMERIC", exact=found.exact)
    if kind == "integer":
        return Value(f"(trunc({double(found)})::bigint)", "bigint", INTEGERS, affinity="NUMERIC")
    raise NotTranslated("CAST to such a type has no translation")


def _collated(self: Expressions, node: exp.Collate) -> Value:
    return replace(self.value(node.this), collation=node.expression.name.upper(), explicit=True)


def _case(self: Expressions, node: exp.Case) -> Value:
    only(node, "this", "ifs", "default")
    base = self.value(node.this) if node.args.get("this") is not None else None
    branches = []
    for each in node.args["ifs"]:
        test = self.value(each.this)
        branches.append(
            (condition(test) if base is None else self.compare("=", base, test), self.value(each.args["true"]))
        )
    default = self.value(node.args["default"]) if node.args.get("default") is not None else NULL
    return choice(branches, default)


def _call(self: Expressions, node: exp.Anonymous, where: str = "") -> Value:
    only(node, "this", "expressions")
    name, arguments = str(node.this).lower(), node.expressions
    if name in AGGREGATES and (len(arguments) < 2 or name not in ("min", "max")):
        return _aggregate(self, name, arguments, where)
    return call(name, [self.value(argument) for argument in arguments])


def _aggregate(self: Expressions, name: str, arguments: list[Any], where: str) -> Value:
    if not self.aggregates:
        raise NotTranslated("an aggregate stands where a value of one row is wanted")
    inner = replace(self, aggregates=False)
    if not arguments or isinstance(arguments[0], exp.Star):
        if name != "count":
            raise NotTranslated(f"{name.upper()}() is called without a value")
        return aggregate(name, None, distinct=False, where=where, utf16=self.utf16)
    distinct = isinstance(arguments[0], exp.Distinct)
    found = arguments[0].expressions if distinct else arguments
    if len(found) != 1:
        raise NotTranslated(f"{name.upper()}() is called with {len(found)} argument(s)")
    return aggregate(name, inner.value(found[0]), distinct=distinct, where=where, utf16=self.utf16)


def _filtered(self: Expressions, node: exp.Filter) -> Value:
    test = replace(self, aggregates=False).condition(node.expression.this)
    if not isinstance(node.this, exp.Anonymous):
        raise NotTranslated("FILTER of such a call has no translation")
    return _call(self, node.this, f" FILTER (WHERE {test})")


_WORK: tuple[tuple[Any, Callable[[Expressions, Any], Value]], ...] = (
    (exp.Literal, _literal),
    (exp.HexString, _hex_string),
    (exp.Null, lambda self, node: NULL),
    (exp.Boolean, _boolean),
    (exp.Column, _column),
    (exp.Paren, _paren),
    (exp.Not, _not),
    ((exp.And, exp.Or), _junction),
    (tuple(_COMPARISONS), _comparison),
    (exp.Is, _is),
    (exp.Between, _between),
    (exp.In, _in),
    (exp.Exists, _exists),
    (exp.Subquery, _scalar_query),
    (exp.Like, _like),
    (exp.Escape, _escaped),
    (exp.Glob, _glob),
    (exp.DPipe, _joined),
    (tuple(_SIGNS), _arithmetic),
    (exp.Div, _divided),
    (exp.Mod, _remainder),
    (tuple(_BITS), _bits),
    (exp.Neg, _negative),
    (exp.Cast, _cast),
    (exp.Collate, _collated),
    (exp.Case, _case),
    (exp.Anonymous, _call),
    (exp.Filter, _filtered),
)
