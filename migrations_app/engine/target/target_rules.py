"""Rules for rows that PostgreSQL keeps as expressions: CHECKs, domains' CHECKs, unique indexes that aren't plain,
exclusion constraints."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from migrations_app.engine.target.pg_names import quote
from migrations_app.engine.target.target import Cursor

CHECK, UNIQUE, EXCLUDE, TEXT = "check", "unique", "exclude", "text"

_AT_ONCE = re.compile(r" DEFERRABLE(?: INITIALLY DEFERRED)?$")
# All columns that an index `i` of pg_index reads: in its keys, expressions and predicate.
_READ_BY_INDEX = """(SELECT array_agg(DISTINCT a.attname::text) FROM pg_depend d
                     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid
                    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0
                      AND ((d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid)
                        OR (d.classid = 'pg_constraint'::regclass AND d.objid IN
                            (SELECT k.oid FROM pg_constraint k
                              WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid))))"""


@dataclass(frozen=True)
class Rule:
    """`sql`: the expression of a CHECK, the predicate of a unique index ('' for none), an exclusion constraint's whole
    definition, or the type that a text must be of. `keys`: what must be unique; nulls_alike: NULL, too."""

    kind: str
    name: str
    columns: tuple[str, ...]  # the target's, all that it reads
    sql: str
    keys: tuple[str, ...] = ()
    of_domain: bool = False
    nulls_alike: bool = False

    @property
    def what(self) -> str:
        if self.kind == UNIQUE:
            return f"The target's unique index {self.name}"
        if self.kind == EXCLUDE:
            return f"The target's exclusion constraint {self.name}"
        return f"The target's {'domain check' if self.of_domain else 'CHECK'} {self.name}"


def read_rules(cursor: Cursor, schema: str) -> dict[str, tuple[Rule, ...]]:
    """By table. Expressions are printed as seen from `schema`."""
    cursor.execute("SELECT current_setting('search_path')")
    before = cursor.fetchone()[0]
    cursor.execute("SELECT set_config('search_path', %s, true)", (quote(schema),))
    found: dict[str, list[Rule]] = defaultdict(list)
    for read in (_checks, _domain_checks, _uniques, _exclusions):
        for table, rule in read(cursor, schema):
            found[table].append(rule)
    cursor.execute("SELECT set_config('search_path', %s, true)", (before,))
    return {table: tuple(rules) for table, rules in found.items()}


def _fetch(cursor: Cursor, sql: str, schema: str) -> list[tuple[Any, ...]]:
    cursor.execute(sql, (schema,))
    return list(cursor.fetchall())


def _checks(cursor: Cursor, schema: str) -> list[tuple[str, Rule]]:
    rows = _fetch(
        cursor,
        """SELECT c.relname::text, o.conname::text, pg_get_expr(o.conbin, o.conrelid),
                  (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                    WHERE a.attrelid = o.conrelid AND a.attnum = ANY(o.conkey))
             FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = %s AND o.contype = 'c' AND o.convalidated AND c.relkind IN ('r', 'p')
            ORDER BY 1, 2""",
        schema,
    )
    return [(table, Rule(CHECK, name, tuple(columns or ()), sql)) for table, name, sql, columns in rows]


def _domain_checks(cursor: Cursor, schema: str) -> list[tuple[str, Rule]]:
    """A domain's CHECK speaks of VALUE, which here is the column."""
    rows = _fetch(
        cursor,
        """SELECT c.relname::text, a.attname::text, o.conname::text, pg_get_expr(o.conbin, 0)
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_constraint o ON o.contypid = a.atttypid AND o.contype = 'c'
            WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY 1, a.attnum, 3""",
        schema,
    )
    return [
        (table, Rule(CHECK, name, (column,), _with_value(sql, quote(column)), of_domain=True))
        for table, column, name, sql in rows
    ]


def _with_value(sql: str, column: str) -> str:
    """VALUE outside of string constants, which PostgreSQL prints with doubled quotes."""
    parts = sql.split("'")
    parts[::2] = [part.replace("VALUE", column) for part in parts[::2]]
    return "'".join(parts)


def _uniques(cursor: Cursor, schema: str) -> list[tuple[str, Rule]]:
    """Those that say more than "these columns, as they are": expressions, predicates, NULLs that are alike, types and
    collations that take different texts for the same."""
    rows = _fetch(
        cursor,
        f"""SELECT c.relname::text, ic.relname::text, coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
                  (SELECT array_agg(pg_get_indexdef(i.indexrelid, k, true) ORDER BY k)
                     FROM generate_series(1, i.indnkeyatts) k),
                  {_READ_BY_INDEX}, i.indnullsnotdistinct
             FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = %s AND i.indisunique AND i.indisvalid AND c.relkind IN ('r', 'p')
              AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL OR i.indnullsnotdistinct
                   OR EXISTS (SELECT 1 FROM unnest(i.indcollation::oid[]) l JOIN pg_collation co ON co.oid = l
                               WHERE NOT co.collisdeterministic)
                   OR EXISTS (SELECT 1 FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                               WHERE a.attrelid = i.indexrelid AND t.typname = 'citext'))
            ORDER BY 1, 2""",
        schema,
    )
    return [
        (table, Rule(UNIQUE, name, tuple(columns or ()), sql, tuple(keys), nulls_alike=alike))
        for table, name, sql, keys, columns, alike in rows
    ]


def _exclusions(cursor: Cursor, schema: str) -> list[tuple[str, Rule]]:
    """Without what says when they are checked: a row that is in the way is in the way at once or later."""
    rows = _fetch(
        cursor,
        f"""SELECT c.relname::text, o.conname::text, pg_get_constraintdef(o.oid), {_READ_BY_INDEX}
              FROM pg_constraint o JOIN pg_index i ON i.indexrelid = o.conindid
              JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = %s AND o.contype = 'x' AND c.relkind IN ('r', 'p') ORDER BY 1, 2""",
        schema,
    )
    return [
        (table, Rule(EXCLUDE, name, tuple(columns or ()), _AT_ONCE.sub("", sql))) for table, name, sql, columns in rows
    ]
