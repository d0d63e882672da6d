"""Is this still the file that PostgreSQL follows, with every change since the position in its log? Asked at each read.

A file that was restored, swapped or rebuilt looks well in itself; what it holds then isn't what the log says.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.state import CapturedTable, CaptureState, check_armed
from migrations_app.engine.errors import Failed
from migrations_app.engine.replay.dirty_rows import mark_at
from migrations_app.engine.replay.replication import ReplicationRecord
from migrations_app.engine.replay.snapshot import Snapshot

_ANEW = "End the replication and copy anew."


@dataclass(frozen=True)
class Log:
    """What the log holds at a moment. `head`: its newest row, 0 for none; `mark`: what stands there."""

    head: int
    mark: str
    tables: tuple[CapturedTable, ...]


def assert_follows(snapshot: Snapshot, record: ReplicationRecord, pair: Pair) -> Log:
    """The log, which tells all that happened since the record's position.

    Raises Failed NOT_CAPTURED, IDENTITY_DIFFERS, SOURCE_SCHEMA_CHANGED, CAPTURE_LOST, LOG_WENT_BACK, LOG_PRUNED.
    """
    state = snapshot.state()
    if state is None:
        raise Failed(
            "NOT_CAPTURED",
            f"{pair.source} records no changes: nothing of a crossing stands in it.",
            f"If it was restored or replaced, bring the right one back. {_ANEW}",
        )
    if state.identity != pair.identity:
        raise Failed(
            "IDENTITY_DIFFERS",
            f"{pair.source} isn't the file that the target follows: it belongs to another crossing.",
            f"Bring the right file back, if it was swapped. {_ANEW}",
        )
    check_armed(state)
    _assert_schema(state, record, pair)
    _assert_whole(snapshot, state, record, pair)
    return Log(state.head, (mark_at(snapshot, state.head) or "") if state.head else "", state.tables)


def _assert_schema(state: CaptureState, record: ReplicationRecord, pair: Pair) -> None:
    if state.schema == record.source_schema:
        return
    raise Failed(
        "SOURCE_SCHEMA_CHANGED",
        f"The schema of {pair.source} isn't the one that was copied.",
        f"Changes since then may be missing. Plan again, then {_ANEW[0].lower()}{_ANEW[1:]}",
    )


def _assert_whole(snapshot: Snapshot, state: CaptureState, record: ReplicationRecord, pair: Pair) -> None:
    """No row of the log between the position and the head is missing, and the one at the position is the one it was."""
    if state.head < record.position:
        raise _went_back(pair, f"it ends at {state.head}, and the target is at {record.position}")
    if record.position == 0:
        if state.head and state.oldest > 1:
            raise _pruned(pair, record)
        return
    mark = mark_at(snapshot, record.position)
    if mark is None:
        raise _pruned(pair, record)
    if record.mark and mark != record.mark:
        raise _went_back(pair, f"row {record.position} of it is another than it was")


def _went_back(pair: Pair, what: str) -> Failed:
    return Failed(
        "LOG_WENT_BACK",
        f"The log of changes in {pair.source} went back: {what}. The file was restored, or replaced by an older one.",
        _ANEW,
    )


def _pruned(pair: Pair, record: ReplicationRecord) -> Failed:
    return Failed(
        "LOG_PRUNED",
        f"The log of changes in {pair.source} doesn't reach back to row {record.position}, where the target is.",
        f"If the target was restored from a backup, that explains it. {_ANEW}",
    )
