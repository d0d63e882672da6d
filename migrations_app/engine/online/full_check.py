"""Check 1 of three: every cell of one moment of SQLite against PostgreSQL, brought to exactly that moment.

The application goes on writing: the moment is a snapshot, and what is written meanwhile waits in the log.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.inverse import InverseForms
from migrations_app.engine.errors import Failed
from migrations_app.engine.load import sequences
from migrations_app.engine.online.copying import position_of
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.replay import replication
from migrations_app.engine.replay.forward import Follower
from migrations_app.engine.replay.obstacles import Aside, aside
from migrations_app.engine.source.still import open_still
from migrations_app.engine.target.target import Connection, Cursor, transaction
from migrations_app.engine.verify.compare import VerifyResult, verify
from migrations_app.engine.verify.differences import Difference

_MISSING = frozenset({"foreign_key_missing", "check_missing"})


@dataclass(frozen=True)
class FullCheck:
    """`verify` speaks of SQLite at `position`, and of nothing later. seconds: of the whole."""

    verify: VerifyResult
    position: int
    seconds: float


def full_check(
    pair: Pair,
    *,
    environment: Mapping[str, str],
    control: Control,
    folder: Path | None = None,
    forms: InverseForms | None = None,
) -> FullCheck:
    """Compare everything. Differences are a result, as of verify().

    folder: for a copy of a file outside WAL mode. forms: as of cross_over(). Raises Failed POSITION_MOVED where
    somebody else applied changes meanwhile, so that the result means nothing; what open_still(), the Follower and
    verify() raise; Cancelled.
    """
    began = time.monotonic()
    with (
        open_still(pair.source, control, folder) as source,
        Follower(pair, control=control, forms=forms) as follower,
    ):
        position = position_of(source, pair)
        given_out = dict(source.schema.sequences)

        def before_commit(cursor: Cursor) -> None:
            sequences.set_sequences(cursor, pair.plan, pair.plan.target_schema, given_out)

        follower.apply_from(source, position, before_commit=before_commit)
        result = verify(source, pair.plan, pair.url, control=control, environment=environment)
        now, standing_aside = _then(follower.connection)
        if now != position:
            raise Failed(
                "POSITION_MOVED", "PostgreSQL was brought further while it was compared.", "Run the check again."
            )
    return FullCheck(without_aside(result, pair.plan, standing_aside), position, round(time.monotonic() - began, 3))


def _then(connection: Connection) -> tuple[int, tuple[Aside, ...]]:
    """The position after the comparison, and the constraints that stand aside until the freeze."""
    with transaction(connection, "reading the position") as cursor:
        record = replication.read(cursor)
        return record.position if record else -1, tuple(each for each in aside(cursor) if not each.standing)


def without_aside(result: VerifyResult, plan: MovePlan, standing_aside: Collection[Aside]) -> VerifyResult:
    """A constraint that we have put aside ourselves isn't missing: it comes back in the freeze. A remark says so."""
    source_names = {table.target_name: table.name for table in plan.tables}
    ours = {(source_names.get(each.table, each.table), each.name) for each in standing_aside}

    def is_ours(difference: Difference) -> bool:
        return difference.kind in _MISSING and (difference.table, difference.column) in ours

    kept = tuple(each for each in result.differences if not is_ours(each))
    count = result.difference_count - (len(result.differences) - len(kept))
    objects = tuple(
        replace(each, carried=True, why="") if (each.table, each.name) in ours else each for each in result.objects
    )
    remarks = tuple(f"{each.on}: {each.name} stands aside until the freeze." for each in standing_aside)
    return replace(
        result,
        equal=not count and not result.inconclusive,
        differences=kept,
        difference_count=count,
        objects=objects,
        remarks=(*result.remarks, *remarks),
    )
