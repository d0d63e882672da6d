"""Loads an export into the target: begin, rows, objects, end. Killed anywhere, the same call goes on from the ledger.

The target may restart or drop our sessions at any moment: the load waits for it and goes on (outage.py).

Mode `create` works in a hidden schema and publishes in its last transaction. Mode `existing` puts obstacles aside in
its first transaction and back in its last. Both transactions hold the ledger's entry, so a resumed run knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError, Fenced, FindingsRefused
from migrations_app.engine.export.export_reader import Export
from migrations_app.engine.load import clean, ddl, existing, existing_fit, sequences
from migrations_app.engine.load.build import analyze, build_objects
from migrations_app.engine.load.load_rows import Loading, load_rows
from migrations_app.engine.plan import MODE_CREATE, MovePlan
from migrations_app.engine.target import ledger
from migrations_app.engine.target.lease import Lease, assert_held
from migrations_app.engine.target.ledger import ObjectRecord
from migrations_app.engine.target.outage import through_outages
from migrations_app.engine.target.pg_names import load_schema
from migrations_app.engine.target.target import Cursor, application_name, cancelling, connect, transaction
from migrations_app.engine.target.target_url import TargetUrl


@dataclass(frozen=True)
class LoadResult:
    """`tables`: rows by source table. `objects`: all that the plan names, carried or not. `seconds` by phase."""

    tables: dict[str, int]
    objects: tuple[ObjectRecord, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    resumed: bool = False  # an earlier attempt had begun (or ended) the work
    outages: int = 0  # how often the target went away meanwhile
    found_loaded: bool = False  # an earlier call had brought it to its end: this one wrote nothing


def check_target(plan: MovePlan, url: TargetUrl, *, run_key: str = "") -> None:
    """Is there room for the rows? Looks without writing; a run that has begun already passes.

    Raises Refused TARGET_NOT_EMPTY, TARGET_TABLE_MISSING, TARGET_COLUMN_MISSING, NO_RIGHTS.
    """
    connection = connect(url, application_name=application_name(run_key or "check", 0))
    try:
        with transaction(connection, "looking at the target's tables") as cursor:
            begun = ledger.runs(cursor) if ledger.exists(cursor) else ()
            if not any(run.run_key == run_key for run in begun):
                _refuse_unfit(cursor, plan)
    finally:
        connection.close()


def _refuse_unfit(cursor: Cursor, plan: MovePlan) -> None:
    if plan.mode == MODE_CREATE:
        ddl.refuse_not_empty(cursor, plan)
    else:
        existing_fit.refuse_unfit(cursor, plan)


def load_export(
    export: Export,
    plan: MovePlan,
    url: TargetUrl,
    *,
    run_key: str,
    lease: Lease | None,
    jobs: int = 2,
    control: Control | None = None,
    keep_on_failure: bool = False,
) -> LoadResult:
    """Load every row and object of the plan. The caller holds the lease and keeps it renewed (lease.kept).

    A failure or cancellation removes what was loaded, unless `keep_on_failure` (then the same call resumes). After
    Fenced nothing is removed: the new holder goes on. An outage of the target is waited out (through_outages).
    Raises FindingsRefused, Refused, Failed, Cancelled, Fenced.
    """
    control = control or Control()
    if plan.open_findings:
        raise FindingsRefused(plan.open_findings)
    schema = load_schema(run_key) if plan.mode == MODE_CREATE else plan.target_schema
    work = _Work(export, Loading(plan, url, run_key, lease, schema), jobs, control)
    try:
        return through_outages(
            work.go_on, url, control, lease=lease, done=lambda cursor: ledger.weight(cursor, run_key)
        )
    except Fenced:
        raise
    except EngineError as error:
        if work.begun in ("", ledger.LOADING) and not keep_on_failure:
            _remove(work.loading, error)
        raise


@dataclass
class _Work:
    """One call of load_export(). go_on() may be repeated after an outage: each phase does what the ledger lacks."""

    export: Export
    loading: Loading
    jobs: int
    control: Control
    begun: str | None = None  # what this call found: None before it looked, '' nothing, else the ledger's state
    rounds: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def go_on(self) -> LoadResult:
        loading, control = self.loading, self.control
        self.rounds += 1
        state = _begin(self.export, loading)
        if self.begun is None:
            self.begun = state
        if state != ledger.LOADED:
            self._timed("load", lambda: load_rows(self.export, loading, jobs=self.jobs, control=control))
            self._timed("index", lambda: build_objects(loading, jobs=self.jobs, control=control))
            self._timed("analyze", lambda: analyze(loading, self.jobs, control))
            self._timed("publish", lambda: _finish(self.export, loading, control))
        result = _result(loading, self.seconds, resumed=self.begun != "")
        return replace(result, outages=self.rounds - 1, found_loaded=self.begun == ledger.LOADED)

    def weight(self, cursor: Cursor) -> int:
        return ledger.weight(cursor, self.loading.run_key)

    def _timed(self, phase: str, work: Callable[[], object]) -> None:
        started = time.monotonic()
        try:
            work()
        finally:
            self.seconds[phase] = round(self.seconds.get(phase, 0.0) + time.monotonic() - started, 3)


def _begin(export: Export, loading: Loading) -> str:
    """One transaction: ledger, plan, and the empty tables or the obstacles put aside. '' if new, else its state."""
    connection = loading.connect()
    try:
        with transaction(connection, "beginning the load") as cursor:
            if loading.lease is not None:
                assert_held(cursor, loading.lease)
            ledger.create(cursor)
            known = {run.run_key for run in ledger.runs(cursor)}
            record = ledger.save_plan(cursor, loading.run_key, loading.plan, export.fingerprint.digest)
            if loading.run_key in known:
                return record.state
            _refuse_unfit(cursor, loading.plan)
            if loading.plan.mode == MODE_CREATE:
                ddl.create_load_schema(cursor, loading.plan, loading.schema)
            else:
                existing.put_aside(cursor, loading.plan, loading.run_key)
            return ""
    finally:
        connection.close()


def _finish(export: Export, loading: Loading, control: Control) -> None:
    """The last transaction: counts, sequences, publish (or put back), and the ledger's 'loaded'."""
    plan = loading.plan
    given_out = dict(export.schema.sequences)
    connection = loading.connect()
    try:
        with cancelling(connection, control), transaction(connection, "publishing the load") as cursor:
            control.checkpoint()
            if loading.lease is not None:
                assert_held(cursor, loading.lease)
            if plan.mode == MODE_CREATE:
                sequences.set_sequences(cursor, plan, loading.schema, given_out)
                ddl.publish(cursor, plan, loading.schema)
            else:
                existing.put_back(cursor, plan, loading.run_key, given_out)
            _record_sequences(cursor, loading)
            ledger.finish(cursor, loading.run_key)
    finally:
        connection.close()


def _record_sequences(cursor: Cursor, loading: Loading) -> None:
    for use in sequences.find_sequences(cursor, loading.plan, loading.plan.target_schema):
        record = ObjectRecord("sequence", use.table, f"{use.target_table}.{use.column}", True)
        ledger.record_object(cursor, loading.run_key, record)


def _result(loading: Loading, seconds: dict[str, float], *, resumed: bool) -> LoadResult:
    connection = loading.connect()
    try:
        with transaction(connection, "reading the ledger") as cursor:
            done = ledger.chunks_done(cursor, loading.run_key)
            objects = ledger.objects(cursor, loading.run_key)
    finally:
        connection.close()
    tables = {table.name: sum(done.get(table.name, {}).values()) for table in loading.plan.tables if table.is_loaded}
    return LoadResult(tables, (*objects, *_column_objects(loading.plan)), seconds, resumed)


def _column_objects(plan: MovePlan) -> tuple[ObjectRecord, ...]:
    """NOT NULLs and defaults are made with their table, so they are carried when the table is."""
    found = []
    for table in plan.tables:
        for column in table.columns if table.is_loaded else ():
            if column.not_null:
                found.append(ObjectRecord("not_null", table.name, column.name, True))
            if column.default_sql is not None:
                found.append(ObjectRecord("default", table.name, column.name, True))
    return tuple(found)


def _remove(loading: Loading, error: EngineError) -> None:
    """Leave nothing of ours visible; when the target can't be reached, say what is left and how it goes away."""
    try:
        clean.remove_load(loading.url, loading.plan, loading.run_key, lease=loading.lease)
    except EngineError as second:
        left = f"schema {loading.schema} is" if loading.plan.mode == MODE_CREATE else "rows in its tables are"
        error.hint = f"{error.hint} The target couldn't be cleaned ({second.code}): {left} left; run it again.".strip()
