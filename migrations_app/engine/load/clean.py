"""Taking away what we made: a load that failed or is given up, and at the end every trace of ours."""

from __future__ import annotations

from migrations_app.engine.load import ddl, existing
from migrations_app.engine.plan import MODE_CREATE, MovePlan
from migrations_app.engine.target import ledger
from migrations_app.engine.target.lease import CLAIM_LOCK, Lease, assert_held
from migrations_app.engine.target.pg_names import literal, load_schema, qualified
from migrations_app.engine.target.target import Cursor, application_name, connect, rows, scalar, transaction
from migrations_app.engine.target.target_url import TargetUrl


def remove_load(url: TargetUrl, plan: MovePlan, run_key: str, *, lease: Lease | None = None) -> None:
    """What this run created or filled is gone again; the target is as it was before the run.

    Mode create: the hidden schema, and published tables and views of the plan. Mode existing: see existing.undo().
    Nothing happens when the ledger doesn't know the run. With a lease, it must be held.
    """
    connection = connect(url, application_name=application_name(run_key, 0), lease=lease)
    try:
        with transaction(connection, "removing the load") as cursor:
            if lease is not None:
                assert_held(cursor, lease)
            record = next((run for run in _runs(cursor) if run.run_key == run_key), None)
            if record is None:
                return
            if plan.mode != MODE_CREATE:
                existing.undo(cursor, plan, run_key)
            else:
                ddl.drop_load_schema(cursor, load_schema(run_key))
                if record.state == ledger.LOADED:
                    _drop_published(cursor, plan)
            ledger.forget(cursor, run_key)
    finally:
        connection.close()


def remove_following_copy(url: TargetUrl, plan: MovePlan) -> None:
    """The copy of a live crossing that was ended goes, and our traces with it, whichever run had loaded it."""
    for key in _loaded_by(url, plan):
        remove_load(url, plan, key)
        remove_traces(url, key)


def forget_loads(url: TargetUrl, plan: MovePlan) -> None:
    """Forget every run that loaded by this plan; the data stays."""
    for key in _loaded_by(url, plan):
        remove_traces(url, key)


def _loaded_by(url: TargetUrl, plan: MovePlan) -> list[str]:
    connection = connect(url, application_name=application_name("end", 0))
    try:
        with transaction(connection, "looking for the copy") as cursor:
            return [run.run_key for run in _runs(cursor) if run.plan_digest == plan.digest]
    finally:
        connection.close()


def _runs(cursor: Cursor) -> tuple[ledger.RunRecord, ...]:
    return ledger.runs(cursor) if ledger.exists(cursor) else ()


def _drop_published(cursor: Cursor, plan: MovePlan) -> None:
    """Tables and views of the plan, and nothing that refers to them: a stranger's view makes this fail, rightly."""
    views = [each.name for each in plan.objects if each.kind == "view"]
    there = {
        row[0]
        for row in rows(
            cursor,
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            f" WHERE n.nspname = {literal(plan.target_schema)} AND c.relkind IN ('r', 'v')",
        )
    }
    gone = [qualified(plan.target_schema, name) for name in views if name in there]
    if gone:
        cursor.execute(f"DROP VIEW {', '.join(gone)}")
    tables = [t.target_name for t in plan.tables if t.is_loaded and t.target_name in there]
    if tables:
        cursor.execute(f"DROP TABLE {', '.join(qualified(plan.target_schema, name) for name in tables)}")


def remove_traces(url: TargetUrl, run_key: str) -> None:
    """Forget the run; with the last one, schema `causeway` goes as a whole. The loaded data stays.

    The schema also stays while another run holds the lease. Call it after release(): our own lease goes with it.
    """
    connection = connect(url, application_name=application_name(run_key, 0))
    try:
        with transaction(connection, "removing our traces") as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (CLAIM_LOCK,))
            if ledger.exists(cursor):
                existing.drop_seeds(cursor, run_key)
                ledger.forget(cursor, run_key)
                if scalar(cursor, "SELECT count(*) FROM causeway.run"):
                    return
            if not _leased_by_another(cursor, run_key):
                cursor.execute("DROP SCHEMA IF EXISTS causeway CASCADE")
    finally:
        connection.close()


def _leased_by_another(cursor: Cursor, run_key: str) -> bool:
    if scalar(cursor, "SELECT to_regclass('causeway.lease')") is None:
        return False
    held = "SELECT 1 FROM causeway.lease WHERE run_key <> %s AND expires_at > clock_timestamp()"
    return scalar(cursor, held, (run_key,)) is not None
