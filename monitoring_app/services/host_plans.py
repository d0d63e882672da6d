"""What is to be measured on an application's host, as the operator's file of that host allows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from controlplane.operator_file import OperatorFile, OperatorRefused, read_operator_file
from controlplane.registry.models import Application
from monitoring_app.models import Target
from monitoring_app.probes.disk import Volume
from monitoring_app.probes.endpoints import Endpoint
from monitoring_app.probes.host import HostPlan, LogFile, OwnPool, OwnWord, Prometheus

_HOST = "127.0.0.1"  # where the application's processes listen
_LONGEST_COMMAND = 8  # seconds: a command that measures a disk may not outlast the round
MOST_ENDPOINTS = 30


def host_plan(target: Target) -> HostPlan:
    """The plan for this host's worker. What the file refuses stands in it with the reason, and is then unknown."""
    application = target.application
    operator, problem = _operator()
    return HostPlan(
        key=str(target.uuid),
        hosts=operator.hosts if operator else (),
        volumes=tuple(_volume(entry, operator, problem) for entry in target.volumes),
        endpoints=_endpoints(application),
        access_log=_log(target.access_log, operator, problem),
        application_log=_log(target.application_log, operator, problem),
        prometheus=_prometheus(target.prometheus),
        own_word=_own_word(application),
        own_pool=_own_pool(application, target.application_pool),
    )


def _operator() -> tuple[OperatorFile | None, str]:
    try:
        return read_operator_file(Path(settings.CAUSEWAY_OPERATOR_FILE)), ""
    except OperatorRefused as refused:
        return None, f"the operator's file can't be used: {refused.message}"


def _allowed(path: str, operator: OperatorFile | None, problem: str) -> tuple[Path | None, str]:
    if operator is None:
        return None, problem
    try:
        return operator.inside_roots(path), ""
    except OperatorRefused as refused:
        return None, refused.message


def _volume(entry: Mapping[str, Any], operator: OperatorFile | None, problem: str) -> Volume:
    name = str(entry.get("name", ""))
    if entry.get("path"):
        path, why = _allowed(str(entry["path"]), operator, problem)
        return Volume(name, path=path, problem=why)
    if operator is None:
        return Volume(name, problem=problem)
    command = operator.commands.get(str(entry.get("command", "")))
    if command is None:
        return Volume(name, problem="it has no path, and the operator's file has no such command")
    return Volume(
        name,
        argv=command.with_python(),
        cwd=command.cwd,
        environment=tuple(command.environment.items()),
        seconds=min(command.timeout_seconds, _LONGEST_COMMAND),
    )


def _log(entry: Mapping[str, Any], operator: OperatorFile | None, problem: str) -> LogFile | None:
    if not entry.get("path"):
        return None
    path, why = _allowed(str(entry["path"]), operator, problem)
    return LogFile(path or Path("/nonexistent"), str(entry.get("format", "")), why)


def _prometheus(entry: Mapping[str, Any]) -> Prometheus | None:
    if not entry.get("url"):
        return None
    return Prometheus(
        str(entry["url"]), str(entry.get("requests", "http_requests_total")), str(entry.get("status_label", "status"))
    )


def _port(application: Application, process: object) -> int:
    """Where a process of the application listens; 0 where it doesn't."""
    found = (one.get("port") for one in application.processes if one.get("name") == process)
    return int(next(found, 0) or 0)


def _endpoints(application: Application) -> tuple[Endpoint, ...]:
    made = []
    for entry in application.endpoints[:MOST_ENDPOINTS]:
        port = _port(application, entry.get("process"))
        if port:
            seconds = float(entry.get("timeout_seconds") or 3.0)
            status = int(entry.get("status") or 200)
            made.append(Endpoint(str(entry["name"]), _HOST, port, str(entry["path"]), status, min(seconds, 5.0)))
    return tuple(made)


def _own_word(application: Application) -> OwnWord | None:
    identity = application.identity
    port = _port(application, identity.get("process"))
    if not port or not identity.get("field"):
        return None
    values = identity.get("values") or {}
    return OwnWord(
        _HOST,
        port,
        str(identity.get("path", "/health")),
        str(identity["field"]),
        str(values.get("postgresql", "postgresql")),
    )


def _own_pool(application: Application, entry: Mapping[str, Any]) -> OwnPool | None:
    port = _port(application, entry.get("process"))
    if not port or not entry.get("used") or not entry.get("size"):
        return None
    return OwnPool(_HOST, port, str(entry.get("path", "/health")), str(entry["used"]), str(entry["size"]))
