"""Random databases cross over and change at random on PostgreSQL: all of it comes home, and nothing else is touched."""

from __future__ import annotations

import os
from collections.abc import Collection

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrations_app.engine.capture.capture import install
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.stable_keys import crossing_problems, stable_key
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import row_converter
from migrations_app.engine.conversions.inverse import InverseForms, try_to_learn
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.plan import TablePlan
from migrations_app.engine.replay import replication
from migrations_app.engine.source.cells import Cell, InvalidText
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.back_again import Stored, number_of, stored_rows
from tests.migrations_app.engine.random_databases import Database, databases
from tests.migrations_app.engine.replay import following
from tests.migrations_app.engine.replay.random_writers import Writers
from tests.migrations_app.engine.replay.returning import assert_home, flow, take_over, waiting
from tests.migrations_app.engine.round_trip import Target, move, planned

MANY = int(os.environ.get("CAUSEWAY_PROPERTY_EXAMPLES", "2000"))
_common = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
# SQLite holds rows to rules that PostgreSQL wasn't given; then the way back ends, and says so.
_REFUSED = ("SQLite refuses the row", "which the plan left out", "can't go back to SQLite")
ROUNDS = 3


@given(databases(objects=False), st.integers(0, 7), st.integers(0, 10**6))
@settings(_common, max_examples=40, derandomize=True, database=None)
def test_what_changes_at_random_comes_home(target: Target, database: Database, chooser: int, seed: int) -> None:
    cross_and_return(target, database, chooser, seed)


@pytest.mark.chaos
@given(databases(objects=False), st.integers(0, 7), st.integers(0, 10**6))
@settings(_common, max_examples=MANY)
def test_much_that_changes_at_random_comes_home(target: Target, database: Database, chooser: int, seed: int) -> None:
    cross_and_return(target, database, chooser, seed)


def cross_and_return(target: Target, database: Database, chooser: int, seed: int) -> str:
    """Gives how far it came."""
    target.empty()
    with planned(database, chooser) as (source, plan, profile, folder):
        if plan is None:
            return "refused"
        _, problems = try_to_learn(source, plan, Control())
        if crossing_problems(source, plan) or problems:
            return "not online"
        keys = {t.name: stable_key(source.schema.table(t.name)) for t in plan.tables if t.is_loaded}
        if not move(target, source, plan, profile, folder, chooser):
            return "keys collide"
        source.close()
        try:
            identity = install(source.path, plan, busy_timeout_ms=following.BUSY_MS).identity
            pair = Pair(source.path, plan, target.url, identity)
            with following.target(pair) as cursor:
                replication.begin(cursor, pair, 0)
            forms = take_over(pair)
        except Refused as refused:
            assert refused.code.startswith("ONLINE_"), refused
            return refused.code
        writers = Writers(target.url, plan, keys, seed)
        try:
            for _ in range(ROUNDS):
                writers.truncated.clear()
                writers.work(15)
                if writers.random.random() < 0.5:
                    flow_and_look(pair, forms, writers.truncated)  # while transactions are open
                writers.finish()
                flow_and_look(pair, forms, writers.truncated)
                assert waiting(pair) == 0
                assert_home(pair)
                writers = Writers(target.url, plan, keys, seed + 1)
        except Failed as failed:
            assert failed.code == "NO_WAY_BACK_FOR_VALUE", failed
            assert any(words in failed.message for words in _REFUSED), failed
            return "no way back"
        finally:
            writers.finish()
    return "home"


def flow_and_look(pair: Pair, forms: InverseForms, truncated: Collection[str]) -> None:
    """One flow, that leaves alone what has not changed since the one before."""
    looked_at = [table for table in pair.plan.tables if table.is_loaded and table.name not in truncated]
    before = [cells(pair, table) for table in looked_at]
    flow(pair, forms)
    for table, rows in zip(looked_at, before, strict=True):
        assert_untouched(pair, table, rows)


Contents = dict[tuple[str | None, ...], set[tuple[Stored, ...]]]


def cells(pair: Pair, table: TablePlan) -> Contents:
    """Rows as they lie in the file, rowid and all, by what PostgreSQL has for them."""
    convert = row_converter(table)
    with open_source(pair.source) as source:
        found, encoding = source.schema.table(table.name), source.schema.encoding
    names = [column.name for column in found.columns]
    loaded = [names.index(column.name) for column in table.loaded_columns]
    rows: Contents = {}
    for row in stored_rows(pair.source, table.name, names + ([found.rowid_name] if found.rowid_name else [])):
        texts = convert(tuple(cell_of(row[place], encoding) for place in loaded))
        rows.setdefault(texts or (), set()).add(row)
    return rows


def cell_of(stored: Stored, encoding: str) -> Cell:
    kind, value = stored
    if kind == "real":
        return number_of(stored)
    if kind != "text":
        return value
    assert isinstance(value, bytes)
    try:
        return value.decode({"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}[encoding])
    except UnicodeDecodeError:
        return InvalidText(value)


def assert_untouched(pair: Pair, table: TablePlan, before: Contents) -> None:
    """A row that PostgreSQL has as it was is in SQLite what it was, bit for bit; so is one that was left out."""
    after = cells(pair, table)
    for texts, rows in before.items():
        if texts in after or not texts:
            assert rows == after[texts], (table.name, rows, after[texts])
