"""What PostgreSQL believes of the rows, asked of the rows: orphans behind foreign keys, sequences behind columns."""

from __future__ import annotations

from collections.abc import Mapping

from migrations_app.engine.load import existing, sequences
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target import Cursor, rows, scalar
from migrations_app.engine.target.target_catalog import read_schema
from migrations_app.engine.verify.differences import Difference


def count_orphans(cursor: Cursor, plan: MovePlan) -> tuple[Difference, ...]:
    """Rows without a parent, by anti-join, whatever PostgreSQL believes of the key.

    A validated key with orphans is a difference 'orphans' (with their number); one that is NOT VALID says that
    orphans were accepted, and they are listed in the plan.
    """
    found = []
    schema = read_schema(cursor, plan.target_schema, count_rows=False)
    equalities = _equalities(cursor, plan.target_schema)
    loaded = {table.target_name: table.name for table in existing.loaded_tables(plan)}
    for table in schema.tables:
        if table.name not in loaded:
            continue
        for key in table.foreign_keys:
            if not key.validated:
                continue
            child, parent = qualified(schema.name, table.name), qualified(key.parent_schema, key.parent_table)
            pairs = list(zip(key.columns, key.parent_columns, equalities[table.name, key.name], strict=True))
            given = " AND ".join(f"c.{quote(one)} IS NOT NULL" for one, _, _ in pairs)
            same = " AND ".join(f"p.{quote(other)} {equal} c.{quote(one)}" for one, other, equal in pairs)
            count = scalar(
                cursor,
                f"SELECT count(*) FROM {child} c WHERE {given} AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE {same})",
            )
            if count:
                found.append(Difference(loaded[table.name], "", key.name, "orphans", "0", str(count)))
    return tuple(found)


def _equalities(cursor: Cursor, schema: str) -> dict[tuple[str, str], list[str]]:
    """{(table, foreign key): operators, one a column}: what equal means there is the key's own, as in citext."""
    found = rows(
        cursor,
        """SELECT c.relname::text, o.conname::text,
                  array_agg(format('OPERATOR(%%I.%%s)', n.nspname, e.oprname) ORDER BY k.place)
             FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
             JOIN pg_namespace s ON s.oid = c.relnamespace
             CROSS JOIN LATERAL unnest(o.conpfeqop) WITH ORDINALITY k(operator, place)
             JOIN pg_operator e ON e.oid = k.operator JOIN pg_namespace n ON n.oid = e.oprnamespace
            WHERE o.contype = 'f' AND s.nspname = %s GROUP BY 1, 2""",
        (schema,),
    )
    return {(table, name): operators for table, name, operators in found}


def compare_sequences(
    cursor: Cursor, plan: MovePlan, source_sequences: Mapping[str, int], *, may_be_ahead: bool
) -> tuple[Difference, ...]:
    """Each must be as the load leaves it; once rows have changed since the switch, only not behind."""
    found = []
    states = sequences.expected_states(cursor, plan, plan.target_schema, source_sequences)
    for sequence, (use, wanted) in states.items():
        there = sequences.current_state(cursor, sequence)
        ahead = (there.last_value + there.is_called) >= (wanted.last_value + wanted.is_called)
        if there == wanted or (may_be_ahead and ahead):
            continue
        kind = "sequence_changed" if ahead else "sequence_behind"
        found.append(
            Difference(use.table, "", use.column, kind, _state(wanted), _state(there)),
        )
    return tuple(found)


def _state(state: sequences.SequenceState) -> str:
    return f"{state.last_value}, {'called' if state.is_called else 'not called'}"
