"""From what is stored about an application and what the operator allows to a driver's plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrations_app.applications.drivers.specs import (
    BlueGreen,
    ByCommands,
    ByPerson,
    ByProcess,
    ByUnits,
    DriverSpec,
    Upstream,
)
from migrations_app.applications.operator_file import OperatorFile
from migrations_app.engine.errors import Refused

KINDS = ("process", "systemd", "command", "manual", "blue_green")


def read_driver(document: Mapping[str, Any], operator: OperatorFile, blue_ports: Mapping[str, int]) -> DriverSpec:
    """{} is {"kind": "process"}. blue_ports: the processes' own, {name: port}.

    Raises Refused UNIT_NOT_ALLOWED, UNKNOWN_COMMAND, PATH_NOT_ALLOWED, BAD_DRIVER.
    """
    kind = document.get("kind", "process")
    try:
        if kind == "process":
            return ByProcess()
        if kind == "systemd":
            units = tuple(operator.unit(str(name)) for name in document["units"])
            return ByUnits(units, "user" if document.get("manager") == "user" else "system")
        if kind == "command":
            start, stop, status = (operator.command(document[purpose]) for purpose in ("start", "stop", "status"))
            signal = document.get("signal")
            return ByCommands(start, stop, status, operator.command(signal) if signal else None)
        if kind == "manual":
            return ByPerson(str(document.get("instructions", "")))
        if kind == "blue_green":
            green = {str(name): int(port) for name, port in document["ports"].items()}
            return BlueGreen(dict(blue_ports), green, _upstream(document["upstream"], operator))
    except (KeyError, TypeError, ValueError) as error:
        raise _bad(f"{kind}: {type(error).__name__} at {error}") from None
    raise _bad(f"there is no kind {str(kind)[:40]!r}")


def _upstream(given: Mapping[str, Any], operator: OperatorFile) -> Upstream:
    front = given.get("front_port")
    return Upstream(
        file=operator.inside_roots(given["file"]),
        template=str(given["template"]),
        process=str(given["process"]),
        reload=operator.command(given["reload"]),
        front_port=int(front) if front else None,
    )


def _bad(what: str) -> Refused:
    return Refused(
        "BAD_DRIVER",
        f"How the application is stopped and started can't be read: {what}.",
        "Fill in “Stop and start” on the application's page anew.",
    )
