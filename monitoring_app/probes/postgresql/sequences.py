"""Sequences that are behind their column's largest value: after a move, the next insert fails with 23505.

Sequences of identity and serial columns, and those that a column's default calls. Asked with the application's own
role where it is given, since max() needs the right to read. No value of a column leaves the server.
"""

from __future__ import annotations

from typing import Any, Final

from psycopg2 import errors, sql

from monitoring_app.probes.measurement import PARTIAL, Measurement
from monitoring_app.probes.postgresql.asking import Answer, Asked, Probe

# A column without an index that begins with it would be read whole every 15 seconds: left out, and said.
_SEQUENCES = """
WITH used AS (
    SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS number
      FROM pg_depend d
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
       AND d.refobjsubid > 0
     UNION
    SELECT d.refobjid, a.adrelid, a.adnum
      FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid
     WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass)
SELECT n.nspname::text, s.relname::text, tn.nspname::text, t.relname::text, c.attname::text, q.seqincrement,
       has_sequence_privilege(s.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
         AND has_schema_privilege(tn.oid, 'USAGE') AND has_column_privilege(t.oid, c.attnum, 'SELECT'),
       EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = t.oid AND i.indkey[0] = c.attnum AND i.indisvalid
                AND i.indpred IS NULL)
         OR t.reltuples BETWEEN 0 AND 10000
  FROM used u
  JOIN pg_class s ON s.oid = u.sequence AND s.relkind = 'S'
  JOIN pg_sequence q ON q.seqrelid = s.oid
  JOIN pg_namespace n ON n.oid = s.relnamespace
  JOIN pg_class t ON t.oid = u.relation AND t.relkind IN ('r', 'p')
  JOIN pg_namespace tn ON tn.oid = t.relnamespace
  JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum = u.number
 WHERE tn.nspname = %s ORDER BY 1, 2 LIMIT 2000
"""
# last_value is the next value where is_called is false. A column's type may be smaller than what is compared.
_BEHIND: Final = """
SELECT {number}, (s.last_value::numeric + CASE WHEN s.is_called THEN {step} ELSE 0 END {over}
                  (SELECT {end}({column}) FROM {table}))
  FROM {sequence} s
"""
_AT_ONCE: Final = 50
_SHOWN: Final = 50


def _ask(asked: Asked) -> Answer:
    found = asked.session.rows(_SEQUENCES, [asked.schema])
    readable = [row for row in found if row[6] and row[7]]
    behind, unread = _compare(asked, readable)
    left_out = [
        f"{row[1]} ({'the role may not read it' if not row[6] else 'no index on its column'})"
        for row in found
        if not (row[6] and row[7])
    ]
    left_out += [f"{name} (locked, too slow, or not a number)" for name in unread]
    seen = {
        "behind": [_shown(row) for row in behind[:_SHOWN]],
        "left_out": left_out[:_SHOWN],
        "looked_at": len(readable) - len(unread),
    }
    if left_out and len(left_out) == len(found):
        why = f"none of {len(found)} sequences could be compared: {left_out[0]}"
        return Answer([Measurement.unknown("sequences_behind", why)], seen=seen)
    note = ", ".join(row[1] for row in behind[:5])
    if not found:
        note = f"no column of {asked.schema} has a sequence"
    if left_out:
        note = "; ".join(filter(None, [note, f"{len(left_out)} not compared: {left_out[0]}"]))
        return Answer([Measurement("sequences_behind", float(len(behind)), view=PARTIAL, note=note)], seen=seen)
    return Answer([Measurement("sequences_behind", float(len(behind)), note=note)], seen=seen)


def _compare(asked: Asked, rows: list[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Those behind, and the names of those that could not be compared: many at once, one by one where that fails."""
    behind: list[tuple[Any, ...]] = []
    unread: list[str] = []
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        try:
            answers = asked.session.rows(sql.SQL(" UNION ALL ").join([_question(i, row) for i, row in enumerate(some)]))
            behind += [some[i] for i, is_behind in answers if is_behind]
        except _REFUSED:
            for row in some:
                try:
                    ((_, is_behind),) = asked.session.rows(_question(0, row))
                    behind += [row] if is_behind else []
                except _REFUSED:
                    unread.append(row[1])
    return behind, unread


_REFUSED = (
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.InsufficientPrivilege,
    errors.UndefinedTable,  # dropped in between
    errors.UndefinedFunction,  # no max() for the column's type
)


def _question(number: int, row: tuple[Any, ...]) -> sql.Composed:
    namespace, sequence, schema, table, column, step, *_ = row
    return sql.SQL(_BEHIND).format(
        number=sql.Literal(number),
        step=sql.Literal(step),
        over=sql.SQL("<=" if step > 0 else ">="),
        end=sql.SQL("max" if step > 0 else "min"),
        column=sql.Identifier(column),
        table=sql.Identifier(schema, table),
        sequence=sql.Identifier(namespace, sequence),
    )


def _shown(row: tuple[Any, ...]) -> dict[str, str]:
    namespace, sequence, schema, table, column, step, *_ = row
    end = "max" if step > 0 else "min"
    quoted = f'"{schema}"."{table}"'
    name = f'"{namespace}"."{sequence}"'.replace("'", "''")
    return {
        "sequence": sequence,
        "table": table,
        "column": column,
        "mend": f"SELECT setval('{name}', (SELECT {end}(\"{column}\") FROM {quoted}));",
    }


SEQUENCES = Probe("sequences", _ask, ("sequences_behind",), as_owner=True)
