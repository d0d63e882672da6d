"""What the section “Stop and start” may hold: one function a kind of driver (docs/reference/drivers.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controlplane.registry.models import Application, Host
from migrations_app.applications.drivers.reading import KINDS
from migrations_app.applications.drivers.specs import UNIT
from migrations_app.services.rule_parts import Errors, is_number, judge_command, path_problem

# Those whose processes get no variables of ours: only a file can point them at a database.
NEED_FILE = frozenset({"systemd", "command", "manual"})
TOLD_BY_VARIABLES = (
    "It is told its database by variables of its processes, which only a start by Causeway gives them: "
    "let it read a file first (section “Configuration”)."
)


def clean_driver(
    application: Application, values: Mapping[str, Any], host: Host | None, errors: Errors
) -> dict[str, Any]:
    """{"driver": …} with what its kind needs and nothing else; {} is our own supervisor."""
    given = dict(values.get("driver") or {})
    kind = str(given.get("kind") or "process")
    if kind not in KINDS:
        errors["kind"] = "Choose who stops and starts it."
        return {"driver": {}}
    if kind in NEED_FILE and application.pointing.get("mechanism") == "environment":
        errors["kind"] = TOLD_BY_VARIABLES
    return {"driver": _CLEAN[kind](application, given, host, errors)}


def _process(application: Application, given: Mapping[str, Any], host: Host | None, errors: Errors) -> dict[str, Any]:
    return {}


def _systemd(application: Application, given: Mapping[str, Any], host: Host | None, errors: Errors) -> dict[str, Any]:
    units = [str(name) for name in given.get("units") or []]
    if not units:
        errors["units"] = "Name its units, in the order in which they are started."
    for name in units:
        if not UNIT.fullmatch(name):
            errors["units"] = f"{name[:80]!r} is not the whole name of a unit: tiny-web.service, say."
        elif host is not None and name not in host.units:
            allowed = ", ".join(host.units) or "none"
            errors["units"] = f"The operator of {host.name} does not allow {name}. Allowed: {allowed}."
    if len(set(units)) != len(units):
        errors["units"] = "A unit stands here twice."
    manager = "user" if given.get("manager") == "user" else "system"
    return {"kind": "systemd", "units": units, "manager": manager}


def _command(application: Application, given: Mapping[str, Any], host: Host | None, errors: Errors) -> dict[str, Any]:
    named = {purpose: str(given.get(purpose) or "").strip() for purpose in ("start", "stop", "status", "signal")}
    for purpose in ("start", "stop", "status"):
        judge_command(purpose, named[purpose], host, errors)
    if named["signal"]:
        judge_command("signal", named["signal"], host, errors)
    return {"kind": "command", **{purpose: name for purpose, name in named.items() if name}}


def _manual(application: Application, given: Mapping[str, Any], host: Host | None, errors: Errors) -> dict[str, Any]:
    said = " ".join(str(given.get("instructions") or "").split())
    if len(said) > 500:
        errors["instructions"] = "At most 500 characters."
    return {"kind": "manual", "instructions": said}


def _blue_green(
    application: Application, given: Mapping[str, Any], host: Host | None, errors: Errors
) -> dict[str, Any]:
    with_port = {row["name"]: row["port"] for row in application.processes if row.get("port")}
    taken = {int(row[key]) for row in application.processes for key in ("port", "rehearsal_port") if row.get(key)}
    ports: dict[str, int] = {}
    for name in with_port:
        port = (given.get("ports") or {}).get(name)
        place = f"ports.{name}"
        if port is None or not is_number(port, 1, 65535):
            errors[place] = "A port of its own, from 1 to 65535."
        elif port in taken:
            errors[place] = f"{port} is taken by a process of this application."
        else:
            taken.add(port)
            ports[name] = port
    if not with_port:
        errors["kind"] = "No process has a port, so there is no traffic to move: describe the processes first."
    return {
        "kind": "blue_green",
        "ports": ports,
        "upstream": _upstream(dict(given.get("upstream") or {}), set(with_port), host, errors),
    }


def _upstream(given: Mapping[str, Any], processes: set[str], host: Host | None, errors: Errors) -> dict[str, Any]:
    file, template = str(given.get("file") or "").strip(), str(given.get("template") or "").replace("\r\n", "\n")
    if not file:
        errors["upstream.file"] = "Which file says where the traffic goes?"
    elif problem := path_problem(file, host):
        errors["upstream.file"] = problem
    if "{port}" not in template:
        errors["upstream.template"] = "Without {port} it would say the same for both instances."
    elif len(template) > 2000 or "\0" in template:
        errors["upstream.template"] = "At most 2,000 characters."
    if given.get("process") not in processes:
        errors["upstream.process"] = "Whose port do people reach through the proxy?"
    judge_command("upstream.reload", str(given.get("reload") or ""), host, errors)
    front = given.get("front_port")
    if front is not None and not is_number(front, 1, 65535):
        errors["upstream.front_port"] = "From 1 to 65535, or empty."
    kept = {"file": file, "template": template, "process": given.get("process"), "reload": given.get("reload")}
    return {**kept, "front_port": front} if front is not None else kept


_CLEAN: dict[str, Callable[[Application, Mapping[str, Any], Host | None, Errors], dict[str, Any]]] = {
    "process": _process,
    "systemd": _systemd,
    "command": _command,
    "manual": _manual,
    "blue_green": _blue_green,
}
