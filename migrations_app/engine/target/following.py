"""Where a live crossing stands, for those who only want to know that; engine/replay keeps the row."""

from __future__ import annotations

from migrations_app.engine.target.target import Cursor, scalar


def crossing_phase(cursor: Cursor) -> str:
    """'following' while rows come from SQLite, 'taken_over' while PostgreSQL is live, 'given_back'; '' for none."""
    if scalar(cursor, "SELECT to_regclass('causeway.replication')") is None:
        return ""
    return str(scalar(cursor, "SELECT phase FROM causeway.replication") or "")
