"""What became of every object of the plan, as the verification found it: carried only when it is there as planned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from migrations_app.engine.plan import MovePlan
from migrations_app.engine.target.ledger import ObjectRecord
from migrations_app.engine.verify.differences import Difference

# A record's kind, and how the kinds of its differences begin.
_SPOKEN_OF = {
    "primary_key": ("index_", "constraint_"),
    "unique": ("index_", "constraint_"),
    "index": ("index_",),
    "foreign_key": ("foreign_key_", "orphans"),
    "check": ("check_",),
    "default": ("default_", "column_missing"),
    "not_null": ("not_null_", "column_missing"),
    "view": ("view_",),
    "sequence": ("sequence_", "identity_", "column_missing"),
}


def judged_objects(
    plan: MovePlan, known: Sequence[ObjectRecord], refused: Iterable[ObjectRecord], differences: Sequence[Difference]
) -> tuple[ObjectRecord, ...]:
    """`known`: the ledger's records, () when there are none; then the plan's own. `refused` overrules them."""
    records = {(r.kind, r.table, r.name): r for r in (*(known or _planned(plan)), *_of_columns(plan, known), *refused)}
    targets = {(t.name, c.name): c.target_name for t in plan.tables for c in t.columns}
    found: dict[tuple[str, str], list[str]] = {}
    for each in differences:
        found.setdefault((each.table, each.column), []).append(each.kind)
    return tuple(_judged(record, targets, found) for record in records.values())


def _judged(
    record: ObjectRecord, targets: dict[tuple[str, str], str], found: dict[tuple[str, str], list[str]]
) -> ObjectRecord:
    if not record.carried:
        return record
    if record.table and "table_missing" in found.get((record.table, ""), ()):
        return replace(record, carried=False, why="the target hasn't got its table")
    # The ledger calls a sequence table.column; the plan calls a column as the source does.
    names = {record.name, record.name.rpartition(".")[2], targets.get((record.table, record.name), record.name)}
    for name in names:
        for kind in found.get((record.table, name), ()):
            if kind.startswith(_SPOKEN_OF.get(record.kind, ("?",))):
                return replace(record, carried=False, why=f"found otherwise when verified: {kind.replace('_', ' ')}")
    return record


def _planned(plan: MovePlan) -> Iterator[ObjectRecord]:
    for table in plan.tables:
        if table.is_loaded:
            yield from (ObjectRecord(o.kind, table.name, o.name, o.carried, o.why) for o in table.objects)
            yield from (ObjectRecord("sequence", table.name, c.name, True) for c in table.columns if c.identity)
    yield from (ObjectRecord(o.kind, "", o.name, o.carried, o.why) for o in plan.objects)


def _of_columns(plan: MovePlan, known: Sequence[ObjectRecord]) -> Iterator[ObjectRecord]:
    """NOT NULLs and defaults come with their table and stand in no ledger; some defaults are objects of their own."""
    told = {(record.table, record.name) for record in known if record.kind == "default"}
    told |= {(t.name, o.name) for t in plan.tables for o in t.objects if o.kind == "default"}
    for table in plan.tables:
        for column in table.columns if table.is_loaded else ():
            if column.not_null:
                yield ObjectRecord("not_null", table.name, column.name, True)
            if column.default_sql is not None and (table.name, column.target_name) not in told:
                yield ObjectRecord("default", table.name, column.name, True)
