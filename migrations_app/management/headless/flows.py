"""The four headless commands, each as the order of its steps."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrations_app.engine.back.rebuild import rebuild_source
from migrations_app.engine.errors import EngineError, Refused
from migrations_app.engine.export.export import export_source, open_export
from migrations_app.engine.export.export_reader import Export
from migrations_app.engine.export.single_document import import_single_document, write_single_document
from migrations_app.engine.plan import MODE_CREATE, MODE_EXISTING, SKIP, MovePlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target import ledger
from migrations_app.engine.target.outage import through_outages
from migrations_app.engine.target.target import connect, inspect_target, transaction
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare import VerifySource, verify
from migrations_app.engine.verify.report import DIFFERENT, EXPORTED, LOADED, PLANNED, VERIFIED
from migrations_app.management.headless.arguments import DEFAULT_JOBS, read_choices, read_jobs, read_target
from migrations_app.management.headless.command import Job
from migrations_app.management.headless.loading import discard_unfinished, load_under_lease, taken_back_on_failure
from migrations_app.management.headless.planning import (
    plan_source,
    read_plan_file,
    refuse_changed,
    refuse_changed_after_all,
    refuse_open_findings,
    run_key_of,
    snapshot,
)
from migrations_app.management.headless.workspace import workspace


def move_database(job: Job, options: dict[str, Any]) -> None:
    """Plan, snapshot, export, load, verify."""
    jobs = read_jobs(options)
    url = _target_if_needed(job, options)
    moves = not options["plan_only"]
    with snapshot(job, options["source"], must_rest=moves, in_use=not moves) as (source, watched):
        plan, profile = plan_source(job, source, options, url)
        if options["plan_only"] or url is None:
            job.report.outcome = PLANNED
            return
        refuse_open_findings(plan)
        run_key = run_key_of(watched.fingerprint, plan)
        if options["discard_unfinished"]:
            discard_unfinished(job, url, run_key)
        with _export_folder(options["export_dir"], run_key) as folder:
            with job.phase("export"):
                exported = export_source(
                    source, plan, folder, job.control, watched.fingerprint, profile=profile, jobs=jobs
                )
            job.report.rows = dict(exported.tables)
            with _void_unless_good(exported.manifest_path):
                refuse_changed(job, watched)
            export = open_export(folder, exported.sha256)
            loaded = load_under_lease(job, export, plan, url, run_key=run_key, jobs=jobs)
            if options["export_dir"] is not None:
                job.report.artefacts["export"] = str(folder)
                job.report.artefacts["manifest_sha256"] = exported.sha256
        with taken_back_on_failure(job, loaded, plan, url, run_key):
            _verify(job, source, plan, url)
            refuse_changed_after_all(job, watched)


def _target_if_needed(job: Job, options: dict[str, Any]) -> TargetUrl | None:
    """The target, looked at before any work is done; None when only a plan in mode create is wanted."""
    wanted = options["target"] or os.environ.get("TARGET_DATABASE_URL")
    if options["plan_only"] and (options["schema_mode"] == MODE_CREATE or not wanted):
        return None
    url = read_target(options)
    _look(job, url, options["target_schema"])
    return url


def _look(job: Job, url: TargetUrl, schema: str) -> None:
    with job.phase("target"):
        inspect_target(url, schema=schema)
    if not url.is_local and url.sslmode != "verify-full":
        job.remark(f"Exception: the remote target {url.redacted} was used without sslmode=verify-full.")


@contextlib.contextmanager
def _export_folder(asked: Path | None, run_key: str) -> Iterator[Path]:
    if asked is not None:
        yield asked
        return
    with workspace(run_key) as folder:
        yield folder / "export"


def _verify(job: Job, source: VerifySource, plan: MovePlan, url: TargetUrl, doubts: Sequence[str] = ()) -> None:
    """`doubts`: what the caller knows not to be compared; they keep the outcome from being 'verified'."""
    with job.phase("verify"):
        result = through_outages(
            lambda: verify(source, plan, url, control=job.control, environment=os.environ), url, job.control
        )
    if doubts:
        result = replace(result, equal=False, inconclusive=(*result.inconclusive, *doubts))
    for phase, seconds in result.seconds.items():
        job.report.seconds[f"verify.{phase}"] = seconds
    for remark in result.remarks:
        job.remark(remark)
    job.report.verified = result
    job.report.records = result.objects
    job.report.outcome = VERIFIED if result.equal else DIFFERENT


def dump_sqlite_to_json(job: Job, options: dict[str, Any]) -> None:
    """Export a snapshot as a folder of JSON Lines, or as one document: the file's state of this moment."""
    planning = {**options, "schema_mode": MODE_CREATE, "target_schema": "public", "choose": []}
    with snapshot(job, options["source"], in_use=True) as (source, watched):
        taken = watched.fingerprint
        plan, profile = plan_source(job, source, planning, None)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        with job.phase("export"):
            if options["single_file"]:
                path = (options["output"] or Path()) / f"data_export_{stamp}.json"
                document = write_single_document(source, plan, path, job.control, taken)
                job.report.rows = document.tables
                job.report.artefacts.update(document=str(path), sha256=document.sha256)
            else:
                folder = options["output"] or Path(f"data_export_{stamp}")
                exported = export_source(source, plan, folder, job.control, taken, profile=profile, jobs=DEFAULT_JOBS)
                job.report.rows = exported.tables
                job.report.artefacts.update(export=str(folder), manifest_sha256=exported.sha256)
    job.report.outcome = EXPORTED


@contextlib.contextmanager
def _void_unless_good(evidence: Path) -> Iterator[None]:
    """Without its manifest a folder is no export: so nobody loads one that may be a mixture."""
    try:
        yield
    except EngineError:
        evidence.unlink(missing_ok=True)
        raise


def load_json_to_postgresql(job: Job, options: dict[str, Any]) -> None:
    """Load an export folder, or a single document, and verify if asked."""
    jobs = read_jobs(options)
    path: Path = options["source"]
    is_folder = path.is_dir()
    if not is_folder and options["schema_mode"] == MODE_CREATE:
        raise Refused(
            "DOCUMENT_WITHOUT_TYPES",
            "A single document holds no types, keys or indexes: no tables can be made from it.",
            "Let the application make its tables and load with --schema-mode existing, or load an export folder.",
        )
    url = read_target(options)
    _look(job, url, options["target_schema"])
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(workspace(f"load-{os.getpid()}"))
        if is_folder:
            export = open_export(path, options["manifest_sha256"])
        else:
            with job.phase("import"):
                export = open_export(import_single_document(path, scratch / "export", job.control).directory)
        plan = _plan_of_export(job, export, options, url, scratch)
        refuse_open_findings(plan)
        run_key = run_key_of(export.fingerprint, plan)
        if options["discard_unfinished"]:
            discard_unfinished(job, url, run_key)
        loaded = load_under_lease(job, export, plan, url, run_key=run_key, jobs=jobs)
        job.report.outcome = LOADED
        if options["verify"]:
            with taken_back_on_failure(job, loaded, plan, url, run_key):
                _verify(job, export, plan, url)


def _plan_of_export(job: Job, export: Export, options: dict[str, Any], url: TargetUrl, scratch: Path) -> MovePlan:
    """The plan that the export carries, or, where something else is wanted, one made anew from its content."""
    carried = export.plan
    mode = options["schema_mode"] or (carried.mode if carried else MODE_EXISTING)
    as_carried = (
        carried is not None
        and mode == carried.mode
        and options["target_schema"] == carried.target_schema
        and not options["choose"]
        and not options["exclude"]
    )
    if as_carried and carried is not None:
        job.report.plan = carried
        return carried
    with job.phase("plan"):
        rebuilt = scratch / "rebuilt.sqlite"
        rebuild_source(export, rebuilt, job.control)
    excluded = [*options["exclude"], *(carried.excluded if carried else ())]
    known = {table.name for table in export.tables}
    wanted = {**options, "schema_mode": mode, "exclude": [name for name in excluded if name in known]}
    read_choices(options)
    with open_source(rebuilt, job.control) as source:
        plan = _as_of_the_source(plan_source(job, source, wanted, url)[0], export)
    job.report.plan = plan
    return plan


def _as_of_the_source(plan: MovePlan, export: Export) -> MovePlan:
    """A plan made from an export speaks of the file that was exported, so that it can be compared with that file.

    What the export left out is no part of the file that was rebuilt; the plan goes on saying that it was left out.
    """
    known = {table.name for table in plan.tables}
    gone = [table for table in (export.plan.tables if export.plan else ()) if table.name not in known]
    skipped = (replace(table, rule=SKIP, columns=(), objects=()) for table in gone)
    return replace(plan, schema_digest=export.schema.digest, tables=(*plan.tables, *skipped))


def verify_migration(job: Job, options: dict[str, Any]) -> None:
    """Compare the file with the target, by the plan that is kept there, a plan from a file, or one made anew."""
    url = read_target(options)
    with snapshot(job, options["source"]) as (source, watched):
        if options["plan"] is not None:
            plan = read_plan_file(options["plan"])
            job.remark(f"Compared by the plan in {options['plan']}.")
        else:
            kept, fingerprint = _kept_plan(url)
            if kept is None:
                job.remark("The target keeps no plan (schema causeway is gone): it was planned anew.")
                plan = plan_source(job, source, options, url)[0]
            else:
                plan = kept
                job.remark("Compared by the plan that the target keeps in schema causeway.")
                if fingerprint != watched.fingerprint.digest:
                    job.remark("The file has been written to since it was loaded.")
        job.report.plan = plan
        _verify(job, source, plan, url, _doubts(source, plan))


def _doubts(source: Source, plan: MovePlan) -> list[str]:
    """What came into the source's schema after the plan was made, beyond the tables and columns that verify() names.

    In mode existing the target's keys, indexes and views are the application's own, whatever the source has.
    """
    if plan.schema_digest == source.schema.digest or plan.mode == MODE_EXISTING:
        return []
    return [
        "the file's schema is not the one that was planned: keys, indexes, checks, defaults or views that came since"
        " were not looked for"
    ]


def _kept_plan(url: TargetUrl) -> tuple[MovePlan | None, str]:
    """The plan of the latest run that the target keeps, with the fingerprint of what was loaded."""
    connection = connect(url, application_name="causeway:verify:0")
    try:
        with transaction(connection, "reading the plan") as cursor:
            record = ledger.latest_run(cursor)
            plan = ledger.read_plan(cursor, record.run_key) if record else None
            return plan, record.fingerprint if record else ""
    finally:
        connection.close()
