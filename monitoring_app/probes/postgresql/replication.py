"""How far each expected replica is behind, in bytes: never in seconds, which stand still on a quiet server.

Measured: with replay paused pg_stat_replication said 116.6 MB and the slot 11.8 MB; with the replica stopped there was
no row and the slot said 136 MB. So the greater of both counts. A lost slot can't be caught up: LOST.
"""

from __future__ import annotations

from typing import Any, Final

from monitoring_app.probes.measurement import FULL, PARTIAL, Measurement
from monitoring_app.probes.postgresql.asking import NO_PG_MONITOR, Answer, Asked, Probe

LOST: Final = 1e18  # bytes: what no disk holds, for "infinite"; a number, so that rules and charts can have it

_NOW = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
_SENDERS = f"""
SELECT pid, coalesce(application_name, ''), state,
       pg_wal_lsn_diff({_NOW}, coalesce(replay_lsn, flush_lsn, write_lsn, sent_lsn))::float8
  FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'
"""
_SLOTS = f"""
SELECT slot_name::text, active_pid, active, coalesce(wal_status, ''),
       pg_wal_lsn_diff({_NOW}, coalesce(confirmed_flush_lsn, restart_lsn))::float8
  FROM pg_replication_slots WHERE NOT temporary
"""


def _ask(asked: Asked) -> Answer:
    senders, slots = asked.session.rows(_SENDERS), asked.session.rows(_SLOTS)
    measurements = [_one(asked, name, senders, slots) for name in asked.replicas]
    return Answer(measurements, seen={"others": _others(set(asked.replicas), senders, slots)})


def _others(expected: set[str], senders: list[tuple[Any, ...]], slots: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Who else is there. A slot that nobody uses keeps the log until the disk is full."""
    slot_of = {slot[1]: slot[0] for slot in slots if slot[1]}
    name_of = {sender[0]: sender[1] for sender in senders}
    found = [
        {"name": name, "what": "replica", "bytes": lag}
        for pid, name, _, lag in senders
        if name not in expected and slot_of.get(pid) not in expected
    ]
    for name, pid, active, _, lag in slots:
        if name not in expected and name_of.get(pid) not in expected:
            found.append({"name": name, "what": "slot" if active else "slot that nobody uses", "bytes": lag})
    return found


def _one(asked: Asked, name: str, senders: list[tuple[Any, ...]], slots: list[tuple[Any, ...]]) -> Measurement:
    """A replica is known by its application_name, by its slot's name, or by both."""
    slot = next((row for row in slots if row[0] == name), None)
    pid = slot[1] if slot else None
    rows = [row for row in senders if row[1] == name or (pid is not None and row[0] == pid)]
    labels = {"replica": name}
    if slot is not None and slot[3] == "lost":
        note = "its slot is lost: it can't catch up and must be made anew"
        return Measurement("replication_lag", LOST, labels, note=note)
    lags = [row[3] for row in rows if row[3] is not None]
    if slot is not None and slot[4] is not None:
        lags.append(slot[4])
    if not lags:
        return Measurement.unknown("replication_lag", _why(asked, bool(rows), slot), labels)
    hidden = bool(rows) and not asked.server.sees_all
    notes = ["" if rows else "not connected: its slot keeps the log for it"]
    notes.append(f"from its slot alone, {NO_PG_MONITOR}" if hidden else "")
    return Measurement(
        "replication_lag", max(0.0, *lags), labels, PARTIAL if hidden else FULL, "; ".join(filter(None, notes))
    )


def _why(asked: Asked, connected: bool, slot: tuple[Any, ...] | None) -> str:
    if connected and not asked.server.sees_all:
        return f"connected, but how far it is can't be seen: {NO_PG_MONITOR}"
    if connected:
        return "connected, but says no position yet"
    if slot is not None:
        return "its slot was never used"
    return "absent: no connection and no slot of this name"


REPLICATION = Probe("replication", _ask)
