"""From a SQLite file to a plan that can be carried out, for the headless commands."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from migrations_app.engine.errors import Failed, FindingsRefused, Refused
from migrations_app.engine.load.existing_before import before_our_load, checks_aside
from migrations_app.engine.plan import MODE_EXISTING, MovePlan, plan_from_document
from migrations_app.engine.planning.plan_existing_rules import RowRules
from migrations_app.engine.planning.planning import plan_with_profile
from migrations_app.engine.profile.profile import Profile
from migrations_app.engine.source.fingerprint import Fingerprint, Watched, watch
from migrations_app.engine.source.integrity_beside import checked_beside
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.source.still import open_still
from migrations_app.engine.target.target import connect, transaction
from migrations_app.engine.target.target_catalog import read_schema
from migrations_app.engine.target.target_schema import TargetSchema
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.management.headless.arguments import read_choices
from migrations_app.management.headless.command import Job

_MAX_PLAN_BYTES = 256 << 20


@contextlib.contextmanager
def snapshot(
    job: Job, path: Path, *, must_rest: bool = False, in_use: bool = False
) -> Iterator[tuple[Source, Watched]]:
    """The file, open in one read transaction, and what its bytes were at that moment.

    In a rollback-journal mode writers wait until we are done, unless the file may be `in_use`: then a copy is read. In
    WAL mode nobody waits. The snapshot is exact, but it is not what the file holds later. That is said; with
    `must_rest` it is refused (SOURCE_CHANGED).
    """
    with job.phase("fingerprint"):
        watched = watch(path, job.control)
    with open_still(path, job.control) if in_use else open_source(path, job.control) as source:
        with job.phase("fingerprint"):
            changed = watched.changed(job.control)
        if changed and must_rest:
            raise source_changed(path)
        if changed:
            job.remark(f"{path} is being written to: what is read is its state of this moment, not what comes later.")
            watched = watch(source.address.path if source.is_copy else path, job.control)
        # In a process of its own for the memory it takes; planning beside it would take as much again.
        with job.phase("integrity"), checked_beside(source, job.control):
            pass
        yield source, watched


def refuse_changed(job: Job, watched: Watched) -> None:
    """Raises Refused SOURCE_CHANGED when the path names other bytes than those that are being read."""
    with job.phase("fingerprint"):
        changed = watched.changed(job.control)
    if changed:
        raise source_changed(watched.path)


_REST = (
    "Stop the application that writes to it, then run it again. To try out a file that is in use, dump it with"
    " dump_sqlite_to_json and load the dump."
)


def source_changed(path: Path) -> Refused:
    what = f"{path} was written to, or replaced, while it was read: what would be moved is not what it holds now."
    return Refused("SOURCE_CHANGED", what, _REST)


def refuse_changed_after_all(job: Job, watched: Watched) -> None:
    """The last look, when the rows are in the target already. Raises Failed SOURCE_CHANGED."""
    try:
        refuse_changed(job, watched)
    except Refused as refused:
        raise Failed("SOURCE_CHANGED", refused.message, refused.hint) from None


def plan_source(job: Job, source: Source, options: dict[str, Any], url: TargetUrl | None) -> tuple[MovePlan, Profile]:
    """Make the plan and keep it in the report; what it saw of the values, for the export of the same snapshot.

    Open findings don't raise here; see refuse_open_findings.
    """
    mode = options["schema_mode"]
    if mode == MODE_EXISTING and url is None:
        raise Refused(
            "TARGET_NEEDED", "Mode existing is planned against the target's tables.", "Name the target with --target."
        )
    with (
        job.phase("plan"),
        _target(url if mode == MODE_EXISTING else None, options["target_schema"]) as (target, rules),
    ):
        plan, profile = plan_with_profile(
            source,
            mode=mode,
            target_schema=options["target_schema"],
            target=target,
            choices=read_choices(options),
            excluded=tuple(options["exclude"]),
            control=job.control,
            rules=rules,
        )
    job.report.plan = plan
    return plan, profile


@contextlib.contextmanager
def _target(url: TargetUrl | None, schema: str) -> Iterator[tuple[TargetSchema | None, RowRules | None]]:
    """The target's schema and its rules for rows, before any load of ours, in one transaction that changes nothing."""
    if url is None:
        yield None, None
        return
    connection = connect(url, application_name="causeway:plan:0")
    try:
        with transaction(connection, "reading the target's schema") as cursor:
            found = before_our_load(cursor, read_schema(cursor, schema))
            yield found, RowRules(cursor, schema, checks_aside(cursor, schema))
    finally:
        connection.close()


def refuse_open_findings(plan: MovePlan) -> None:
    """Raises FindingsRefused when something needs a choice first."""
    if plan.open_findings:
        raise FindingsRefused(plan.open_findings)


def run_key_of(taken: Fingerprint, plan: MovePlan) -> str:
    """The same for the same bytes and the same plan, so that the same command goes on where it was killed."""
    text = f"{taken.digest}\n{plan.digest}\n{plan.target_schema}"
    return "cli-" + hashlib.sha256(text.encode()).hexdigest()[:16]


def read_plan_file(path: Path) -> MovePlan:
    """A plan from a file: a plan's document, or the manifest of an export. Raises Refused BAD_PLAN_FILE."""
    try:
        if path.stat().st_size > _MAX_PLAN_BYTES:
            raise ValueError("it is larger than 256 MB")
        document = json.loads(path.read_bytes())
        if isinstance(document, dict) and isinstance(document.get("plan"), dict):
            document = document["plan"]
        if not isinstance(document, dict):
            raise ValueError("it is no plan")
        return plan_from_document(document)
    except OSError:
        raise Refused("BAD_PLAN_FILE", f"{path} can't be read.", "Check the path.") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = str(error) if type(error) is ValueError else "it is no plan"
        hint = "Give a plan's document, or the manifest.json of an export."
        raise Refused("BAD_PLAN_FILE", f"{path} is no plan that can be used: {why}.", hint) from None
