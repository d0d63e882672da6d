"""Query times of the interval: the difference of two snapshots of pg_stat_statements, beside the lifetime's.

Measured: after 5,000 fast calls and 5 of 600 ms the lifetime mean was 1.84 ms, the interval's 601 ms. Nobody's
statistics are reset for it. Entries whose text differs only in the length of a list are one statement here (one
IN (…) with 58 lengths made 59 entries).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg2 import errors, sql

from monitoring_app.probes.measurement import FULL, PARTIAL, Measurement
from monitoring_app.probes.postgresql import snapshots
from monitoring_app.probes.postgresql.asking import NO_PG_MONITOR, Answer, Asked, Probe
from monitoring_app.probes.postgresql.masking import MAINTENANCE, shape
from monitoring_app.probes.postgresql.session import MARK

SLOW_MS: Final = 100.0
TOP: Final = 10
LONGEST_INTERVAL: Final = 600.0  # seconds; a mean over more says nothing of now
_CANDIDATES: Final = 200  # whose texts are read
METRICS: Final = ("query_mean", "query_slowest_mean")

_PRELOAD: Final = "shared_preload_libraries = '{}' in postgresql.conf and a restart of the server"
_EXTENSION = """
SELECT n.nspname::text, e.extversion, current_database()::text,
       CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')
            THEN current_setting('shared_preload_libraries') END
  FROM (SELECT 1) one
  LEFT JOIN pg_extension e ON e.extname = 'pg_stat_statements'
  LEFT JOIN pg_namespace n ON n.oid = e.extnamespace
"""
_STATE = """
SELECT extract(epoch FROM clock_timestamp())::float8, coalesce(extract(epoch FROM stats_reset)::float8, 0), dealloc
  FROM {schema}.pg_stat_statements_info
"""
# Without the texts: those lie in a file that would be read whole.
_NUMBERS = """
SELECT queryid, sum(calls)::bigint, (sum(total_exec_time) * 1000)::bigint
  FROM {schema}.pg_stat_statements(false)
 WHERE toplevel AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
 GROUP BY 1 ORDER BY 3 DESC LIMIT {most}
"""
_NOT_THE_APPLICATIONS = """
SELECT DISTINCT queryid FROM {schema}.pg_stat_statements(true)
 WHERE queryid = ANY(%s) AND (strpos(query, %s) > 0 OR query ~* %s)
"""
_TEXTS = """
SELECT queryid, min(left(query, 4000)) FROM {schema}.pg_stat_statements(true) WHERE queryid = ANY(%s) GROUP BY 1
"""
_MAINTENANCE = rf"^(\s|--[^\n]*\n|/\*.*?\*/)*({'|'.join(MAINTENANCE)})\M"

# Masked texts by place and id: an id's text stays the same, and reading texts is the dear part.
_texts: dict[tuple[tuple[Any, ...], int], str] = {}
_MOST_TEXTS: Final = 3000


@dataclass
class _Group:
    """What one statement did, over all its entries: in the interval, and since the statistics began."""

    calls: int = 0
    microseconds: int = 0
    all_calls: int = 0
    all_microseconds: int = 0
    ids: list[int] = field(default_factory=list)

    @property
    def mean_ms(self) -> float:
        return self.microseconds / self.calls / 1000 if self.calls else 0.0


def _ask(asked: Asked) -> Answer:
    schema, why = _where(asked)
    if why:
        return _unknown(why, {})
    named = sql.Identifier(schema)
    try:
        ((now, reset, evicted),) = asked.session.rows(sql.SQL(_STATE).format(schema=named))
    except errors.ObjectNotInPrerequisiteState:  # a role that may not read the setting learns it only so
        return _unknown(f"the extension's library is not loaded: {_PRELOAD.format('pg_stat_statements')}", {})
    rows = asked.session.rows(sql.SQL(_NUMBERS).format(schema=named, most=sql.Literal(snapshots.MOST + 1)))
    current = snapshots.Snapshot(now, reset, evicted, {row[0]: (row[1], row[2]) for row in rows if row[0] is not None})
    hidden = sum(row[1] for row in rows if row[0] is None)
    old = snapshots.unpack(asked.memory.get("snapshot"))
    ignored = _ignored(asked, named, current, old)
    memory = {"snapshot": snapshots.pack(current), "ignored": sorted(ignored & current.entries.keys())}
    if old is None:
        return _unknown("the first round: the next one has an interval", memory)
    if old.reset != reset:
        return _unknown("the statistics were reset: the next round measures again", memory)
    if not 0 < now - old.at <= LONGEST_INTERVAL:
        return _unknown("the last round was too long ago: the next one has an interval", memory)
    differences = snapshots.difference(old, current, without=ignored)
    groups = _grouped(asked, named, differences, current)
    return _answer(now - old.at, differences, groups, _notes(asked, hidden, evicted - old.evicted, current), memory)


def _where(asked: Asked) -> tuple[str, str]:
    """The extension's schema, or why there are no statistics and what exactly would give them."""
    ((schema, version, database, preloaded),) = asked.session.rows(_EXTENSION)
    loaded = preloaded is None or "pg_stat_statements" in [name.strip() for name in preloaded.split(",")]
    libraries = ",".join(filter(None, [preloaded, "pg_stat_statements"]))
    preload = _PRELOAD.format(libraries)
    create = f"CREATE EXTENSION pg_stat_statements; in database {database}"
    if schema is None:
        also = (
            "" if preloaded is not None and loaded else f"; it needs {preload}" + ("" if preloaded else ", if not set")
        )
        return "", f"the extension is missing: {create} (as superuser){also}"
    if not loaded:
        return "", f"the extension's library is not loaded: {preload}"
    if tuple(int(part) for part in version.split(".")[:2]) < (1, 9):
        return "", f"the extension is of version {version}: ALTER EXTENSION pg_stat_statements UPDATE;"
    return schema, ""


def _ignored(asked: Asked, named: sql.Identifier, current: snapshots.Snapshot, old: Any) -> set[int]:
    """Ids of our own statements and of maintenance. Only ids that are new are looked at."""
    ignored = {int(one) for one in asked.memory.get("ignored", [])} if old is not None else set()
    new = [one for one in current.entries if old is None or one not in old.entries]
    if new:
        found = asked.session.rows(sql.SQL(_NOT_THE_APPLICATIONS).format(schema=named), [new, MARK, _MAINTENANCE])
        ignored |= {row[0] for row in found}
    return ignored


def _grouped(
    asked: Asked, named: sql.Identifier, differences: Mapping[int, tuple[int, int]], current: snapshots.Snapshot
) -> dict[str, _Group]:
    heavy = sorted(differences, key=lambda one: -differences[one][1])[:_CANDIDATES]
    texts = _texts_of(asked, named, heavy)
    groups: dict[str, _Group] = {}
    for one in heavy:
        group = groups.setdefault(texts.get(one, f"statement {one}"), _Group())
        group.calls += differences[one][0]
        group.microseconds += differences[one][1]
        group.all_calls += current.entries[one][0]
        group.all_microseconds += current.entries[one][1]
        group.ids.append(one)
    return groups


def _texts_of(asked: Asked, named: sql.Identifier, ids: Iterable[int]) -> dict[int, str]:
    place = asked.session.place
    missing = [one for one in ids if (place, one) not in _texts]
    if missing:
        if len(_texts) > _MOST_TEXTS:
            _texts.clear()
        for one, text in asked.session.rows(sql.SQL(_TEXTS).format(schema=named), [missing]):
            if text is not None and text != "<insufficient privilege>":
                _texts[place, one] = shape(text)
    return {one: _texts[place, one] for one in ids if (place, one) in _texts}


def _answer(
    seconds: float,
    differences: Mapping[int, tuple[int, int]],
    groups: Mapping[str, _Group],
    notes: list[str],
    memory: Mapping[str, Any],
) -> Answer:
    calls = sum(one[0] for one in differences.values())
    total = sum(one[1] for one in differences.values())
    view, note = (PARTIAL if notes else FULL), "; ".join(notes)
    slowest = max(groups.items(), key=lambda item: item[1].mean_ms, default=None)
    mean = total / calls / 1000 if calls else 0.0
    quiet = "" if calls else "no statement ended in the interval"
    slow_ms = slowest[1].mean_ms if slowest else 0.0
    what = slowest[0] if slowest and slow_ms >= SLOW_MS else ""
    measurements = [
        Measurement("query_mean", mean, view=view, note=note or quiet, count=calls),
        Measurement(
            "query_slowest_mean",
            slow_ms,
            view=view,
            note=note or quiet or what,
            count=slowest[1].calls if slowest else 0,
            detail={"text": what},
        ),
    ]
    by_mean = sorted((item for item in groups.items() if item[1].mean_ms > SLOW_MS), key=lambda item: -item[1].mean_ms)
    by_total = sorted(groups.items(), key=lambda item: -item[1].microseconds)
    seen: dict[str, Any] = {
        "seconds": seconds,
        "calls": calls,
        "mean_ms": mean,
        "by_mean": [_shown(*item, total) for item in by_mean[:TOP]],
        "by_total": [_shown(*item, total) for item in by_total[:TOP]],
        "view": view,
        "note": note,
        "problem": "",
    }
    return Answer(measurements, memory, seen)


def _shown(text: str, group: _Group, total: int) -> dict[str, Any]:
    return {
        "text": text,
        "calls": group.calls,
        "mean_ms": group.mean_ms,
        "total_ms": group.microseconds / 1000,
        "share": 100.0 * group.microseconds / total if total else 0.0,
        "lifetime_calls": group.all_calls,
        "lifetime_mean_ms": group.all_microseconds / group.all_calls / 1000 if group.all_calls else 0.0,
        "entries": len(group.ids),
        "ids": [str(one) for one in group.ids[:5]],  # 64 bits: more than JavaScript's numbers hold
    }


def _notes(asked: Asked, hidden: int, evicted: int, current: snapshots.Snapshot) -> list[str]:
    notes = []
    if hidden and not asked.server.sees_all:
        notes.append(f"statements of other roles are hidden, {NO_PG_MONITOR}")
    if evicted > 0:
        notes.append(f"{evicted} entries were evicted in the interval: raise pg_stat_statements.max")
    if len(current.entries) > snapshots.MOST:
        notes.append(f"only the {snapshots.MOST:,} heaviest statements are compared")
    return notes


def _unknown(why: str, memory: Mapping[str, Any]) -> Answer:
    seen: dict[str, Any] = {
        "seconds": None,
        "calls": None,
        "mean_ms": None,
        "by_mean": [],
        "by_total": [],
        "problem": why,
    }
    return Answer([Measurement.unknown(metric, why) for metric in METRICS], memory, seen)


STATEMENTS = Probe("statements", _ask, METRICS)
