"""Where a run works: its folder, its source file, its target, its instance of the application.

A rehearsal works on a copy of the source, a scratch database and a second instance of the application on other
ports; everything else is the same code.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings

from controlplane.registry.models import Application
from controlplane.registry.secrets import Secret, SecretUnreadable
from migrations_app.applications import configuration
from migrations_app.applications.description import (
    ApplicationDescription,
    Canary,
    CommandSpec,
    Dialect,
    EndpointCheck,
    Identity,
    Pointing,
    PointingValues,
    Pool,
    ProcessSpec,
    for_rehearsal,
)
from migrations_app.applications.dotenv import effective
from migrations_app.applications.drivers.choosing import make_driver
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.reading import read_driver
from migrations_app.applications.drivers.specs import BlueGreen
from migrations_app.applications.operator_file import OperatorFile, read_operator_file
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import EncryptedColumn, MovePlan, plan_from_document
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url
from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import RunKind


def run_directory(run: MigrationRun) -> Path:
    """The run's folder for artefacts, private to the service."""
    path = settings.CAUSEWAY_ARTIFACTS_DIR / run.application.name / f"run-{run.pk}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(path)


def reading_directory(run: MigrationRun) -> Path:
    """Where a copy of a file in use may lie while it is read; one step of a run reads at a time."""
    return run_directory(run) / "reading"


def operator_file() -> OperatorFile:
    return read_operator_file(Path(settings.CAUSEWAY_OPERATOR_FILE))


def live_source(application: Application) -> Path:
    """The application's SQLite file. Raises Refused PATH_NOT_ALLOWED when it lies outside the allowed roots."""
    return operator_file().inside_roots(application.source_path)


def source_of(run: MigrationRun) -> Path:
    """The file that this run moves: the application's own, or the rehearsal's copy."""
    if run.kind == RunKind.REHEARSAL:
        return run_directory(run) / "copy" / Path(run.application.source_path).name
    return live_source(run.application)


def target_of(application: Application) -> TargetUrl:
    """The target. Raises Refused SECRET_UNREADABLE, and what parse_target_url() raises."""
    return _stored_url(application, "target_url")


def rehearsal_server(application: Application) -> TargetUrl:
    """Where scratch databases are made: the declared server, else the target's own."""
    declared = bool(_stored(application, "rehearsal_target_url"))
    return _stored_url(application, "rehearsal_target_url" if declared else "target_url")


def _stored(application: Application, name: str) -> Secret:
    try:
        secret: Secret = getattr(application, name)
    except SecretUnreadable as unreadable:
        raise Refused("SECRET_UNREADABLE", str(unreadable), unreadable.hint) from None
    return secret


def _stored_url(application: Application, name: str) -> TargetUrl:
    text = _stored(application, name).reveal()
    if not text:
        raise Refused(
            "DESCRIPTION_INCOMPLETE",
            f"{application.name} has no target yet.",
            "Give it one on the application's page.",
        )
    return allowed_target(text)


def allowed_target(text: str) -> TargetUrl:
    """An address that came through the web. One on this machine needs no entry, so the file isn't read for it.

    Raises Refused HOST_NOT_ALLOWED, and what parse_target_url() raises.
    """
    folder = settings.CAUSEWAY_CERTIFICATES_DIR
    url = parse_target_url(text, certificates=folder, allow_unverified_remote=True)
    return url if url.is_local else operator_file().target(text, folder)


def target_url_of(run: MigrationRun) -> TargetUrl:
    """The database that this run fills: the target, or the rehearsal's scratch database."""
    if run.kind == RunKind.REHEARSAL:
        return rehearsal_server(run.application).with_database(f"causeway_rehearsal_{run.pk}")
    return target_of(run.application)


def move_plan(plan: MigrationPlan) -> MovePlan:
    """The engine's plan. Raises Refused PLAN_DAMAGED when the stored document was altered."""
    try:
        return plan_from_document(plan.document or {})
    except ValueError as error:
        raise Refused("PLAN_DAMAGED", f"The stored plan can't be used: {error}.", "Make a new revision.") from None


def pointing_values(run: MigrationRun) -> PointingValues:
    """What the templates of the configuration are filled with."""
    return PointingValues.of(target_url_of(run), source_of(run))


def instance_directory(run: MigrationRun) -> Path:
    """The driver's folder: one for the production instance, one for each rehearsal's."""
    if run.kind == RunKind.REHEARSAL:
        return run_directory(run) / "instance"
    return production_directory(run.application)


def production_directory(application: Application) -> Path:
    path = settings.CAUSEWAY_ARTIFACTS_DIR / application.name / "instance"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(path)


def driver_of(run: MigrationRun) -> Driver:
    """Of the instance that this run stops, points and starts; a rehearsal's second copy is always our own processes."""
    return make_driver(description_of(run), instance_directory(run))


def production_driver(application: Application) -> Driver:
    return make_driver(describe(application), production_directory(application))


def description_of(run: MigrationRun) -> ApplicationDescription:
    """The instance that this run stops, points and starts."""
    description = describe(run.application)
    if run.kind != RunKind.REHEARSAL:
        return description
    ports = {p["name"]: p["rehearsal_port"] for p in run.application.processes if p.get("rehearsal_port")}
    return for_rehearsal(
        description,
        source_path=source_of(run),
        state_dir=instance_directory(run),
        ports=ports,
        environment=run.application.rehearsal.get("environment", {}),
    )


def describe(application: Application) -> ApplicationDescription:
    """The production instance, from its row and the operator's file. Raises Refused for what is not allowed."""
    operator = operator_file()

    def named(purpose: str) -> CommandSpec | None:
        name = application.commands.get(purpose)
        return operator.command(name) if name else None

    processes = tuple(_process(operator, entry) for entry in application.processes)
    pointing = _pointing(application, operator)
    driver = read_driver(application.driver, operator, {p.name: p.port for p in processes if p.port is not None})
    if isinstance(driver, BlueGreen) and configuration.current(pointing) == "postgresql":
        processes = tuple(replace(p, port=driver.green_ports.get(p.name, p.port)) for p in processes)
    return ApplicationDescription(
        name=application.name,
        source_path=operator.inside_roots(application.source_path),
        processes=processes,
        pointing=pointing,
        endpoints=tuple(EndpointCheck(**entry) for entry in application.endpoints),
        identity=_identity(application.identity),
        allowed_hosts=operator.hosts,
        busy_timeout_ms=application.busy_timeout_ms,
        before_stop=named("before_stop"),
        after_start=named("after_start"),
        driver=driver,
    )


def command_of(application: Application, purpose: str) -> CommandSpec | None:
    """The operator's command for a purpose ('schema', 'schema_heads', 'driver', 'version'); None when none is named."""
    name = application.commands.get(purpose)
    return operator_file().command(name) if name else None


def pointing_environment(run: MigrationRun, dialect: Dialect) -> dict[str, str]:
    """The keys that point a command of the application at a database; the process environment wins over its file."""
    return environment_for(run.application, dialect, pointing_values(run))


def environment_for(application: Application, dialect: Dialect, values: PointingValues) -> dict[str, str]:
    return describe(application).pointing.filled(dialect, values)


def encrypted_columns(application: Application) -> tuple[EncryptedColumn, ...]:
    return tuple(EncryptedColumn(**entry) for entry in application.encrypted_columns)


def key_environment(application: Application) -> dict[str, str]:
    """The variables that hold the application's encryption keys: from the worker's environment, else its own file."""
    names = {column.key_env for column in encrypted_columns(application)}
    found: dict[str, str] = {}
    pointing = describe(application).pointing
    if pointing.file is not None and pointing.file.is_file():
        found.update({name: value for name, value in effective(pointing.file.read_bytes()).items() if name in names})
    found.update({name: os.environ[name] for name in names if name in os.environ})
    return found


def _process(operator: OperatorFile, entry: dict[str, Any]) -> ProcessSpec:
    options = {key: entry[key] for key in ("stop_timeout_seconds", "start_timeout_seconds") if key in entry}
    return ProcessSpec(
        name=entry["name"],
        command=operator.command(entry["command"]),
        order=entry.get("order", 0),
        port=entry.get("port"),
        **options,
    )


def _pointing(application: Application, operator: OperatorFile) -> Pointing:
    given = application.pointing
    file = given.get("file")
    return Pointing(
        mechanism=given["mechanism"],
        keys=given["keys"],
        state_file=production_directory(application) / "pointing.json",
        file=operator.inside_roots(file) if file else None,
    )


def _identity(given: dict[str, Any]) -> Identity | None:
    if not given:
        return None
    canary, pool = given.get("canary"), given.get("pool")
    return Identity(**{**given, "canary": Canary(**canary) if canary else None, "pool": Pool(**pool) if pool else None})
