"""A file whose changes are recorded, and a PostgreSQL that holds a copy of it and follows."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from migrations_app.engine.capture.capture import install
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.state import state_of
from migrations_app.engine.control import Control
from migrations_app.engine.export.export import export_source, open_export
from migrations_app.engine.load.load import load_export
from migrations_app.engine.load.sequences import set_sequences
from migrations_app.engine.plan import MODE_CREATE
from migrations_app.engine.replay import obstacles, replication
from migrations_app.engine.replay.forward import Applied, Follower
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.source.still import open_still
from migrations_app.engine.target.target import Cursor, connect, transaction
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare import VerifyResult, verify
from tests.migrations_app.engine.moves import RUN
from tests.migrations_app.engine.whole_moves import Choices, planned

BUSY_MS = 5000


def follow(path: Path, url: TargetUrl, mode: str = MODE_CREATE, choices: Choices = (), schema: str = "public") -> Pair:
    """Record changes, copy, and let PostgreSQL follow from the copy's position."""
    with open_source(path) as source:
        plan, _ = planned(source, url, mode, choices, schema)
    assert plan.open_findings == ()
    identity = install(path, plan, busy_timeout_ms=BUSY_MS).identity
    pair = Pair(path, plan, url, identity)
    with open_still(path) as source, tempfile.TemporaryDirectory() as folder:
        state = state_of(source)
        assert state is not None
        export_source(source, plan, Path(folder) / "export", Control(), fingerprint(path))
        load_export(open_export(Path(folder) / "export"), plan, url, run_key=RUN, lease=None)
    begin(pair, state.head)
    return pair


@contextmanager
def target(pair: Pair) -> Iterator[Cursor]:
    """One transaction of the target's owner."""
    connection = connect(pair.url, application_name="causeway:test:0")
    with closing(connection), transaction(connection, "testing") as cursor:
        yield cursor


def begin(pair: Pair, position: int) -> None:
    with target(pair) as cursor:
        replication.begin(cursor, pair, position)
        obstacles.put_aside(cursor, pair)


def catch_up(pair: Pair) -> Applied:
    with Follower(pair) as follower:
        return follower.catch_up()


def position(pair: Pair) -> int:
    """Where PostgreSQL says that it is."""
    with target(pair) as cursor:
        record = replication.read(cursor)
        assert record is not None
        return record.position


def compared(pair: Pair, source: Source) -> VerifyResult:
    """Every cell of what is open, its sequences brought over before."""
    with target(pair) as cursor:
        set_sequences(cursor, pair.plan, pair.plan.target_schema, dict(source.schema.sequences))
    return verify(source, pair.plan, pair.url)


def different(result: VerifyResult) -> list[object]:
    """All but orphans, which SQLite itself holds: an application with foreign_keys=OFF makes some."""
    return [*result.inconclusive, *(each for each in result.differences if each.kind != "orphans")]


def assert_equal(pair: Pair) -> None:
    """The file as it is now."""
    with open_source(pair.source) as source:
        assert different(compared(pair, source)) == []


def writer(path: Path) -> sqlite3.Connection:
    """The application's own connection, in autocommit mode."""
    return sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1000, check_same_thread=False)
