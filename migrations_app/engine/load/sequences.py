"""Sequences as PostgreSQL itself would have left them after the rows, and never behind what SQLite gave out.

An untouched sequence is (1, false); after n it is (n, true). Some applications compare both at start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg2

from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.target.pg_names import literal, qualified, quote
from migrations_app.engine.target.target import Cursor, rows, scalar


@dataclass(frozen=True)
class SequenceUse:
    """A sequence that feeds a column of a loaded table. Names are the target's; `table` is the source's."""

    table: str
    target_table: str
    column: str
    sequence: str  # qualified and quoted
    start: int
    minimum: int
    increment: int


@dataclass(frozen=True)
class SequenceState:
    last_value: int
    is_called: bool


def find_sequences(cursor: Cursor, plan: MovePlan, schema: str) -> tuple[SequenceUse, ...]:
    """Sequences of identity and serial columns, those that a default takes its values from, and those that follow
    columns by choice (mode existing)."""
    return (*_fed_columns(cursor, plan, schema), *_followed_columns(cursor, plan, schema))


def _followed_columns(cursor: Cursor, plan: MovePlan, schema: str) -> Iterator[SequenceUse]:
    sources = {table.target_name: table.name for table in plan.tables if table.is_loaded}
    for each in plan.objects:
        if each.kind != "sequence" or not each.detail.get("follows"):
            continue
        sequence = qualified(schema, each.name)
        facts = rows(
            cursor,
            "SELECT seqstart, seqmin, seqincrement FROM pg_sequence WHERE seqrelid = to_regclass(%s)",
            (sequence,),
        )
        for table, column in each.detail["follows"]:
            for start, minimum, increment in facts:
                yield SequenceUse(sources.get(table, table), table, column, sequence, start, minimum, increment)


def _fed_columns(cursor: Cursor, plan: MovePlan, schema: str) -> tuple[SequenceUse, ...]:
    sources = {table.target_name: table for table in plan.tables if table.is_loaded}
    found = rows(
        cursor,
        f"""SELECT DISTINCT c.relname::text, a.attname::text,
                   quote_ident(sn.nspname) || '.' || quote_ident(s.relname),
                   q.seqstart, q.seqmin, q.seqincrement
              FROM pg_depend d
              JOIN pg_class s ON s.relkind = 'S'
               AND ((d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.refclassid = 'pg_class'::regclass
                     AND d.deptype IN ('a', 'i'))
                 OR (d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid))
              JOIN pg_namespace sn ON sn.oid = s.relnamespace
              JOIN pg_sequence q ON q.seqrelid = s.oid
              LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
              JOIN pg_class c ON c.oid = coalesce(f.adrelid, d.refobjid) AND c.relkind IN ('r', 'p')
              JOIN pg_namespace n ON n.oid = c.relnamespace
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = coalesce(f.adnum, d.refobjsubid)
             WHERE n.nspname = {literal(schema)} ORDER BY 3, 1, 2""",
    )
    return tuple(
        SequenceUse(sources[table].name, table, column, *rest) for table, column, *rest in found if table in sources
    )


def expected_states(
    cursor: Cursor, plan: MovePlan, schema: str, source_sequences: Mapping[str, int]
) -> dict[str, tuple[SequenceUse, SequenceState]]:
    """{sequence: (first use, state)}: past max(column) and SQLite's own sequence, of all columns that it feeds."""
    states: dict[str, tuple[SequenceUse, SequenceState]] = {}
    for use in find_sequences(cursor, plan, schema):
        highest = scalar(cursor, f"SELECT max({quote(use.column)})::bigint FROM {qualified(schema, use.target_table)}")
        given = _given_out(plan.table(use.table), use.column, source_sequences)
        last = max([value for value in (highest, given) if value is not None], default=use.minimum - 1)
        state = SequenceState(last, True) if last >= use.minimum else SequenceState(use.start, False)
        before = states.get(use.sequence)
        if before is None or _next(state) > _next(before[1]):
            states[use.sequence] = (use, state)
    return states


def _given_out(table: TablePlan, target_column: str, source_sequences: Mapping[str, int]) -> int | None:
    """sqlite_sequence's value, when the column is the table's single key column (AUTOINCREMENT has no other form)."""
    source = next((c.name for c in table.columns if c.target_name == target_column), "")
    if table.key != (source,):
        return None
    return source_sequences.get(table.name)


def _next(state: SequenceState) -> int:
    return state.last_value + 1 if state.is_called else state.last_value


def set_sequences(
    cursor: Cursor, plan: MovePlan, schema: str, source_sequences: Mapping[str, int]
) -> tuple[SequenceUse, ...]:
    """Set each to its expected state. Raises Failed SEQUENCE_TOO_SMALL when its maximum is below the rows."""
    states = expected_states(cursor, plan, schema, source_sequences)
    for sequence, (use, state) in states.items():
        try:
            cursor.execute(
                "SELECT pg_catalog.setval(%s::pg_catalog.regclass, %s, %s)",
                (sequence, state.last_value, state.is_called),
            )
        except psycopg2.errors.NumericValueOutOfRange:
            raise Failed(
                "SEQUENCE_TOO_SMALL",
                f"The sequence of {use.target_table}.{use.column} ends below the highest value in the column.",
                "Raise the sequence's maximum in the target's schema.",
            ) from None
    return tuple(use for use, _ in states.values())


def set_at_once(
    cursor: Cursor, plan: MovePlan, uses: Sequence[SequenceUse], source_sequences: Mapping[str, int]
) -> None:
    """Like set_sequences(), with what find_sequences() found before, in one question to the server where it can be.

    While it runs an application may be waiting, and the server be far away. Raises Failed SEQUENCE_TOO_SMALL.
    """
    fed: dict[str, list[SequenceUse]] = {}
    for use in uses:
        fed.setdefault(use.sequence, []).append(use)
    if any(len(each) > 1 for each in fed.values()):
        set_sequences(cursor, plan, plan.target_schema, source_sequences)
        return
    questions = [_set_one(use, plan, source_sequences) for (use,) in fed.values()]
    if not questions:
        return
    try:
        cursor.execute(" UNION ALL ".join(questions))
    except psycopg2.errors.NumericValueOutOfRange:
        raise Failed(
            "SEQUENCE_TOO_SMALL",
            "A sequence of the target ends below the highest value in its column.",
            "Raise the sequence's maximum in the target's schema.",
        ) from None


def _set_one(use: SequenceUse, plan: MovePlan, source_sequences: Mapping[str, int]) -> str:
    given = _given_out(plan.table(use.table), use.column, source_sequences)
    below = use.minimum - 1
    least = below if given is None else max(given, below)
    highest = f"(SELECT max({quote(use.column)})::bigint FROM {qualified(plan.target_schema, use.target_table)})"
    return (
        f"SELECT pg_catalog.setval({literal(use.sequence)}::pg_catalog.regclass,"
        f" CASE WHEN last > {below} THEN last ELSE {use.start} END, last > {below})"
        f" FROM (SELECT greatest({highest}, {least}::numeric)::bigint AS last) found"
    )


def current_state(cursor: Cursor, sequence: str) -> SequenceState:
    """`sequence` is qualified and quoted, as find_sequences gives it."""
    last, called = rows(cursor, f"SELECT last_value, is_called FROM {sequence}")[0]
    return SequenceState(int(last), bool(called))
