"""Load under a lease, and leave nothing of ours behind when it doesn't come to an end."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from collections.abc import Iterator

from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError, Failed, Fenced, Refused
from migrations_app.engine.export.export_reader import Export
from migrations_app.engine.load import clean
from migrations_app.engine.load.load import LoadResult, check_target, load_export
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.target import lease, ledger
from migrations_app.engine.target.lease import LEASE_SECONDS
from migrations_app.engine.target.outage import through_outages
from migrations_app.engine.target.target import connect, transaction
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.management.headless.command import Job

_LAPSE_SECONDS = LEASE_SECONDS + 2  # the lease of a process that was killed has lapsed by then


def load_under_lease(
    job: Job, export: Export, plan: MovePlan, url: TargetUrl, *, run_key: str, jobs: int
) -> LoadResult:
    """Claim the target, load, let go. What it did is in the report.

    After a failure schema `causeway` goes too, unless the target still holds rows of a load that could not be removed:
    the same command resumes or removes them.
    """
    with job.phase("load"):
        check_target(plan, url, run_key=run_key)
        held = through_outages(lambda: _claim(job, url, run_key), url, job.control)
        try:
            with lease.kept(url, held, job.control):
                result = load_export(export, plan, url, run_key=run_key, lease=held, jobs=jobs, control=job.control)
        except Fenced:
            raise
        except EngineError:
            _release_and_forget(job, url, held)
            raise
        through_outages(lambda: lease.release(url, held), url, job.control)
    _record(job, result)
    return result


@contextlib.contextmanager
def taken_back_on_failure(job: Job, loaded: LoadResult, plan: MovePlan, url: TargetUrl, run_key: str) -> Iterator[None]:
    """What comes after the load (verification, a last look at the source) may fail or be stopped: then the load goes.

    Differences that were found are no failure: that data stays, to be looked at. So does what an earlier command had
    loaded to the end. Whatever is raised inside, exit status 2 can no longer be true: it becomes a Failed.
    """
    try:
        yield
    except EngineError as error:
        if loaded.found_loaded:
            raise
        _take_back(job, plan, url, run_key, error)
        if isinstance(error, Refused):
            raise Failed(error.code, error.message, error.hint) from error
        raise


def _take_back(job: Job, plan: MovePlan, url: TargetUrl, run_key: str, error: EngineError) -> None:
    unstoppable = Control()  # the error may be that we were asked to stop
    try:
        held = lease.claim(url, run_key, _holder(), wait_seconds=_LAPSE_SECONDS, control=unstoppable)
        clean.remove_load(url, plan, run_key, lease=held)
        _release_and_forget(job, url, held)
    except EngineError as second:
        left = f"The rows couldn't be taken back ({second.code}) and are still in the target; run it again."
        error.hint = f"{error.hint} {left}".strip()


def _claim(job: Job, url: TargetUrl, run_key: str) -> lease.Lease:
    return lease.claim(url, run_key, _holder(), wait_seconds=_LAPSE_SECONDS, control=job.control)


def _holder() -> str:
    """With our process id in it: a second, living process of the same command must not take over."""
    return f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}"


def _record(job: Job, result: LoadResult) -> None:
    job.report.rows = dict(result.tables)
    job.report.records = result.objects
    for phase, seconds in result.seconds.items():
        job.report.seconds[f"load.{phase}"] = seconds
    if result.resumed:
        job.remark("An earlier attempt had begun this load: it was taken up where it stood.")
    if result.outages:
        job.remark(
            f"The target went away {result.outages} time(s) while rows were loaded; the load waited and went on."
        )


def _release_and_forget(job: Job, url: TargetUrl, held: lease.Lease) -> None:
    try:
        lease.release(url, held)
        if not _knows(url, held.run_key):
            clean.remove_traces(url, held.run_key)
    except EngineError as error:  # the first error is the one to report; this one is only about the lease's row
        job.remark(f"The lease in the target could not be removed ({error.code}); it lapses by itself.")


def _knows(url: TargetUrl, run_key: str) -> bool:
    """Whether the ledger still holds the run, because its load could not be removed."""
    return any(run.run_key == run_key for run in _runs(url))


def _runs(url: TargetUrl) -> tuple[ledger.RunRecord, ...]:
    connection = connect(url, application_name="causeway:look:0")
    try:
        with transaction(connection, "reading the ledger") as cursor:
            return ledger.runs(cursor) if ledger.exists(cursor) else ()
    finally:
        connection.close()


def discard_unfinished(job: Job, url: TargetUrl, run_key: str) -> None:
    """Remove what loads other than `run_key` began and never ended."""
    for run in _runs(url):
        if run.state == ledger.LOADED or run.run_key == run_key:
            continue
        held = _claim(job, url, run.run_key)
        try:
            plan = _plan_of(url, run.run_key)
            if plan is not None:
                clean.remove_load(url, plan, run.run_key, lease=held)
                job.remark(f"The unfinished load {run.run_key} was removed from the target.")
        finally:
            lease.release(url, held)


def _plan_of(url: TargetUrl, run_key: str) -> MovePlan | None:
    connection = connect(url, application_name="causeway:look:0")
    try:
        with transaction(connection, "reading the plan") as cursor:
            return ledger.read_plan(cursor, run_key)
    finally:
        connection.close()
