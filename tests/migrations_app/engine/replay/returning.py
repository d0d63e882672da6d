"""A crossing whose application lives on PostgreSQL: SQLite is fenced, and what is written there flows back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from migrations_app.engine.back import change_queue
from migrations_app.engine.capture.fence import raise_fence
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.stable_keys import stable_key
from migrations_app.engine.capture.state import state_of
from migrations_app.engine.capture.writing import write_transaction
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.inverse import InverseForms, learn
from migrations_app.engine.replay import obstacles, replication, target_fence
from migrations_app.engine.replay.backward import Flowed, Returner
from migrations_app.engine.replay.replication import FOLLOWING, TAKEN_OVER
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target import connect
from migrations_app.engine.verify.compare import VerifyResult, verify
from tests.migrations_app.engine.back_again import Stored, stored_rows
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.replay.following import BUSY_MS, target

_NOT_OF_ROWS = ("orphans", "sequence_behind", "sequence_changed")
EVERYTHING = frozenset({("", "")})  # that sequences have gone on says nothing of rows


def take_over(pair: Pair) -> InverseForms:
    """From following to PostgreSQL being live, as the freeze does it; the queue is armed before."""
    with open_source(pair.source) as source:
        forms = learn(source, pair.plan, Control())
        keys = {t.name: stable_key(source.schema.table(t.name)) for t in pair.plan.tables if t.is_loaded}
    change_queue.arm(pair.url, pair.plan, keys=keys)
    with write_transaction(pair.source, BUSY_MS, "closing it") as file:
        state = state_of(file)
        assert state is not None
        with target(pair) as cursor:
            replication.change_phase(cursor, pair, {FOLLOWING}, TAKEN_OVER)
            target_fence.disarm_fence(cursor, pair)
            obstacles.put_back(cursor)
        raise_fence(file, state)
    return forms


def flow(pair: Pair, forms: InverseForms) -> Flowed:
    with Returner(pair, forms, busy_timeout_ms=BUSY_MS) as returner:
        return returner.flow()


def flow_locked(pair: Pair, forms: InverseForms) -> Flowed:
    """As a fall-back does it last."""
    with closing(connect(pair.url, application_name="causeway:test:0")) as connection:
        with connection.cursor() as cursor:
            names = ", ".join(f'"{pair.plan.target_schema}"."{t.target_name}"' for t in pair.plan.tables if t.is_loaded)
            cursor.execute(f"LOCK TABLE {names} IN EXCLUSIVE MODE")
        flowed = Returner(pair, forms, busy_timeout_ms=BUSY_MS).flow_from(connection)
        connection.commit()
    return flowed


def waiting(pair: Pair) -> int:
    with target(pair) as cursor:
        cursor.execute("SELECT count(*) FROM causeway.changes")
        return int(cursor.fetchone()[0])


def compared(pair: Pair) -> VerifyResult:
    with open_source(pair.source) as source:
        return verify(source, pair.plan, pair.url, changed_keys=EVERYTHING)


def assert_home(pair: Pair) -> None:
    """Both sides are equal, cell by cell. Sequences are of no matter: numbers may be given by hand on PostgreSQL."""
    result = compared(pair)
    assert result.changed == 0
    assert [each for each in result.differences if each.kind not in _NOT_OF_ROWS] == []
    assert not result.inconclusive


def contents(path: Path, table: str) -> set[tuple[Stored, ...]]:
    """Every cell of a table by storage class and bytes, the rowid and generated columns with it."""
    with open_source(path) as source:
        found = source.schema.table(table)
    columns = [column.name for column in found.columns]
    if found.rowid_name:
        columns.append(found.rowid_name)
    return set(stored_rows(path, table, columns))


@dataclass
class Crossed:
    """An application that lives on PostgreSQL, after a whole crossing. `look`: its connection there."""

    pair: Pair
    forms: InverseForms
    look: Look

    def brought_home(self, sql: str) -> int:
        """How many rows were written to SQLite for a statement on PostgreSQL."""
        self.look.run(sql)
        rows = flow(self.pair, self.forms).rows
        assert_home(self.pair)
        return rows

    def file(self, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.pair.source)) as connection:
            return connection.execute(sql).fetchall()


Cross = Callable[..., Crossed]
