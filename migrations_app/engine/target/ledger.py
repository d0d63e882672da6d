"""The ledger inside the target, schema `causeway`: what this run does, what it has done, what it put aside.

Chunks are recorded in the transaction of their COPY, objects in that of their CREATE: after any kill the ledger and
the data agree. One unfinished run at a time; finished ones stay until their traces are removed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from psycopg2.extras import Json

from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import MovePlan, plan_from_document
from migrations_app.engine.target.target import Cursor, rows, scalar

LOADING = "loading"
LOADED = "loaded"

_CREATE = """
CREATE SCHEMA IF NOT EXISTS causeway;
CREATE TABLE IF NOT EXISTS causeway.run (
    run_key text PRIMARY KEY,
    fingerprint text NOT NULL,
    plan_digest text NOT NULL,
    plan jsonb NOT NULL,
    state text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
CREATE TABLE IF NOT EXISTS causeway.name_map (
    run_key text NOT NULL REFERENCES causeway.run ON DELETE CASCADE,
    source_table text NOT NULL, source_column text NOT NULL,
    target_table text NOT NULL, target_column text NOT NULL,
    PRIMARY KEY (run_key, source_table, source_column)
);
CREATE TABLE IF NOT EXISTS causeway.chunk (
    run_key text NOT NULL REFERENCES causeway.run ON DELETE CASCADE,
    source_table text NOT NULL, chunk integer NOT NULL, rows bigint NOT NULL, sha256 text NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_key, source_table, chunk)
);
CREATE TABLE IF NOT EXISTS causeway.object (
    run_key text NOT NULL REFERENCES causeway.run ON DELETE CASCADE,
    kind text NOT NULL, source_table text NOT NULL, name text NOT NULL, carried boolean NOT NULL, why text NOT NULL,
    PRIMARY KEY (run_key, kind, source_table, name)
);
CREATE TABLE IF NOT EXISTS causeway.saved (
    run_key text NOT NULL REFERENCES causeway.run ON DELETE CASCADE,
    kind text NOT NULL, name text NOT NULL, detail jsonb NOT NULL,
    PRIMARY KEY (run_key, kind, name)
);
"""


@dataclass(frozen=True)
class RunRecord:
    """One run as the ledger knows it. `state` is 'loading' or 'loaded'."""

    run_key: str
    fingerprint: str
    plan_digest: str
    state: str


@dataclass(frozen=True)
class ObjectRecord:
    kind: str
    table: str
    name: str
    carried: bool
    why: str = ""


def create(cursor: Cursor) -> None:
    """Make the ledger's tables where they are missing. The caller holds the lease, so nobody else does it now."""
    cursor.execute(_CREATE)


def exists(cursor: Cursor) -> bool:
    return scalar(cursor, "SELECT to_regclass('causeway.run')") is not None


def save_plan(cursor: Cursor, run_key: str, plan: MovePlan, fingerprint: str) -> RunRecord:
    """Begin the run, or find it begun with the same fingerprint and plan.

    Raises Refused OTHER_RUN_UNFINISHED or SAME_RUN_CHANGED; both name the remedy.
    """
    for record in runs(cursor):
        if record.run_key == run_key:
            if (record.fingerprint, record.plan_digest) == (fingerprint, plan.digest):
                return record
            what = "another state of the source" if record.fingerprint != fingerprint else "another plan"
            raise Refused(
                "SAME_RUN_CHANGED",
                f"Run {run_key} was begun in this target with {what} (it is {record.state}).",
                "Remove its load first, or run with the source and the plan that it began with.",
            )
        if record.state != LOADED:
            raise Refused(
                "OTHER_RUN_UNFINISHED",
                f"Run {record.run_key} has begun to load into this target and hasn't ended.",
                f"Let it go on (the same command with the same source resumes it), or remove the load of"
                f" {record.run_key}.",
            )
    cursor.execute(
        "INSERT INTO causeway.run (run_key, fingerprint, plan_digest, plan, state) VALUES (%s, %s, %s, %s, %s)",
        (run_key, fingerprint, plan.digest, Json(plan.to_document()), LOADING),
    )
    _save_names(cursor, run_key, plan)
    return RunRecord(run_key, fingerprint, plan.digest, LOADING)


def _save_names(cursor: Cursor, run_key: str, plan: MovePlan) -> None:
    for table in plan.tables:
        pairs = [("", "")] + [(column.name, column.target_name) for column in table.columns]
        for source, target in pairs:
            cursor.execute(
                "INSERT INTO causeway.name_map VALUES (%s, %s, %s, %s, %s)",
                (run_key, table.name, source, table.target_name, target),
            )


def runs(cursor: Cursor) -> tuple[RunRecord, ...]:
    found = rows(
        cursor, "SELECT run_key, fingerprint, plan_digest, state FROM causeway.run ORDER BY started_at, run_key"
    )
    return tuple(RunRecord(*row) for row in found)


def read_plan(cursor: Cursor, run_key: str = "") -> MovePlan | None:
    """The plan of that run, of the latest one when '' is given, None when there is none."""
    if not exists(cursor):
        return None
    condition, parameters = ("WHERE run_key = %s", (run_key,)) if run_key else ("", None)
    found = rows(cursor, f"SELECT plan FROM causeway.run {condition} ORDER BY started_at DESC LIMIT 1", parameters)
    return plan_from_document(found[0][0]) if found else None


def latest_run(cursor: Cursor) -> RunRecord | None:
    """The run that was begun last, None when the target has no ledger or no run."""
    found = runs(cursor) if exists(cursor) else ()
    return found[-1] if found else None


def finish(cursor: Cursor, run_key: str) -> None:
    cursor.execute(
        "UPDATE causeway.run SET state = %s, finished_at = clock_timestamp() WHERE run_key = %s", (LOADED, run_key)
    )


def forget(cursor: Cursor, run_key: str) -> None:
    """Remove the run with everything that it recorded."""
    cursor.execute("DELETE FROM causeway.run WHERE run_key = %s", (run_key,))


def record_chunk(cursor: Cursor, run_key: str, table: str, chunk: int, count: int, sha256: str) -> None:
    """In the transaction of the COPY. A second writer of the same chunk waits for the first and then fails."""
    cursor.execute(
        "INSERT INTO causeway.chunk (run_key, source_table, chunk, rows, sha256) VALUES (%s, %s, %s, %s, %s)",
        (run_key, table, chunk, count, sha256),
    )


def chunks_done(cursor: Cursor, run_key: str) -> dict[str, dict[int, int]]:
    """{source table: {chunk number: rows}} of what is in the target."""
    done: dict[str, dict[int, int]] = {}
    for table, chunk, count in rows(
        cursor, "SELECT source_table, chunk, rows FROM causeway.chunk WHERE run_key = %s", (run_key,)
    ):
        done.setdefault(table, {})[chunk] = count
    return done


def touch(cursor: Cursor, run_key: str) -> None:
    """Write the run's entry as it is."""
    cursor.execute("UPDATE causeway.run SET state = state WHERE run_key = %s", (run_key,))


def weight(cursor: Cursor, run_key: str) -> int:
    """A number that grows with every chunk and object that the target holds; 0 before the run has begun."""
    if not exists(cursor):
        return 0
    counts = "SELECT count(*) FROM causeway.{} WHERE run_key = %s"
    return sum(int(scalar(cursor, counts.format(table), (run_key,))) for table in ("run", "chunk", "object"))


def record_object(cursor: Cursor, run_key: str, record: ObjectRecord) -> None:
    cursor.execute(
        "INSERT INTO causeway.object VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (run_key, kind, source_table, name)"
        " DO UPDATE SET carried = excluded.carried, why = excluded.why",
        (run_key, record.kind, record.table, record.name, record.carried, record.why),
    )


def objects(cursor: Cursor, run_key: str) -> tuple[ObjectRecord, ...]:
    found = rows(
        cursor,
        "SELECT kind, source_table, name, carried, why FROM causeway.object WHERE run_key = %s"
        ' ORDER BY kind, source_table COLLATE "C", name COLLATE "C"',
        (run_key,),
    )
    return tuple(ObjectRecord(*row) for row in found)


def save(cursor: Cursor, run_key: str, kind: str, name: str, detail: dict[str, Any]) -> None:
    """Put something aside under (kind, name); what is there already stays: a resumed run saw it later, not better."""
    cursor.execute(
        "INSERT INTO causeway.saved VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (run_key, kind, name, Json(detail, dumps=lambda value: json.dumps(value, ensure_ascii=True))),
    )


def saved(cursor: Cursor, run_key: str, kind: str) -> dict[str, dict[str, Any]]:
    """{name: detail} of what was put aside under that kind."""
    found = rows(cursor, "SELECT name, detail FROM causeway.saved WHERE run_key = %s AND kind = %s", (run_key, kind))
    return {name: detail for name, detail in sorted(found)}
