"""The copy of a file that goes on being written to: its rows and the position of its log are of one moment.

In WAL mode the rows are read in one long read transaction, which no writer waits for. In the other modes nobody can
commit while somebody reads, so a copy is made in one short read (engine/source/still.py) and that one is read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from migrations_app.engine.artefact_files import read_regular, write_atomically
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.state import check_armed, state_of
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.export.export import export_source, open_export
from migrations_app.engine.plan import Finding
from migrations_app.engine.planning.planning import check_plan_with_profile
from migrations_app.engine.replay import obstacles, replication, target_fence
from migrations_app.engine.source.fingerprint import of_moment
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.source.still import open_still
from migrations_app.engine.target.target import application_name, connect, transaction

_COPY_SPEED = 200_000_000  # bytes a second that even a modest disk copies: how long a writer waits outside WAL mode
_SHARE = 0.6  # of the application's busy timeout that it may be kept waiting
_NOTE = ".moment.json"


@dataclass(frozen=True)
class Moment:
    """Of which moment of SQLite an export holds the rows. None of its files changes any more."""

    identity: str
    position: int


@dataclass(frozen=True)
class Snapshot:
    """An export and its moment. `tables`: rows by table. `made`: by this call; else it was there already."""

    moment: Moment
    directory: Path
    manifest_sha256: str
    tables: dict[str, int]
    made: bool


def position_of(source: Source, pair: Pair) -> int:
    """The newest `seq` of the log in the Source's own read transaction: the rows read through it are of exactly then.

    Raises Failed NOT_CAPTURED, IDENTITY_DIFFERS, SOURCE_SCHEMA_CHANGED, CAPTURE_LOST.
    """
    state = state_of(source)
    if state is None:
        raise Failed("NOT_CAPTURED", f"{pair.source} records no changes.", "Install capture first.")
    if state.identity != pair.identity:
        raise Failed(
            "IDENTITY_DIFFERS",
            f"{pair.source} isn't the file that the replication was begun with.",
            "It was restored or swapped: end the replication and begin anew.",
        )
    check_armed(state)
    return state.head


def journal_problem(source: Source, busy_timeout_ms: int) -> Finding | None:
    """Outside WAL mode writers wait while the copy is made: refused where they would give up.

    busy_timeout_ms: how long the application waits for a lock.
    """
    if source.schema.journal_mode == "wal":
        return None
    seconds, allowed = source.size / _COPY_SPEED, busy_timeout_ms / 1000 * _SHARE
    if seconds <= allowed:
        return None
    return Finding(
        "ONLINE_JOURNAL_TOO_LARGE",
        "refuse",
        f"The file isn't in WAL mode: while it is copied ({source.size // 1_000_000} MB, about {seconds:.1f} s) nobody"
        f" can write, and the application waits for {busy_timeout_ms / 1000:.1f} s at most. Set it to WAL mode (PRAGMA"
        " journal_mode=WAL, once; it stays), raise the application's busy timeout, or use the offline strategy.",
    )


def export_snapshot(
    pair: Pair, directory: Path, control: Control, *, folder: Path | None = None, jobs: int = 1
) -> Snapshot:
    """Export the rows of one moment. A whole export of this replication that is there already is kept as it is.

    directory: of the export; beside it stands a note of its moment. folder: for a copy outside WAL mode.
    Raises what open_still() and export_source() raise; Refused SCHEMA_CHANGED, VALUE_DOES_NOT_FIT, NULL_IN_NOT_NULL;
    Failed NOT_CAPTURED, IDENTITY_DIFFERS.
    """
    found = exported(pair, directory)
    if found is not None:
        return found
    with open_still(pair.source, control, folder) as source:
        moment = Moment(pair.identity, position_of(source, pair))
        misfits, profile = check_plan_with_profile(pair.plan, source, control)
        if misfits:
            raise _misfits(misfits)
        _write_note(directory, moment)
        fingerprint = of_moment(moment.identity, moment.position, source.size)
        made = export_source(source, pair.plan, directory, control, fingerprint, profile=profile, jobs=jobs)
        return Snapshot(moment, directory, made.sha256, made.tables, True)


def _misfits(found: Sequence[Finding]) -> Refused:
    first = found[0]
    row = f" The first is in row {first.row_key}." if first.row_key else ""
    more = f" {len(found) - 1} more column(s) have such values." if len(found) > 1 else ""
    return Refused(
        first.code,
        f"{first.message}{row}{more}",
        "Correct the values in the application, or make a new revision of the plan, rehearse it, and have it approved.",
    )


def exported(pair: Pair, directory: Path) -> Snapshot | None:
    """The whole export that `directory` holds; None where it is none of this replication and plan."""
    raw = read_regular(_note(directory), 4096)
    if raw is None:
        return None
    try:
        moment = Moment(**json.loads(raw))
        export = open_export(directory)
    except (ValueError, TypeError, Refused):
        return None
    same = moment.identity == pair.identity and export.plan is not None and export.plan.digest == pair.plan.digest
    expected = of_moment(moment.identity, moment.position, 0).digest
    if not same or export.fingerprint.digest != expected:
        return None
    return Snapshot(moment, directory, export.sha256, {table.name: table.rows for table in export.tables}, False)


def _note(directory: Path) -> Path:
    return directory.with_name(directory.name + _NOTE)


def _write_note(directory: Path, moment: Moment) -> None:
    _note(directory).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(_note(directory), json.dumps({"identity": moment.identity, "position": moment.position}).encode())


def begin_following(pair: Pair, position: int) -> None:
    """From here on PostgreSQL follows: it holds SQLite's rows of `position`, and takes writes from nobody else.

    One transaction, after the load. Begun already with this identity it stays as it is.
    Raises Failed IDENTITY_DIFFERS where PostgreSQL keeps another replication.
    """
    connection = connect(pair.url, application_name=application_name("follow", 0))
    try:
        with transaction(connection, "letting PostgreSQL follow") as cursor:
            record = replication.read(cursor)
            if record is not None and record.identity == pair.identity and record.plan_digest == pair.plan.digest:
                return
            if record is not None:
                raise Failed(
                    "IDENTITY_DIFFERS",
                    "PostgreSQL keeps the state of another replication.",
                    "End that one first, or name another database.",
                )
            replication.begin(cursor, pair, position)
            obstacles.put_aside(cursor, pair)
            target_fence.arm_fence(cursor, pair)
    finally:
        connection.close()
