"""Is what is unique by declaration unique by its rows? Asked of the heap: a damaged index would vouch for itself.

PostgreSQL's own check lives in the index alone: one built under another collation version, or damaged, lets doubles in.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrations_app.engine.plan import MovePlan
from migrations_app.engine.target.pg_names import literal, qualified
from migrations_app.engine.target.target import Cursor, rows, scalar
from migrations_app.engine.verify.differences import Difference

# Every plan that reads an index, for this transaction: the rows themselves are looked at.
_HEAP_ONLY = "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off"


@dataclass(frozen=True)
class _Unique:
    """terms: its columns or expressions as SQL, with their collation. predicate: '' for all rows."""

    table: str
    name: str
    is_valid: bool
    nulls_equal: bool
    terms: tuple[str, ...]
    predicate: str


def check_uniques(cursor: Cursor, plan: MovePlan) -> tuple[int, tuple[Difference, ...]]:
    """How many unique indexes of the loaded tables were re-checked, and a difference 'not_unique' (with the number of
    keys that are there more than once) or 'index_invalid' for each that doesn't hold."""
    cursor.execute(_HEAP_ONLY)
    loaded = {table.target_name: table.name for table in plan.tables if table.is_loaded}
    found = [unique for unique in _uniques(cursor, plan.target_schema) if unique.table in loaded]
    wrong = []
    for unique in found:
        doubles = _doubles(cursor, plan.target_schema, unique)
        if doubles:
            wrong.append(Difference(loaded[unique.table], "", unique.name, "not_unique", "0", str(doubles)))
        elif not unique.is_valid:
            wrong.append(Difference(loaded[unique.table], "", unique.name, "index_invalid"))
    return len(found), tuple(wrong)


def _uniques(cursor: Cursor, schema: str) -> list[_Unique]:
    found = rows(
        cursor,
        f"""SELECT c.relname::text, x.relname::text, i.indisvalid AND i.indisready, i.indnullsnotdistinct,
                   array_agg(pg_get_indexdef(i.indexrelid, k.place::int, false)
                             || CASE WHEN l.oid IS NULL THEN ''
                                     ELSE format(' COLLATE %I.%I', ln.nspname, l.collname) END ORDER BY k.place),
                   coalesce(pg_get_expr(i.indpred, i.indrelid), '')
              FROM pg_index i
              JOIN pg_class x ON x.oid = i.indexrelid
              JOIN pg_class c ON c.oid = i.indrelid AND c.relkind IN ('r', 'p')
              JOIN pg_namespace n ON n.oid = c.relnamespace
             CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) k(place)
              LEFT JOIN pg_collation l ON l.oid = i.indcollation[k.place - 1]
              LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace
             WHERE i.indisunique AND n.nspname = {literal(schema)}
             GROUP BY 1, 2, 3, 4, 6 ORDER BY 1, 2""",
    )
    return [
        _Unique(table, name, valid, nulls, tuple(terms), where) for table, name, valid, nulls, terms, where in found
    ]


def _doubles(cursor: Cursor, schema: str, unique: _Unique) -> int:
    terms = [f"({term})" if not term.startswith("(") else term for term in unique.terms]
    conditions = [] if unique.nulls_equal else [f"{term} IS NOT NULL" for term in terms]
    conditions += [f"({unique.predicate})"] if unique.predicate else []
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    groups = ", ".join(terms)
    return int(
        scalar(
            cursor,
            f"SELECT count(*) FROM (SELECT 1 FROM {qualified(schema, unique.table)}{where}"
            f" GROUP BY {groups} HAVING count(*) > 1) twice",
        )
    )
