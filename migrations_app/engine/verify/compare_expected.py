"""What the plan of mode `create` makes, found out by making it: in scratch schemas that are rolled back.

The plan's own statements are run once more beside the target; what PostgreSQL's catalogs then say must be what they
say of the target. So nothing depends on how PostgreSQL words a definition.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from migrations_app.engine.load import ddl
from migrations_app.engine.load.build import ONE_BY_ONE, STAGES, TRIED, attempt
from migrations_app.engine.plan import MovePlan, ObjectPlan, TablePlan
from migrations_app.engine.target.compare_facts import Fact, read_facts
from migrations_app.engine.target.compare_snapshot import schema_from_document
from migrations_app.engine.target.ledger import ObjectRecord
from migrations_app.engine.target.pg_names import in_schema, qualified, quote
from migrations_app.engine.target.target import Cursor, scalar
from migrations_app.engine.target.target_catalog import read_schema
from migrations_app.engine.target.target_schema import TargetSchema

_PLAIN = ("name", "parent_schema")  # hold a name by itself, unquoted
_ORDER = (*(kind for stage in STAGES for kind in stage), *ONE_BY_ONE)


@dataclass(frozen=True)
class Planned:
    """An object that the plan says is carried, with its table (None for views)."""

    table: TablePlan | None
    object: ObjectPlan

    @property
    def source_table(self) -> str:
        return self.table.name if self.table else ""

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.object.kind, self.source_table, self.object.name

    @property
    def tried(self) -> bool:
        """Whether the load may have found that PostgreSQL, or the rows, refuse it."""
        return self.object.kind in TRIED or bool(self.object.detail.get("try"))

    def refused(self, why: str) -> ObjectRecord:
        return ObjectRecord(self.object.kind, self.source_table, self.object.name, False, why)


@dataclass(frozen=True)
class Expected:
    """`impossible`: planned as carried, and not even an empty table takes it; with PostgreSQL's reason."""

    schema: TargetSchema
    facts: tuple[Fact, ...]
    impossible: tuple[tuple[Planned, str], ...]


def planned_objects(plan: MovePlan) -> list[Planned]:
    """Every object with a statement, those of tables first."""
    found = [Planned(table, each) for table in plan.tables if table.is_loaded for each in table.objects]
    found += [Planned(None, each) for each in plan.objects]
    return [each for each in found if each.object.carried and each.object.sql]


def make_expected(cursor: Cursor, plan: MovePlan, known: Sequence[ObjectRecord]) -> Expected:
    """`known`: what the load recorded; what it says wasn't carried isn't expected."""
    refused = {(each.kind, each.table, each.name) for each in known if not each.carried}
    todo = [each for each in planned_objects(plan) if each.identity not in refused]
    impossible: list[tuple[Planned, str]] = []
    with _scratch(cursor) as scratch:
        ddl.create_load_schema(cursor, plan, scratch)
        for kind in _ORDER:
            impossible += _make(cursor, scratch, [each for each in todo if each.object.kind == kind])
        schema, facts = read_schema(cursor, scratch, count_rows=False), read_facts(cursor, scratch)
        printed = scalar(cursor, "SELECT quote_ident(%s)", (plan.target_schema,))
    return Expected(
        renamed(schema, scratch, plan.target_schema, printed),
        tuple(replace(fact, text=fact.text.replace(scratch, printed)) for fact in facts),
        tuple(impossible),
    )


def renamed(schema: TargetSchema, scratch: str, name: str, printed: str) -> TargetSchema:
    """`schema` as it would read if `scratch` were called `name`, which PostgreSQL's own words spell `printed`.

    PostgreSQL names the schema in indexes' definitions, and of all that a name of its catalogs hides (a table
    pg_class). The scratch's name is a random one: wherever its letters stand, it is meant.
    """

    def spelled(value: Any, plain: bool = False) -> Any:
        if isinstance(value, str):
            return value.replace(scratch, name if plain else printed)
        if isinstance(value, dict):
            return {key: spelled(each, key in _PLAIN) for key, each in value.items()}
        return [spelled(each) for each in value] if isinstance(value, list | tuple) else value

    return schema_from_document(spelled(asdict(schema)))


@contextmanager
def _scratch(cursor: Cursor) -> Iterator[str]:
    """The name of a schema that isn't there yet; whatever is done until the end is undone."""
    cursor.execute("SAVEPOINT expected")
    yield f"causeway_expect_{secrets.token_hex(6)}"
    cursor.execute("ROLLBACK TO SAVEPOINT expected")


def _make(cursor: Cursor, scratch: str, waiting: list[Planned]) -> list[tuple[Planned, str]]:
    """Views may need one another: those that fail are tried again as long as another one succeeded."""
    while waiting:
        reasons = [(each, attempt(cursor, in_schema(each.object.sql, scratch), scratch)) for each in waiting]
        failed = [(each, why) for each, why in reasons if why]
        if len(failed) == len(waiting):
            return failed
        waiting = [each for each, _ in failed]
    return []


def try_again(cursor: Cursor, plan: MovePlan, missing: Iterable[Planned]) -> tuple[ObjectRecord, ...]:
    """Those of `missing` that the rows of the target refuse, with the reason.

    For a target that keeps no record of its load: an object that isn't there was refused by the load, or was lost
    since. It is tried on an unlogged copy of its table, since on the table itself it would lock out the application.
    """
    found: list[ObjectRecord] = []
    by_table: dict[str, list[Planned]] = {}
    for each in missing:
        if each.table is not None:
            by_table.setdefault(each.table.target_name, []).append(each)
    for table, members in by_table.items():
        with _scratch(cursor) as scratch:
            cursor.execute(f"CREATE SCHEMA {quote(scratch)}")
            copy, original = qualified(scratch, table), qualified(plan.target_schema, table)
            cursor.execute(f"CREATE UNLOGGED TABLE {copy} AS TABLE {original}")
            for each in members:
                why = attempt(cursor, in_schema(each.object.sql, scratch), scratch)
                if why:
                    found.append(each.refused(why))
    return tuple(found)
