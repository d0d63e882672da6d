"""Reads SQLite's SQL into sqlglot's tree, and proves that the tree groups operators as SQLite would."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite

_LONGEST = 200_000  # characters of SQL: the parser's time and memory are bounded by it


class NotTranslated(Exception):
    """Why an expression or view stays behind, as a clause."""


_SQLITE_PARSER: Any = SQLite.Parser


class _Plain(SQLite):
    """SQLite's grammar with every function left as it is written: what one means is decided here, not by sqlglot."""

    class Parser(_SQLITE_PARSER):  # type: ignore[misc]
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CAST": _SQLITE_PARSER.FUNCTION_PARSERS["CAST"]}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CASE": _SQLITE_PARSER.NO_PAREN_FUNCTION_PARSERS["CASE"]}


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


def parse(sql: str) -> Any:
    """The tree of one statement. Raises NotTranslated."""
    if len(sql) > _LONGEST:
        raise NotTranslated("it is too long")
    try:
        with _quiet():
            tree: Any = sqlglot.parse_one(sql, read=_Plain)
            _check_grouping(tree)
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise NotTranslated("its syntax wasn't understood") from error
    return tree


# How tightly SQLite's operators bind (https://www.sqlite.org/lang_expr.html, section 2), loosest first.
_LEVELS: dict[type[exp.Expression], int] = {
    exp.Or: 1,
    exp.And: 2,
    exp.Not: 3,
    exp.EQ: 4,
    exp.NEQ: 4,
    exp.NullSafeEQ: 4,
    exp.NullSafeNEQ: 4,
    exp.Is: 4,
    exp.In: 4,
    exp.Between: 4,
    exp.Like: 4,
    exp.Glob: 4,
    exp.LT: 5,
    exp.LTE: 5,
    exp.GT: 5,
    exp.GTE: 5,
    exp.BitwiseAnd: 7,
    exp.BitwiseOr: 7,
    exp.Add: 8,
    exp.Sub: 8,
    exp.Mul: 9,
    exp.Div: 9,
    exp.Mod: 9,
    exp.DPipe: 10,
    exp.Collate: 11,
    exp.Neg: 12,
}


def _check_grouping(tree: Any) -> None:
    """Raise NotTranslated for a tree that SQLite wouldn't have made of the same words.

    In a tree of operators each operand that stands in no parentheses binds tighter than its operator (on the left
    also as tightly); there is one such tree for a text, so one that keeps the rule is SQLite's.
    """
    for node in tree.walk():
        level = _LEVELS.get(type(node))
        if level is None:
            continue
        for name, operand in node.args.items():
            inner = _level(operand)
            if inner and (inner < level if name == "this" else inner <= level):
                raise NotTranslated("its operators may be grouped otherwise; parentheses would make it plain")


def _level(operand: Any) -> int:
    """0 for what isn't an operator. A negated predicate (`a NOT IN …`, `a IS NOT NULL`) is one operator for SQLite."""
    if isinstance(operand, exp.Escape):
        return _LEVELS[exp.Like]
    return _LEVELS.get(type(operand), 0) if isinstance(operand, exp.Expression) else 0
