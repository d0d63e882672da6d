"""An application's description in a private file, for the day that rollback.sh has to stop and start it by its driver.

The file holds the environments of commands: 0600. Endpoints are left out but for the application's own word: the
script asks what it needs itself.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from migrations_app.applications.description import (
    ApplicationDescription,
    CommandSpec,
    Identity,
    Pointing,
    ProcessSpec,
)
from migrations_app.applications.drivers.specs import (
    BlueGreen,
    ByCommands,
    ByPerson,
    ByProcess,
    ByUnits,
    DriverSpec,
    Upstream,
)
from migrations_app.applications.supervision import write_private


def save(path: Path, description: ApplicationDescription, state_dir: Path) -> None:
    """Write it 0600. The canary is left out: it would need the target."""
    identity = description.identity
    document = {
        "name": description.name,
        "source_path": description.source_path,
        "processes": [asdict(process) for process in description.processes],
        "pointing": asdict(description.pointing),
        "identity": {**asdict(identity), "canary": None} if identity else None,
        "host": description.host,
        "allowed_hosts": description.allowed_hosts,
        "environment": dict(description.environment),
        "busy_timeout_ms": description.busy_timeout_ms,
        "driver": asdict(description.driver),
        "state_dir": state_dir,
    }
    write_private(path, json.dumps(document, default=str).encode())


def load(path: Path) -> tuple[ApplicationDescription, Path]:
    """The description and the instance's folder. Raises OSError, ValueError, KeyError or TypeError."""
    found: dict[str, Any] = json.loads(path.read_bytes())
    pointing = found["pointing"]
    file = pointing.pop("file")
    return (
        ApplicationDescription(
            name=found["name"],
            source_path=Path(found["source_path"]),
            processes=tuple(
                ProcessSpec(**{**process, "command": _command(process["command"])}) for process in found["processes"]
            ),
            pointing=Pointing(
                mechanism=pointing["mechanism"],
                keys=pointing["keys"],
                state_file=Path(pointing["state_file"]),
                file=Path(file) if file else None,
            ),
            identity=Identity(**found["identity"]) if found["identity"] else None,
            host=found["host"],
            allowed_hosts=tuple(found["allowed_hosts"]),
            environment=found["environment"],
            busy_timeout_ms=found["busy_timeout_ms"],
            driver=_driver(found["driver"]),
        ),
        Path(found["state_dir"]),
    )


def _driver(found: dict[str, Any]) -> DriverSpec:
    kind = found["kind"]
    if kind == "systemd":
        return ByUnits(tuple(found["units"]), found["manager"], Path(found["program"]), Path(found["control_groups"]))
    if kind == "command":
        signal = found["signal"]
        start, stop, status = (_command(found[purpose]) for purpose in ("start", "stop", "status"))
        return ByCommands(start, stop, status, _command(signal) if signal else None)
    if kind == "manual":
        return ByPerson(found["instructions"])
    if kind == "blue_green":
        upstream = found["upstream"]
        given = {**upstream, "file": Path(upstream["file"]), "reload": _command(upstream["reload"])}
        return BlueGreen(found["blue_ports"], found["green_ports"], Upstream(**given))
    if kind == "process":
        return ByProcess()
    raise ValueError(f"there is no driver {kind!r}")


def _command(found: dict[str, Any]) -> CommandSpec:
    return CommandSpec(**{**found, "argv": tuple(found["argv"]), "cwd": Path(found["cwd"])})
