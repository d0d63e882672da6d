"""From a SQLite file to a plan that can be carried out, for the headless commands."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from migrations_app.engine.errors import FindingsRefused, Refused
from migrations_app.engine.fingerprint import Fingerprint, fingerprint
from migrations_app.engine.plan import MODE_EXISTING, MovePlan, plan_from_document
from migrations_app.engine.planning import make_plan
from migrations_app.engine.sqlite_source import Source, open_source
from migrations_app.engine.target import connect, read_target_schema, transaction
from migrations_app.engine.target_schema import TargetSchema
from migrations_app.engine.target_url import TargetUrl
from migrations_app.management.headless.arguments import read_choices
from migrations_app.management.headless.command import Job

_MAX_PLAN_BYTES = 256 << 20


@contextlib.contextmanager
def snapshot(job: Job, path: Path) -> Iterator[tuple[Source, Fingerprint]]:
    """The file, open in one read transaction, and what its bytes were at that moment.

    Other processes may write in WAL mode; then the snapshot is exact, but the fingerprint is not that of any one
    moment, which only means that a killed move will not be resumed. That is said.
    """
    with job.phase("fingerprint"):
        before = fingerprint(path, job.control)
    with open_source(path, job.control) as source:
        with job.phase("fingerprint"):
            after = fingerprint(path, job.control)
        if after.digest != before.digest:
            job.remark(f"{path} is being written to: what is moved is its state of this moment, not what comes later.")
        with job.phase("integrity"):
            source.check_integrity(job.control)
        yield source, after


def plan_source(job: Job, source: Source, options: dict[str, Any], url: TargetUrl | None) -> MovePlan:
    """Make the plan and keep it in the report. Open findings don't raise here; see refuse_open_findings."""
    mode = options["schema_mode"]
    if mode == MODE_EXISTING and url is None:
        raise Refused(
            "TARGET_NEEDED", "Mode existing is planned against the target's tables.", "Name the target with --target."
        )
    with job.phase("plan"):
        plan = make_plan(
            source,
            mode=mode,
            target_schema=options["target_schema"],
            target=_read_target(url, options["target_schema"]) if url is not None and mode == MODE_EXISTING else None,
            choices=read_choices(options),
            excluded=tuple(options["exclude"]),
            control=job.control,
        )
    job.report.plan = plan
    return plan


def _read_target(url: TargetUrl, schema: str) -> TargetSchema:
    connection = connect(url, application_name="causeway:plan:0")
    try:
        with transaction(connection, "reading the target's schema"):
            return read_target_schema(connection, schema)
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
