"""What the drivers know about an application: plain data, built by steps from rows and the operator's file.

Whatever may hold a secret (environments, passwords) is kept out of repr(), so that no log or traceback shows it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import field as data_field
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlencode

from migrations_app.applications.command_spec import CommandSpec as CommandSpec
from migrations_app.applications.drivers.specs import ByProcess, DriverSpec
from migrations_app.engine.errors import Refused
from migrations_app.engine.target.target_url import TargetUrl

Dialect = Literal["sqlite", "postgresql"]
Mechanism = Literal["file", "environment"]
DIALECTS: tuple[Dialect, Dialect] = ("sqlite", "postgresql")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")


@dataclass(frozen=True)
class ProcessSpec:
    """One process of the application. Started in rising `order`, stopped in falling order."""

    name: str
    command: CommandSpec
    order: int = 0
    port: int | None = None  # it is up when it listens here; without a port when it lives on for a moment
    stop_timeout_seconds: float = 20
    start_timeout_seconds: float = 60

    @property
    def argv(self) -> tuple[str, ...]:
        return self.command.resolved_argv(self.port)


@dataclass(frozen=True)
class PointingValues:
    """What the templates are filled with; all as people write them, not percent-encoded."""

    path: Path | None = None  # of the SQLite file
    host: str = ""
    port: int = 5432
    user: str = ""
    password: str = data_field(default="", repr=False)
    database: str = ""
    sslmode: str = ""
    sslrootcert: str = ""

    @property
    def url(self) -> str:
        """postgresql://user:password@host:port/database, percent-encoded, with what TLS needs."""
        tls = {"sslmode": self.sslmode, "sslrootcert": self.sslrootcert}
        query = urlencode({name: value for name, value in tls.items() if value})
        return (
            f"postgresql://{quote(self.user, safe='')}:{quote(self.password, safe='')}"
            f"@{_url_host(self.host)}:{self.port}/{quote(self.database, safe='')}{f'?{query}' if query else ''}"
        )

    @classmethod
    def of(cls, target: TargetUrl, path: Path) -> PointingValues:
        """The values for a target and the SQLite file. sslmode "prefer" is every driver's default: left out."""
        return cls(
            path=path,
            host=target.host,
            port=target.port,
            user=target.user,
            password=target.password,
            database=target.database,
            sslmode="" if target.sslmode == "prefer" else target.sslmode,
            sslrootcert=target.sslrootcert,
        )


@dataclass(frozen=True)
class Pointing:
    """How the application is told which database to use.

    keys: {KEY: {"sqlite": template, "postgresql": template}}. Templates use {path} {url} {host} {port} {user}
    {password} {database} {sslmode} {sslrootcert} {dialect}. In a template that is a URL, values are percent-encoded.
    mechanism "file": the keys' lines in `file` are changed. "environment": the processes get them, no file changes.
    """

    mechanism: Mechanism
    keys: Mapping[str, Mapping[str, str]]
    state_file: Path  # which database was chosen; renamed atomically, holds no secret
    file: Path | None = None

    def __post_init__(self) -> None:
        for key, templates in self.keys.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", key):
                raise Refused("BAD_TEMPLATE", f"{key!r} is no name of a variable.", "Use letters, digits and _.")
            if set(templates) != set(DIALECTS):
                raise Refused(
                    "BAD_TEMPLATE",
                    f"{key} needs a template for sqlite and one for postgresql.",
                    "Give both; one may be empty.",
                )
        if not self.keys:
            raise Refused("BAD_TEMPLATE", "No key points the application at a database.", "Name at least one key.")

    def filled(self, dialect: Dialect, values: PointingValues) -> dict[str, str]:
        """The value of each key for the dialect. Raises Refused BAD_TEMPLATE, VALUE_MISSING, BAD_VALUE."""
        return {key: fill_template(key, templates[dialect], dialect, values) for key, templates in self.keys.items()}


@dataclass(frozen=True)
class EndpointCheck:
    """One endpoint that proves that the application is well.

    json: {dotted.field: expected}; the text "{dialect}" stands for the dialect expected now.
    length_equals_table: the answer is an array as long as that table; "" when it isn't checked.
    """

    name: str
    path: str
    process: str
    status: int = 200
    json: Mapping[str, object] = data_field(default_factory=dict)
    length_equals_table: str = ""
    max_ms: int | None = None
    timeout_seconds: float | None = None  # else the application's


@dataclass(frozen=True)
class Canary:
    """Rows read through the API that must equal the table's: the answer is an array of objects.

    fields: {field of the object: column}; the key's field and column find the row. Never an encrypted column.
    """

    path: str
    table: str
    key_field: str
    key_column: str
    fields: Mapping[str, str] = data_field(default_factory=dict)
    rows: int = 5


@dataclass(frozen=True)
class Pool:
    """Its pool of connections: what it shall be, and where the application itself says what it is.

    size, used: dotted fields of the answer at `path`, '' when it has no word for them. configured: the pool's size as
    it is set, all processes that the answer speaks for together; most: connections to PostgreSQL that the whole
    application may hold at a time, its overflow and its workers included. 0: not stated.
    application_name: how its sessions call themselves in pg_stat_activity; '': all that aren't ours count.
    """

    path: str = ""
    process: str = ""  # '': the identity's
    size: str = ""
    used: str = ""
    configured: int = 0
    most: int = 0
    application_name: str = ""


@dataclass(frozen=True)
class Identity:
    """How the application itself says which database it talks to. field "" when it has no word for it."""

    process: str
    path: str = "/health"
    field: str = "database"
    values: Mapping[str, str] = data_field(default_factory=lambda: {dialect: dialect for dialect in DIALECTS})
    canary: Canary | None = None
    watch_seconds: float = 4.0  # how long the SQLite file is watched: longer than the workers' interval
    pool: Pool | None = None


@dataclass(frozen=True)
class ApplicationDescription:
    """One instance of an application: the production one, or a rehearsal's second copy."""

    name: str
    source_path: Path
    processes: tuple[ProcessSpec, ...]
    pointing: Pointing
    endpoints: tuple[EndpointCheck, ...] = ()
    identity: Identity | None = None
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()  # from the operator's file; loopback is always allowed
    http_timeout_seconds: float = 3.0
    # For every process; wins over the command's.
    environment: Mapping[str, str] = data_field(default_factory=dict, repr=False)
    adopts: bool = True  # whether processes that were started by hand with its commands are its own
    busy_timeout_ms: int = 1000  # the application's own: a write in flight may hold the file's lock for so long
    before_stop: CommandSpec | None = None
    after_start: CommandSpec | None = None
    driver: DriverSpec = data_field(default_factory=ByProcess)  # who stops and starts it

    def in_start_order(self) -> tuple[ProcessSpec, ...]:
        return tuple(sorted(self.processes, key=lambda process: process.order))

    def process(self, name: str) -> ProcessSpec:
        """The process of that name. Raises Refused NO_SUCH_PROCESS."""
        for process in self.processes:
            if process.name == name:
                return process
        raise Refused(
            "NO_SUCH_PROCESS",
            f"Application {self.name} has no process {name}.",
            f"Its processes are {', '.join(process.name for process in self.processes) or 'none'}.",
        )


def for_rehearsal(
    description: ApplicationDescription,
    *,
    source_path: Path,
    state_dir: Path,
    ports: Mapping[str, int],
    environment: Mapping[str, str],
) -> ApplicationDescription:
    """The second copy that a rehearsal starts: same processes on other ports, pointed by environment only.

    `environment` holds the declared overrides that silence the outside effects. Hooks are dropped: a maintenance page
    must not appear for a rehearsal. Raises Refused PORT_MISSING when a process with a port gets no other one.
    """
    processes = []
    for process in description.processes:
        port = ports.get(process.name)
        if process.port is not None and (port is None or port == process.port):
            raise Refused(
                "PORT_MISSING",
                f"Process {process.name} of {description.name} needs another port for the rehearsal.",
                "Give a free port that production does not use.",
            )
        processes.append(replace(process, port=port if process.port is not None else None))
    return replace(
        description,
        source_path=source_path,
        processes=tuple(processes),
        pointing=Pointing("environment", description.pointing.keys, state_dir / "pointing.json"),
        environment={**description.environment, **environment},
        host="127.0.0.1",
        driver=ByProcess(),  # a unit or a container runs once; its commands start a second copy
        adopts=False,  # production may run the very same command, a worker without a port, say
        before_stop=None,
        after_start=None,
    )


def fill_template(key: str, template: str, dialect: Dialect, values: PointingValues) -> str:
    """One value. Placeholders are filled once: braces within a password stay. Raises Refused."""
    is_url = "://" in template
    known = _known_values(dialect, values, is_url)

    def put(match: re.Match[str]) -> str:
        name = match[1]
        if name not in known:
            raise Refused(
                "BAD_TEMPLATE",
                f"The template of {key} for {dialect} uses {{{name}}}, which is not known.",
                f"Known are {', '.join('{' + name + '}' for name in known)}.",
            )
        if known[name] == "" and name not in ("password", "sslrootcert"):
            raise Refused("VALUE_MISSING", f"{key} for {dialect} needs {{{name}}}, which is empty.", "Give the value.")
        return known[name]

    filled = _PLACEHOLDER.sub(put, template)
    if any(ord(character) < 32 or ord(character) == 127 for character in filled):
        raise Refused(
            "BAD_VALUE", f"The value of {key} holds a control character.", "Remove it; it would end the line."
        )
    return filled


def _known_values(dialect: Dialect, values: PointingValues, is_url: bool) -> dict[str, str]:
    def encoded(text: str) -> str:
        return quote(text, safe="") if is_url else text

    path = str(values.path) if values.path is not None else ""
    if is_url and dialect == "sqlite" and re.search(r"[?#%]", path):
        # Frameworks disagree on whether a path within a URL is percent-decoded; none of the readings is safe.
        raise Refused(
            "BAD_VALUE",
            f"The path {path} holds one of ? # %, which a URL can't hold safely.",
            "Rename the file or folder.",
        )
    return {
        "path": path,
        "url": values.url if values.host else "",
        "host": _url_host(values.host) if is_url else values.host,
        "port": str(values.port),
        "user": encoded(values.user),
        "password": encoded(values.password),
        "database": encoded(values.database),
        "dialect": dialect,
        "sslmode": values.sslmode or "prefer",
        "sslrootcert": encoded(values.sslrootcert),
    }


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
