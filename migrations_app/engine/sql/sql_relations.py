"""What a query reads and gives: relations with their columns' values, and what names mean within one SELECT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from migrations_app.engine.source.sqlite_ddl import fold
from migrations_app.engine.sql.sql_parse import NotTranslated
from migrations_app.engine.sql.sql_values import Value


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Relation:
    """A table, view or query. sql: how to name it in FROM. columns: source name and value, whose sql is the column's
    bare quoted name in the target. keys: sets of folded names of which no two rows have equal values. rowid: the column
    that is the rowid, '' for none.
    """

    sql: str
    columns: tuple[tuple[str, Value], ...]
    keys: tuple[frozenset[str], ...] = ()
    rowid: str = ""


@dataclass(frozen=True)
class FromItem:
    """A relation in FROM under its alias; hidden: folded names that USING has joined to an earlier source's."""

    alias: str
    relation: Relation
    hidden: frozenset[str] = frozenset()

    def column(self, name: str) -> Value | None:
        for known, value in self.relation.columns:
            if fold(known) == fold(name):
                return replace(value, sql=f"{quoted(self.alias)}.{value.sql}")
        is_rowid = bool(self.relation.rowid) and fold(name) in ("rowid", "_rowid_", "oid")
        return self.column(self.relation.rowid) if is_rowid else None


@dataclass(frozen=True)
class Result:
    """A query's text and its columns: the name that it gives each ('' for an expression), and the value."""

    sql: str
    columns: tuple[tuple[str, Value], ...]


@dataclass
class Scope:
    """What names mean within one SELECT."""

    outer: Scope | None = None
    sources: list[FromItem] = field(default_factory=list)
    aliases: dict[str, Any] = field(default_factory=dict)  # folded alias to its expression
    open_aliases: set[str] = field(default_factory=set)  # being translated: an alias doesn't mean itself


def named(sql: str, found: Result, names: Sequence[str]) -> Relation:
    """A query as a relation: its columns under their names, made distinct."""
    if names and len(names) != len(found.columns):
        raise NotTranslated("it names another number of columns than it has")
    taken: set[str] = set()
    columns = []
    for place, (name, value) in enumerate(found.columns):
        wanted = names[place] if names else name or f"column {place + 1}"
        while fold(wanted) in taken:
            wanted += ":1"
        taken.add(fold(wanted))
        columns.append((wanted, replace(value, sql=quoted(wanted))))
    return Relation(sql, tuple(columns))


def names_of(relation: Relation) -> str:
    return ", ".join(value.sql for _, value in relation.columns)


def merged(one: Value, two: Value) -> Value:
    """One column of a compound."""
    if "null" in (one.form, two.form):
        return replace(two if one.form == "null" else one, affinity="?")
    numbers = one.is_number and two.is_number and one.form != "boolean" != two.form
    if not numbers and (one.form, one.conversion) != (two.form, two.conversion):
        raise NotTranslated("its parts have columns of different types")
    forms = {one.form, two.form}
    form = one.form if len(forms) == 1 else next(f for f in ("double", "numeric", "bigint") if f in forms)
    same = one.affinity == two.affinity
    return replace(
        one,
        form=form,
        kinds=one.kinds | two.kinds,
        affinity=one.affinity if same else "?",
        exact=one.exact and two.exact,
        pg_collation=one.pg_collation or two.pg_collation,
    )
