"""What each section of a description may hold. One function a section: what was typed in, what is stored out.

Each raises FieldsRefused, which names the place of everything that is wrong at once. What only the host can tell (is
the file there? does the server answer?) is asked of its worker: see looks.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from controlplane.redaction import is_secret_name
from controlplane.registry.models import Application, Host, SchemaMode
from migrations_app.applications.description import DIALECTS, Pointing, PointingValues, fill_template
from migrations_app.engine.errors import Refused
from migrations_app.engine.verify.decrypt import SCHEMES
from migrations_app.services.change_windows import clean_recipients, clean_window
from migrations_app.services.driver_rules import NEED_FILE, clean_driver
from migrations_app.services.errors import FieldsRefused
from migrations_app.services.rule_parts import CONTROL, NAME, Errors, is_number, judge_command, path_problem
from migrations_app.services.sections import PURPOSES

HOST = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
LONGEST_WAIT_MS = 600_000
_SAMPLE = PointingValues(
    Path("/srv/app.db"), "db.example", 5432, "user", "word", "name", sslmode="verify-full", sslrootcert="system"
)

Rule = Callable[[Application, Mapping[str, Any], Host | None, Errors], dict[str, Any]]


def clean_section(
    application: Application, section: str, values: Mapping[str, Any], host: Host | None
) -> dict[str, Any]:
    """The section's fields as they are stored. host: the application's, None while no worker has described it."""
    errors: Errors = {}
    cleaned = _RULES[section](application, values, host if host is not None and host.is_known else None, errors)
    if errors:
        raise FieldsRefused(errors)
    return cleaned


def _basics(application: Application, values: Mapping[str, Any], host: Host | None, errors: Errors) -> dict[str, Any]:
    title, name = str(values.get("title", "")).strip(), str(values.get("host", "")).strip().lower()
    if len(title) > 200 or CONTROL.search(title):
        errors["title"] = "At most 200 characters, on one line."
    if not HOST.fullmatch(name):
        errors["host"] = "Small letters, digits, dots and hyphens: the name that its worker was started with."
    return {"title": title, "host": name}


def _source(application: Application, values: Mapping[str, Any], host: Host | None, errors: Errors) -> dict[str, Any]:
    path, wait = str(values.get("source_path", "")).strip(), values.get("busy_timeout_ms")
    problem = path_problem(path, host) if path else ""
    if problem:
        errors["source_path"] = problem
    elif path and (twin := _same_file(application, path)):
        errors["source_path"] = f"{twin} moves this file already."
    if not is_number(wait, 0, LONGEST_WAIT_MS):
        errors["busy_timeout_ms"] = f"From 0 to {LONGEST_WAIT_MS:,} milliseconds."
    return {"source_path": path, "busy_timeout_ms": wait}


def _same_file(application: Application, path: str) -> str:
    twins = Application.objects.filter(host=application.host, source_path=path).exclude(pk=application.pk)
    return twins.values_list("name", flat=True).first() or ""


def _target(application: Application, values: Mapping[str, Any], host: Host | None, errors: Errors) -> dict[str, Any]:
    schema, mode = str(values.get("target_schema", "")).strip(), str(values.get("schema_mode", ""))
    if not schema or len(schema.encode()) > 63 or CONTROL.search(schema):
        errors["target_schema"] = "A name of at most 63 bytes; public where you don’t know better."
    elif schema == "causeway" or schema.startswith(("pg_", "causeway_")) or schema == "information_schema":
        errors["target_schema"] = "That name is PostgreSQL’s or Causeway’s own."
    if mode not in SchemaMode.values:
        errors["schema_mode"] = "Choose who makes the tables."
    return {"target_schema": schema, "schema_mode": mode}


def _rehearsal(
    application: Application, values: Mapping[str, Any], host: Host | None, errors: Errors
) -> dict[str, Any]:
    environment = dict(values.get("environment") or {})
    for name, value in environment.items():
        if not VARIABLE.fullmatch(name) or CONTROL.search(str(value)):
            errors["environment"] = f"{name[:60]!r} is no line of the kind NAME=value."
        elif is_secret_name(name) and value:
            errors["environment"] = (
                f"{name} looks like a secret: set it in the operator’s file, which only the host can read."
            )
    return {"rehearsal": {**application.rehearsal, "environment": environment}}


def _processes(
    application: Application, values: Mapping[str, Any], host: Host | None, errors: Errors
) -> dict[str, Any]:
    rows = [dict(row) for row in values.get("processes") or []]
    seen: set[str] = set()
    ports: dict[int, str] = {}
    for number, row in enumerate(rows):
        name = str(row.get("name", ""))
        if not NAME.fullmatch(name):
            errors[f"processes.{number}.name"] = "Letters, digits, _ and -."
        elif name in seen:
            errors[f"processes.{number}.name"] = "Two processes can’t share a name."
        seen.add(name)
        judge_command(f"processes.{number}.command", str(row.get("command", "")), host, errors)
        _ports(number, row, ports, errors)
    commands = {purpose: name for purpose, name in (values.get("commands") or {}).items() if name}
    for purpose, name in commands.items():
        if purpose in PURPOSES:
            judge_command(f"commands.{purpose}", name, host, errors)
        else:
            errors[f"commands.{purpose}"] = "No such purpose."
    known = {row.get("name"): row for row in application.processes}
    return {"processes": [_kept(known.get(row["name"]), row) for row in rows], "commands": commands}


def _ports(number: int, row: Mapping[str, Any], taken: dict[int, str], errors: Errors) -> None:
    for field in ("port", "rehearsal_port"):
        port = row.get(field)
        if port is None:
            continue
        if not is_number(port, 1, 65535):
            errors[f"processes.{number}.{field}"] = "From 1 to 65535."
        elif port in taken:
            errors[f"processes.{number}.{field}"] = f"{port} is taken by {taken[port]}."
        else:
            taken[port] = f"{row.get('name')}’s {'second copy' if field == 'rehearsal_port' else 'port'}"
    if row.get("rehearsal_port") is not None and row.get("port") is None:
        errors[f"processes.{number}.port"] = "A second copy has a port only where the process has one."


def _pointing(application: Application, values: Mapping[str, Any], host: Host | None, errors: Errors) -> dict[str, Any]:
    given = values.get("pointing") or {}
    mechanism, file = given.get("mechanism", ""), str(given.get("file") or "").strip()
    if mechanism not in ("file", "environment"):
        errors["mechanism"] = "Choose how it is told."
    elif mechanism == "environment" and application.driver.get("kind") in NEED_FILE:
        errors["mechanism"] = (
            "Its processes get no variables from Causeway, which doesn’t start them: let it read a file."
        )
    if mechanism == "file" and not file:
        errors["file"] = "Which file?"
    elif file and (problem := path_problem(file, host)):
        errors["file"] = problem
    keys: dict[str, Any] = {}
    for number, row in enumerate(given.get("keys") or []):
        key = str(row.get("key", "")).strip()
        templates: dict[str, str] = {dialect: str(row.get(dialect, "")).strip() for dialect in DIALECTS}
        if key in keys:
            errors[f"keys.{number}.key"] = "It stands here twice."
        keys[key] = templates
        _templates(number, key, templates, errors)
    return {"pointing": {"mechanism": mechanism, "keys": keys, **({"file": file} if file else {})}}


def _templates(number: int, key: str, templates: Mapping[str, str], errors: Errors) -> None:
    """Each is filled with sample values, as it will be with real ones."""
    try:
        Pointing("environment", {key: templates}, Path("/nowhere"))
    except Refused as refused:
        errors[f"keys.{number}.key"] = refused.message
    for dialect in DIALECTS:
        try:
            fill_template(key, templates[dialect], dialect, _SAMPLE)
        except Refused as refused:
            errors[f"keys.{number}.{dialect}"] = str(refused)


def _health(application: Application, values: Mapping[str, Any], host: Host | None, errors: Errors) -> dict[str, Any]:
    processes = {row["name"] for row in application.processes if row.get("port")}
    rows = [dict(row) for row in values.get("endpoints") or []]
    seen: set[str] = set()
    for number, row in enumerate(rows):
        name = str(row.get("name", ""))
        if not NAME.fullmatch(name) or name in seen:
            errors[f"endpoints.{number}.name"] = "A name of its own: letters, digits, _ and -."
        seen.add(name)
        _asked(f"endpoints.{number}", row, processes, errors)
        if not is_number(row.get("status", 200), 100, 599):
            errors[f"endpoints.{number}.status"] = "From 100 to 599."
        if row.get("max_ms") is not None and not is_number(row["max_ms"], 1, 60_000):
            errors[f"endpoints.{number}.max_ms"] = "From 1 to 60,000."
    known = {row.get("name"): row for row in application.endpoints}
    identity = dict(values.get("identity") or {})
    if identity:
        _identity(identity, processes, errors)
        identity = _kept(application.identity, identity)
    return {"endpoints": [_kept(known.get(row.get("name")), row) for row in rows], "identity": identity}


def _asked(place: str, row: Mapping[str, Any], processes: set[str], errors: Errors) -> None:
    """Where a question goes: a process with a port, and a path on it."""
    if row.get("process") not in processes:
        errors[f"{place}.process"] = f"A process with a port: {', '.join(sorted(processes)) or 'there is none yet'}."
    _path(f"{place}.path", row.get("path"), errors)


def _path(place: str, path: Any, errors: Errors) -> None:
    if not re.fullmatch(r"/[^\s\x00-\x1f\x7f]{0,500}", str(path or "")):
        errors[place] = "It begins with / and has no blanks."


def _identity(identity: Mapping[str, Any], processes: set[str], errors: Errors) -> None:
    _asked("identity", identity, processes, errors)
    answers = identity.get("values") or {}
    if identity.get("field"):
        for dialect in DIALECTS:
            if not answers.get(dialect):
                errors[f"identity.{dialect}"] = "What does it answer then?"
        if answers.get("sqlite") and answers.get("sqlite") == answers.get("postgresql"):
            errors["identity.postgresql"] = "An answer that is the same on both tells nothing."
    canary = identity.get("canary")
    if not identity.get("field") and not canary:
        errors["identity.field"] = "Name a field of its answer, or rows to read through it: one of them must tell."
    if canary:
        for name in ("table", "key_field", "key_column"):
            if not canary.get(name):
                errors[f"canary.{name}"] = "Needed, to find the rows."
        _path("canary.path", canary.get("path"), errors)
    pool = identity.get("pool")
    if pool:
        _pool(pool, errors)


def _pool(pool: Mapping[str, Any], errors: Errors) -> None:
    """Where the application itself speaks of its pool, and what it shall be: either may be missing, not both."""
    if pool.get("path") or pool.get("size") or pool.get("used"):
        _path("pool.path", pool.get("path"), errors)
        if not (pool.get("size") or pool.get("used")):
            errors["pool.size"] = "Which field of its answer is the pool’s size?"
    elif not (pool.get("configured") or pool.get("most")):
        errors["pool.most"] = "Where does it say how large its pool is, or how many connections may it hold?"
    for name in ("configured", "most"):
        if pool.get(name) is not None and not is_number(pool[name], 1, 10_000):
            errors[f"pool.{name}"] = "From 1 to 10,000."
    if pool.get("configured") and pool.get("most") and pool["most"] < pool["configured"]:
        errors["pool.most"] = "No fewer than its pool’s size."


def _encrypted(
    application: Application, values: Mapping[str, Any], host: Host | None, errors: Errors
) -> dict[str, Any]:
    rows = [dict(row) for row in values.get("encrypted_columns") or []]
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(rows):
        place = f"encrypted_columns.{number}"
        where = (str(row.get("table", "")), str(row.get("column", "")))
        for field, text in zip(("table", "column"), where, strict=True):
            if not text or "\0" in text:
                errors[f"{place}.{field}"] = "As it is called in SQLite."
        if where in seen:
            errors[f"{place}.column"] = "It stands here twice."
        seen.add(where)
        if row.get("scheme") not in SCHEMES:
            errors[f"{place}.scheme"] = f"One of {', '.join(SCHEMES)}."
        if not VARIABLE.fullmatch(str(row.get("key_env", ""))):
            errors[f"{place}.key_env"] = "The name of the variable that holds the key, never the key."
        _pattern(f"{place}.pattern", str(row.get("pattern", "")), errors)
    return {"encrypted_columns": rows}


def _pattern(place: str, pattern: str, errors: Errors) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        errors[place] = f"No regular expression: {error}."
    if len(pattern) > 200:
        errors[place] = "At most 200 characters."


def _kept(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> dict[str, Any]:
    """The new entry; what pages don't ask for (a longer time-out, say) stays as it was described otherwise."""
    asked = {"name", "command", "order", "port", "rehearsal_port", "process", "path", "status", "json"}
    asked |= {"length_equals_table", "max_ms", "field", "values", "canary", "pool"}
    kept = {key: value for key, value in (old or {}).items() if key not in asked}
    return {**kept, **{key: value for key, value in new.items() if value is not None}}


def _operations(
    application: Application, values: Mapping[str, Any], host: Host | None, errors: Errors
) -> dict[str, Any]:
    return {
        "change_window": clean_window(values.get("change_window") or {}, errors),
        "recipients": clean_recipients(values.get("recipients") or [], errors),
    }


_RULES: dict[str, Rule] = {
    "basics": _basics,
    "source": _source,
    "target": _target,
    "rehearsal": _rehearsal,
    "processes": _processes,
    "driver": clean_driver,
    "pointing": _pointing,
    "health": _health,
    "encrypted": _encrypted,
    "operations": _operations,
}
