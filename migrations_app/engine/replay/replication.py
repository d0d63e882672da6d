"""PostgreSQL's own row of a live crossing: whose state it holds, how far, and in which phase.

One row in schema `causeway`. It changes in the transaction that changes the rows, so that it is right after any kill.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.errors import Failed
from migrations_app.engine.target.target import Cursor, rows, scalar

FOLLOWING = "following"  # PostgreSQL follows SQLite
TAKEN_OVER = "taken_over"  # PostgreSQL is live, or about to be
GIVEN_BACK = "given_back"  # SQLite is live, or about to be; PostgreSQL takes no writes
PHASES = (FOLLOWING, TAKEN_OVER, GIVEN_BACK)

_CREATE = """
CREATE SCHEMA IF NOT EXISTS causeway;
CREATE TABLE IF NOT EXISTS causeway.replication (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    identity text NOT NULL, plan_digest text NOT NULL, source_schema text NOT NULL,
    phase text NOT NULL CHECK (phase IN ('following', 'taken_over', 'given_back')),
    position bigint NOT NULL, mark text NOT NULL, head_seen bigint NOT NULL, at timestamptz NOT NULL
);
"""
_COLUMNS = (
    "identity, plan_digest, source_schema, phase, position, mark, head_seen, at,"
    " greatest(0, extract(epoch FROM clock_timestamp() - at))::double precision"
)


@dataclass(frozen=True)
class ReplicationRecord:
    """`position`: PostgreSQL holds SQLite's state as of that row of the log. `at`: when it last held all of it.

    `mark`: what stood in the log at the position ('' when that isn't known), so that a file that was restored and has
    been written to since is noticed. `head_seen`: the log's newest row when it was last looked at. `age_seconds`: how
    long ago `at` was, by the server's clock.
    """

    identity: str
    plan_digest: str
    source_schema: str
    phase: str
    position: int
    mark: str
    head_seen: int
    at: datetime
    age_seconds: float


def begin(cursor: Cursor, pair: Pair, position: int) -> None:
    """PostgreSQL now holds a copy of SQLite as of `position`, and follows. A crossing that has begun stays as it is.

    Called in the transaction that makes the copy the target's, or after it. Raises Failed IDENTITY_DIFFERS.
    """
    cursor.execute(_CREATE)
    if not pair.identity:
        raise _differs("The crossing has no identity yet: changes aren't recorded.")
    if read(cursor) is not None:
        _assert_ours(_locked(cursor), pair)
        return
    cursor.execute(
        "INSERT INTO causeway.replication (identity, plan_digest, source_schema, phase, position, mark, head_seen, at)"
        " VALUES (%s, %s, %s, %s, %s, '', %s, clock_timestamp())",
        (pair.identity, pair.plan.digest, pair.plan.schema_digest, FOLLOWING, position, position),
    )


def exists(cursor: Cursor) -> bool:
    return scalar(cursor, "SELECT to_regclass('causeway.replication')") is not None


def read(cursor: Cursor) -> ReplicationRecord | None:
    """None where no crossing has begun. Whose it is, the caller looks at."""
    if not exists(cursor):
        return None
    found = rows(cursor, f"SELECT {_COLUMNS} FROM causeway.replication")
    return ReplicationRecord(*found[0]) if found else None


def lock(cursor: Cursor, pair: Pair, expected: Collection[str]) -> ReplicationRecord:
    """The row, which nobody else changes until the transaction ends.

    Raises Failed NOT_FOLLOWING, IDENTITY_DIFFERS, PHASE_CHANGED.
    """
    record = _locked(cursor) if exists(cursor) else None
    record = _assert_ours(record, pair)
    if record.phase not in expected:
        raise Failed(
            "PHASE_CHANGED",
            f"The target is in the phase {record.phase}, where {' or '.join(sorted(expected))} was expected.",
            "Somebody else went on with the crossing: look at its state before anything is done.",
        )
    return record


def change_phase(cursor: Cursor, pair: Pair, expected: Collection[str], phase: str) -> None:
    """From one of the expected phases to `phase`. Raises as lock() does."""
    lock(cursor, pair, expected)
    cursor.execute("UPDATE causeway.replication SET phase = %s", (phase,))


def advance(cursor: Cursor, position: int, mark: str, ago_seconds: float) -> None:
    """The target holds SQLite's state at `position`, the log's newest row as it was so many seconds ago."""
    cursor.execute(
        "UPDATE causeway.replication SET position = %s, mark = %s, head_seen = %s,"
        " at = greatest(at, clock_timestamp() - make_interval(secs => %s))",
        (position, mark, position, ago_seconds),
    )


def forget(cursor: Cursor) -> None:
    """The end of the crossing; nothing happens where there is none."""
    cursor.execute("DROP TABLE IF EXISTS causeway.replication")


def _locked(cursor: Cursor) -> ReplicationRecord | None:
    found = rows(cursor, f"SELECT {_COLUMNS} FROM causeway.replication FOR UPDATE")
    return ReplicationRecord(*found[0]) if found else None


def _assert_ours(record: ReplicationRecord | None, pair: Pair) -> ReplicationRecord:
    if record is None:
        raise Failed(
            "NOT_FOLLOWING",
            "The target follows no SQLite file: nothing of a crossing stands in it.",
            "Copy the source into it first; if it was copied, this is another database.",
        )
    if record.identity != pair.identity:
        raise _differs("The target belongs to the crossing of another file, or of an earlier one.")
    if record.plan_digest != pair.plan.digest:
        raise _differs("The target was copied by another plan.")
    return record


def _differs(what: str) -> Failed:
    return Failed(
        "IDENTITY_DIFFERS",
        what,
        "End the replication and copy anew; if the database was swapped or restored, bring the right one back first.",
    )
