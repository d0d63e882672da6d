"""Turns a description into what the supervisor starts: resolved commands and complete environments."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping

from migrations_app.applications import configuration
from migrations_app.applications.commands import minimal_environment
from migrations_app.applications.description import ApplicationDescription, Dialect, PointingValues, ProcessSpec
from migrations_app.applications.supervision import Launch, LaunchProcess
from migrations_app.engine.errors import Refused


def make_launch(description: ApplicationDescription, dialect: Dialect, values: PointingValues | None) -> Launch:
    """What start() launches. It holds the processes' environments: write it 0600 only.

    The digest leaves out what is inherited, so that another worker's PATH does not make it another launch. Raises
    Refused ENVIRONMENT_OVERRIDES_FILE, PORT_MISSING, VALUE_MISSING, BAD_TEMPLATE.
    """
    pointing: Mapping[str, str] = {}
    if description.pointing.mechanism == "environment":
        pointing = description.pointing.filled(dialect, values or PointingValues(description.source_path))
    entries = []
    essence: list[object] = [description.name, dialect, description.host]
    for process in description.in_start_order():
        declared = _declared(description, process)
        essence.append([process.name, process.argv, str(process.command.cwd), process.port, declared, dict(pointing)])
        entries.append(
            LaunchProcess(
                name=process.name,
                argv=process.argv,
                cwd=str(process.command.cwd),
                environment=minimal_environment(declared, pointing),
                port=process.port,
                stop_timeout_seconds=process.stop_timeout_seconds,
                start_timeout_seconds=process.start_timeout_seconds,
            )
        )
    return Launch(
        launch_id=secrets.token_hex(8),
        application=description.name,
        instance=f"app-{secrets.token_hex(8)}",
        dialect=dialect,
        host=description.host,
        digest=hashlib.sha256(json.dumps(essence, sort_keys=True).encode()).hexdigest(),
        processes=tuple(entries),
    )


def refuse_other_configuration(description: ApplicationDescription, dialect: Dialect) -> None:
    """An application may start only on the database that its configuration names. Raises Refused."""
    said = configuration.current(description.pointing)
    if said != dialect:
        raise Refused(
            "CONFIGURATION_SAYS_OTHERWISE",
            f"{description.name} shall start on {dialect}, but its configuration points at {said}.",
            "Switch the configuration first.",
        )


def _declared(description: ApplicationDescription, process: ProcessSpec) -> dict[str, str]:
    declared = {**process.command.environment, **description.environment}
    doubled = sorted(set(declared) & set(description.pointing.keys))
    if doubled and description.pointing.mechanism == "file":
        raise Refused(
            "ENVIRONMENT_OVERRIDES_FILE",
            f"The environment of process {process.name} sets {', '.join(doubled)}, which would win over the "
            "configuration file that is to be switched.",
            "Remove it from the operator's file, or choose the mechanism 'environment'.",
        )
    return declared
