"""What would be worth doing after a move, from what the probes saw. Nothing of it is applied by itself.

Starting values for memory are those of PostgreSQL's manual (Resource Consumption): a quarter of the machine's memory
for shared_buffers; what remains for effective_cache_size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from monitoring_app.probes.sqlite_isms import CAUSES, Cause

KB, MB, GB = 1024, 1024**2, 1024**3
POOL_DRY: Final = 80.0  # percent
ENOUGH_STATISTICS: Final = 7 * 86_400  # seconds before "never used" means anything
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")


class Urgency(IntEnum):
    """What is first on the page."""

    NOW = 0
    SOON = 1
    CONSIDER = 2


@dataclass(frozen=True)
class Advice:
    """topic: error, sequence, pool, index, setting, statistics. do: what to do; statements: as SQL, to be copied.

    current, worth: of a setting. restart: it needs one. count: how often an error came. code: SQLSTATE, or a name.
    """

    topic: str
    code: str
    urgency: Urgency
    title: str
    why: str
    do: str
    current: str = ""
    worth: str = ""
    restart: bool = False
    statements: tuple[str, ...] = ()
    count: int = 0


def of_errors(counts: Mapping[str, int], lately: Set[str]) -> Iterator[Advice]:
    """counts: how often each SQLSTATE (or class of error, where its code isn't known) came since the cut-over.

    lately: those that came in the last day; what was mended must not stand first for ever."""
    for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        named = f"Error {code}" if _SQLSTATE.fullmatch(code) else code
        unknown = Cause(named, "No cause in SQLite is known for it.", "Read the application's log around it.", False)
        cause = CAUSES.get(code, unknown)
        why = cause.cause if code in lately else f"{cause.cause} None came in the last 24 hours."
        urgency = Urgency.NOW if cause.of_sqlite else Urgency.SOON
        if code not in lately or cause is unknown:
            urgency = Urgency.CONSIDER
        yield Advice("error", code, urgency, cause.title, why, cause.mend, count=count)


def of_sequences(seen: Mapping[str, Any]) -> Iterator[Advice]:
    for row in seen.get("behind", []):
        yield Advice(
            *("sequence", row["sequence"], Urgency.NOW, f"Sequence {row['sequence']} is behind its column"),
            why=f"The next insert into {row['table']} takes a number that is there already and fails (23505).",
            do="Set it to the column's end.",
            statements=(row["mend"],),
        )


def of_pool(server: float | None, application: float | None, limit: str) -> Iterator[Advice]:
    """server, application: the highest share of the last day, percent; None where it is not measured.

    limit: which limit of the server is the nearest, in words."""
    if server is not None and server >= POOL_DRY:
        yield Advice(
            *("pool", "server", Urgency.NOW, "The server's connections run out"),
            why=f"{server:.0f} % were in use at the worst of the last 24 hours{f' ({limit})' if limit else ''}."
            " Each process of the application opens up to DB_POOL_SIZE + DB_MAX_OVERFLOW connections.",
            do="Lower DB_POOL_SIZE and DB_MAX_OVERFLOW or the number of processes, so that their product stays below"
            " the limit; or raise the limit (max_connections needs a restart, a role's CONNECTION LIMIT does not).",
        )
    if application is not None and application >= POOL_DRY and (server is None or server < POOL_DRY):
        room = "the server has room" if server is not None else "whether the server has room is not known"
        yield Advice(
            *("pool", "application", Urgency.NOW, "The application's own pool runs dry"),
            why=f"{application:.0f} % of it were in use at the worst of the last 24 hours, while {room}.",
            do="Raise DB_POOL_SIZE (kept open) or DB_MAX_OVERFLOW (opened when needed); times the number of processes,"
            " both together must stay below the server's limit. A transaction that idles keeps its connection.",
        )


def of_indexes(seen: Mapping[str, Any]) -> Iterator[Advice]:
    for row in seen.get("foreign_keys", []):
        columns = ", ".join(row["columns"])
        yield Advice(
            *("index", row["constraint"], Urgency.SOON, f"No index on {row['table']} ({columns})"),
            why=f"It refers to {row['references']}: each delete or change of a key there reads {row['table']} whole"
            f" (about {row['rows']:,} rows).",
            do="Make one; CONCURRENTLY lets writers go on.",
            statements=(row["mend"],),
        )
    for row in seen.get("scanned", []):
        yield Advice(
            *("index", row["table"], Urgency.SOON, f"{row['table']} is read whole again and again"),
            why=f"{row['scans']:,} scans read about {row['rows_each']:,} rows each;"
            f" {row['index_scans']:,} went by an index.",
            do="Look at its slow queries: an index on the columns of their WHERE would serve them.",
        )
    for row in seen.get("invalid", []):
        yield Advice(
            *("index", row["index"], Urgency.SOON, f"Index {row['index']} is invalid"),
            why="Building it failed half way: it costs every write and serves no query.",
            do="Drop it and make it anew: REINDEX INDEX CONCURRENTLY.",
        )
    if float(seen.get("statistics_seconds") or 0) >= ENOUGH_STATISTICS:
        days = int(float(seen["statistics_seconds"]) // 86_400)
        for row in seen.get("unused", []):
            if row["bytes"] >= MB:
                yield Advice(
                    *("index", row["index"], Urgency.CONSIDER, f"Index {row['index']} was never used"),
                    why=f"Not once in {days} days; it takes {amount(row['bytes'])} and costs every write. Replicas may"
                    " use it all the same.",
                    do="Drop it, if no yearly report needs it.",
                )


def of_statistics(seen: Mapping[str, Any]) -> Iterator[Advice]:
    never = list(seen.get("never_analyzed", []))
    if never:
        some = ", ".join(never[:5]) + (f" and {len(never) - 5} more" if len(never) > 5 else "")
        yield Advice(
            *("statistics", "never_analyzed", Urgency.SOON, "Tables without statistics"),
            why=f"The planner guesses about {some}: nobody analysed them since they were filled.",
            do="VACUUM ANALYZE, offered here as an action.",
        )


def of_settings(seen: Mapping[str, Any]) -> Iterator[Advice]:
    """Settings worth changing for this machine; where its memory is not known, only those that don't depend on it."""
    settings = seen.get("settings", {})
    if not settings:
        return
    values = {name: one["value"] for name, one in settings.items()}
    found = [*_dangers(values), *_by_memory(values, seen), *_by_use(values, seen)]
    for name, worth, urgency, why in found:
        one = settings.get(name)
        if one is None:  # its value is not known
            continue
        yield Advice(
            *("setting", name, urgency, f"{name} is {shown(name, one['value'])}", why),
            do=f"ALTER SYSTEM SET {name} = '{worth}'; "
            + ("then restart the server." if one["restart"] else "then SELECT pg_reload_conf();"),
            current=shown(name, one["value"]),
            worth=worth,
            restart=bool(one["restart"]),
        )


_Found = tuple[str, str, Urgency, str]


def _dangers(values: Mapping[str, Any]) -> Iterable[_Found]:
    if values.get("fsync") == "off":
        yield "fsync", "on", Urgency.NOW, "A power failure destroys the database."
    if values.get("full_page_writes") == "off":
        yield "full_page_writes", "on", Urgency.NOW, "A power failure can tear pages that nothing repairs."
    if values.get("autovacuum") == "off":
        yield "autovacuum", "on", Urgency.NOW, "Dead rows pile up, statistics grow old, and ids run out in the end."
    if values.get("track_counts") == "off":
        yield "track_counts", "on", Urgency.NOW, "Autovacuum and these pages are blind without it."


def _by_memory(values: Mapping[str, Any], seen: Mapping[str, Any]) -> Iterable[_Found]:
    memory, size = seen.get("memory_bytes"), float(seen.get("database_bytes") or 0)
    if not memory:
        return
    buffers = float(values.get("shared_buffers") or 0)
    quarter = min(memory // 4, 8 * GB)
    if buffers < quarter / 2 and size > buffers:
        why = f"The machine has {amount(memory)}, the database {amount(size)}; a quarter of the memory is a good begin."
        yield "shared_buffers", setting_amount(quarter), Urgency.SOON, why
    cache, rest = float(values.get("effective_cache_size") or 0), memory * 2 // 3
    if not rest / 2 <= cache <= memory:
        why = f"It tells the planner how much of {amount(memory)} holds cached data: about two thirds. It takes none."
        yield "effective_cache_size", setting_amount(rest), Urgency.CONSIDER, why
    upkeep, better = float(values.get("maintenance_work_mem") or 0), min(memory // 16, GB)
    if upkeep < better / 2:
        why = "VACUUM and CREATE INDEX use it, a few at a time; after a move both have much to do."
        yield "maintenance_work_mem", setting_amount(better), Urgency.CONSIDER, why
    connections, work = float(values.get("max_connections") or 100), float(values.get("work_mem") or 0)
    fitting = max(4 * MB, min(64 * MB, int(memory / 4 / connections)))
    if int(seen.get("temp_files") or 0) > 0 and work < fitting:
        why = (
            f"{int(seen['temp_files']):,} sorts or joins went to disk ({amount(seen.get('temp_bytes') or 0)})."
            f" Each of up to {connections:.0f} connections may take it several times over."
        )
        yield "work_mem", setting_amount(fitting), Urgency.SOON, why


def _by_use(values: Mapping[str, Any], seen: Mapping[str, Any]) -> Iterable[_Found]:
    requested, timed = int(seen.get("checkpoints_requested") or 0), int(seen.get("checkpoints_timed") or 0)
    wal = float(values.get("max_wal_size") or 0)
    if requested >= 10 and requested > timed and wal < 16 * GB:
        why = f"{requested:,} of {requested + timed:,} checkpoints came because the log was full, before their time."
        yield "max_wal_size", setting_amount(max(2 * wal, 2 * GB)), Urgency.CONSIDER, why
    if float(values.get("random_page_cost") or 0) == 4.0:
        why = "4 is for turning disks. If the data lies on an SSD, the planner avoids indexes that would be faster."
        yield "random_page_cost", "1.1", Urgency.CONSIDER, why
    if float(values.get("idle_in_transaction_session_timeout") or 0) == 0:
        why = "A transaction that nobody ends keeps locks and dead rows for ever, as SQLite never did."
        yield "idle_in_transaction_session_timeout", "10min", Urgency.CONSIDER, why
    if float(values.get("max_connections") or 0) > 500:
        why = "Each connection costs memory and snapshots; a few hundred busy ones are slower than fifty with a pooler."
        yield "max_connections", "200", Urgency.CONSIDER, why


# --- amounts -------------------------------------------------------------------------------------

_IN_BYTES = ("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "max_wal_size")


def shown(name: str, value: Any) -> str:
    """A setting's value as a person would write it."""
    if name in _IN_BYTES:
        return setting_amount(float(value))
    if name.endswith("_timeout"):
        return "off" if not value else f"{float(value) / 1000:g} s"
    return f"{value:g}" if isinstance(value, float) else str(value)


def setting_amount(size: float) -> str:
    """As postgresql.conf takes it: whole MB or kB, 2048MB."""
    return f"{int(size // MB)}MB" if size >= MB else f"{int(size // KB)}kB"


def amount(size: float) -> str:
    """1.5 GB, for sentences."""
    for unit, factor in (("GB", GB), ("MB", MB), ("kB", KB)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"
