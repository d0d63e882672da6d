"""How an application is stopped and started: plain data, one class a kind. See docs/reference/drivers.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from migrations_app.applications.command_spec import CommandSpec

Manager = Literal["system", "user"]
SYSTEMCTL = Path("/usr/bin/systemctl")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
# What systemd.unit(5) allows in a name, of the kinds that run or trigger something. Never an option: it begins with
# a letter or a digit.
UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.\\@-]{0,200}\.(?:service|socket|timer|path)")


@dataclass(frozen=True)
class ByProcess:
    """Causeway starts the processes itself, under a supervisor of its own."""

    kind: Literal["process"] = "process"


@dataclass(frozen=True)
class ByUnits:
    """Units of systemd, started in this order and stopped in reverse. program and control_groups: where they lie."""

    units: tuple[str, ...]
    manager: Manager = "system"
    program: Path = SYSTEMCTL
    control_groups: Path = CONTROL_GROUPS
    kind: Literal["systemd"] = "systemd"


@dataclass(frozen=True)
class ByCommands:
    """Commands of the operator's file. status prints what runs, nothing when nothing runs; signal only tells it to end.

    Without a signal command, the stop command is started and not waited for where only a signal is wanted.
    """

    start: CommandSpec
    stop: CommandSpec
    status: CommandSpec
    signal: CommandSpec | None = None
    kind: Literal["command"] = "command"


@dataclass(frozen=True)
class ByPerson:
    """A person stops and starts it; the kernel and the application say whether it was done."""

    instructions: str = ""
    kind: Literal["manual"] = "manual"


@dataclass(frozen=True)
class Upstream:
    """The proxy's file that names the instance which gets the traffic: the template with {host} and {port} filled in.

    process: whose port it is. front_port: where the proxy itself answers plain HTTP on this machine, to see for
    ourselves that the traffic has moved; None: it isn't looked at.
    """

    file: Path
    template: str
    process: str
    reload: CommandSpec
    front_port: int | None = None

    def content(self, host: str, port: int) -> bytes:
        """Only the two names are filled in: a proxy's file is full of braces."""
        shown = f"[{host}]" if ":" in host else host
        text = self.template.replace("{host}", shown).replace("{port}", str(port))
        return (text if text.endswith("\n") else f"{text}\n").encode()


@dataclass(frozen=True)
class BlueGreen:
    """Two instances: blue on SQLite on the processes' own ports, green on PostgreSQL on these. {process: port}"""

    blue_ports: Mapping[str, int]
    green_ports: Mapping[str, int]
    upstream: Upstream
    kind: Literal["blue_green"] = "blue_green"


DriverSpec = ByProcess | ByUnits | ByCommands | ByPerson | BlueGreen
