"""The second check of a live crossing: what was just applied is read from PostgreSQL again, and compared with what was
sent, in the transaction that wrote it. So a row that a trigger, a rule or a type changed on its way is never committed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Set

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import conversion
from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.replay.dirty_rows import TableWay
from migrations_app.engine.target.copy_text import split
from migrations_app.engine.target.target import Connection
from migrations_app.engine.verify.copy_out import LinesOut

_SHOWN = 200  # characters of a key's cell in an error

Numbered = tuple[int, bytes]  # a key's number, and its row as a line of COPY


def read_back(
    connection: Connection,
    plan: MovePlan,
    way: TableWay,
    copy_out_sql: str,
    sent: Iterator[Numbered],
    control: Control,
) -> None:
    """Every row that was sent is there as it was sent, and keys without a row have none.

    copy_out_sql: gives the target's rows of these keys, each behind its key's number, in their order.
    Raises Failed REPLAY_DIFFERS (table, key, column; never a value).
    """
    doing = f"reading back table {way.table.target_name}"
    with LinesOut(connection, copy_out_sql, control, doing) as lines:
        _compare(plan, way, sent, _numbered(lines))


def _numbered(lines: LinesOut) -> Iterator[Numbered]:
    for line in lines:
        number, _, row = line.partition(b"\t")
        yield int(number), row


def _compare(plan: MovePlan, way: TableWay, sent: Iterator[Numbered], found: Iterator[Numbered]) -> None:
    ours, theirs = next(sent, None), next(found, None)
    while ours is not None or theirs is not None:
        if ours == theirs:
            ours, theirs = next(sent, None), next(found, None)
            continue
        if theirs is None or (ours is not None and ours[0] < theirs[0]):
            assert ours is not None
            raise _differs(plan, way, ours[1], "", "isn't there after it was sent")
        if ours is None or theirs[0] < ours[0]:
            raise _differs(plan, way, theirs[1], "", "is still there after it was taken away")
        column = _different(way, ours[1], theirs[1])
        if column:
            raise _differs(plan, way, ours[1], column, "isn't what was sent")
        ours, theirs = next(sent, None), next(found, None)


def _different(way: TableWay, ours: bytes, theirs: bytes) -> str:
    """The first column that differs in its canonical form; '' when none does."""
    for column, one, other in zip(way.table.loaded_columns, _cells(ours), _cells(theirs), strict=True):
        if one == other:
            continue
        canonical = conversion(column.conversion, column.target_type).canonical
        if one is None or other is None or canonical(one) != canonical(other):
            return column.name
    return ""


def _cells(line: bytes) -> list[str | None]:
    return split(line.decode())


def _differs(plan: MovePlan, way: TableWay, line: bytes, column: str, what: str) -> Failed:
    secret = {each.column for each in plan.encrypted if each.table == way.table.name}
    place = f"{way.table.name}.{column} in row" if column else f"{way.table.name}, row"
    return Failed(
        "REPLAY_DIFFERS",
        f"The target changed what was brought to it: {place} {row_key(way, line, secret)} {what}.",
        "Look for triggers, rules or policies on that table in the target; nothing of this step was kept.",
    )


def row_key(way: TableWay, line: bytes, secret: Set[str]) -> str:
    """JSON text of the key of a row that is given as a line; cells of encrypted columns aren't shown."""
    cells = dict(zip(way.writer.columns, _cells(line), strict=True))
    shown = {name: "***" if name in secret else _cut(cells[name]) for name in way.key}
    return json.dumps(shown, ensure_ascii=False)


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
