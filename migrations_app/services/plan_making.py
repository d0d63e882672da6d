"""A worker on the application's host makes a requested plan: reads the source, and in mode `existing` lets the
application make its schema in a scratch database, so that the plan is made against what will really be there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.redaction import redact
from controlplane.registry.models import Application, SchemaMode
from migrations_app.applications.commands import run_command
from migrations_app.applications.description import PointingValues
from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError, Failed, Refused
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.planning.plan_existing_rules import RowRules
from migrations_app.engine.planning.planning import make_plan as plan_move
from migrations_app.engine.source.integrity_beside import checked_beside
from migrations_app.engine.source.still import open_still
from migrations_app.engine.target.scratch import create_database, drop_database
from migrations_app.engine.target.target import connect
from migrations_app.engine.target.target import transaction as target_transaction
from migrations_app.engine.target.target_catalog import read_schema
from migrations_app.engine.target.target_digest import digest_of_schema
from migrations_app.engine.target.target_schema import TargetSchema
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.models import Finding, MigrationPlan
from migrations_app.models.states import PlanState
from migrations_app.services.execution import this_worker
from migrations_app.services.heartbeat import Heartbeat
from migrations_app.services.plan_online import look_online
from migrations_app.steps import workplace
from migrations_app.steps.versions import version_now

logger = logging.getLogger("causeway.plans")


def work_on_plan(*, plan_id: int) -> bool:
    """Make the plan if it is wanted and free; answers whether this call made it."""
    plan = _claim(plan_id)
    if plan is None:
        return False
    control = Control()
    with Heartbeat(control, lambda: _renew(plan)):
        try:
            move, profile, target_digest = _make(plan, control)
            version = version_now(plan.application, control) or ""
        except EngineError as error:
            _refuse(plan, error.code, redact(str(error)))
            return True
        except Exception as error:
            logger.exception("plan %s errored", plan.pk)
            message = f"A fault of Causeway itself ({type(error).__name__}) stopped the planning; see the worker's log."
            _refuse(plan, "ERRORED", message)
            return True
    _store(plan, move, profile, target_digest, version)
    return True


def _claim(plan_id: int) -> MigrationPlan | None:
    now = timezone.now()
    plan = MigrationPlan.objects.select_related("application").get(pk=plan_id)
    if plan.state != PlanState.MAKING or (plan.lease_expires_at is not None and plan.lease_expires_at > now):
        return None
    claimed = MigrationPlan.objects.filter(pk=plan_id, state=PlanState.MAKING, lease_token=plan.lease_token).update(
        lease_token=F("lease_token") + 1,
        lease_holder=this_worker(),
        lease_expires_at=now + timedelta(seconds=settings.CAUSEWAY_LEASE_SECONDS),
        attempts=F("attempts") + 1,
    )
    if claimed != 1:
        return None
    plan.refresh_from_db()
    if plan.attempts > settings.CAUSEWAY_MAX_ATTEMPTS:
        _refuse(plan, "ATTEMPTS_EXHAUSTED", "The worker that made this plan died three times; see its log.")
        return None
    return plan


def _renew(plan: MigrationPlan) -> str:
    kept = MigrationPlan.objects.filter(pk=plan.pk, state=PlanState.MAKING, lease_token=plan.lease_token).update(
        lease_expires_at=timezone.now() + timedelta(seconds=settings.CAUSEWAY_LEASE_SECONDS)
    )
    return "" if kept == 1 else "Another worker makes this plan."


def _make(plan: MigrationPlan, control: Control) -> tuple[MovePlan, dict[str, Any], str]:
    application = plan.application
    path = workplace.live_source(application)
    still = settings.CAUSEWAY_ARTIFACTS_DIR / application.name / f"plan-{plan.pk}"
    with (
        _target_schema(plan, control) as (target, rules),
        open_still(path, control, still) as source,
        checked_beside(source, control),
    ):
        move = plan_move(
            source,
            mode=application.schema_mode,
            target_schema=application.target_schema,
            target=target,
            choices=tuple(sorted(plan.choices.items())),
            excluded=tuple(plan.excluded),
            encrypted=workplace.encrypted_columns(application),
            control=control,
            rules=rules,
        )
        profile = {
            "tables": {table.name: source.count(table.name) for table in move.tables if table.is_loaded},
            "bytes": path.stat().st_size,
            **look_online(application, source, move, control),
        }
    return move, profile, digest_of_schema(target) if target is not None else ""


@contextmanager
def _target_schema(plan: MigrationPlan, control: Control) -> Iterator[tuple[TargetSchema | None, RowRules | None]]:
    """What the application's schema command makes, read from a scratch database that is dropped again."""
    if plan.application.schema_mode != SchemaMode.EXISTING:
        yield None, None
        return
    server = workplace.rehearsal_server(plan.application)
    scratch = server.with_database(f"causeway_plan_{plan.pk}")
    drop_database(server, scratch.database)
    create_database(server, scratch.database)
    try:
        _run_schema_command(plan.application, scratch, control)
        connection = connect(scratch, application_name="causeway:plan:0")
        try:
            with target_transaction(connection, "reading the application's schema") as cursor:
                name = plan.application.target_schema
                yield replace(read_schema(cursor, name), fresh=True), RowRules(cursor, name)
        finally:
            connection.close()
    finally:
        drop_database(server, scratch.database)


def _run_schema_command(application: Application, url: TargetUrl, control: Control) -> None:
    command = workplace.command_of(application, "schema")
    if command is None:
        raise Refused(
            "NO_SCHEMA_COMMAND",
            "The application makes its own schema, but no command 'schema' is named for it.",
            "Name one of the operator's commands (alembic upgrade head, manage.py migrate).",
        )
    values = PointingValues.of(url, workplace.live_source(application))
    result = run_command(command, workplace.environment_for(application, "postgresql", values), control=control)
    if not result.succeeded:
        raise Failed(
            "SCHEMA_COMMAND_FAILED",
            f"{command.name} ended with {result.exit_status}: {result.output[-500:]}",
            "Mend it in the application, then ask for the plan again.",
        )


def _store(plan: MigrationPlan, move: MovePlan, profile: dict[str, Any], target_digest: str, version: str) -> None:
    with transaction.atomic():
        stored = _finish(
            plan,
            state=PlanState.DRAFT,
            document=move.to_document(),
            digest=move.digest,
            source_schema_digest=move.schema_digest,
            target_schema_digest=target_digest,
            application_version=version,
            profile=profile,
            error_code="",
            error_message="",
        )
        if not stored:
            return
        Finding.objects.bulk_create(
            Finding(
                plan=plan,
                code=finding.code,
                severity=finding.severity,
                table=finding.table,
                column=finding.column,
                row_key=finding.row_key,
                count=finding.count,
                message=finding.message,
                choices=list(finding.choices),
                choice=finding.choice,
            )
            for finding in move.findings
        )
        record(
            action="plan.made",
            actor="system",
            obj=plan,
            application=plan.application.name,
            payload={"revision": plan.revision, "digest": move.digest, "findings": len(move.findings)},
        )


def _refuse(plan: MigrationPlan, code: str, message: str) -> None:
    with transaction.atomic():
        if _finish(plan, state=PlanState.REFUSED, error_code=code, error_message=message):
            record(
                action="input.refused",
                actor="system",
                obj=plan,
                application=plan.application.name,
                payload={"revision": plan.revision, "code": code},
            )


def _finish(plan: MigrationPlan, **fields: Any) -> bool:
    changed = MigrationPlan.objects.filter(pk=plan.pk, state=PlanState.MAKING, lease_token=plan.lease_token).update(
        lease_holder="", lease_expires_at=None, **fields
    )
    return changed == 1
