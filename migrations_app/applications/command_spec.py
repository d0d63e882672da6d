"""A command of the operator's file as the drivers run it: an argv, never a shell."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as data_field
from pathlib import Path

from migrations_app.engine.errors import Refused


@dataclass(frozen=True)
class CommandSpec:
    """One command of the operator's file. argv may contain {port} and {python}; there is never a shell."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str] = data_field(default_factory=dict, repr=False)
    timeout_seconds: int = 60

    def resolved_argv(self, port: int | None = None) -> tuple[str, ...]:
        """argv with {python} and {port} filled in. Raises Refused PORT_MISSING."""
        if port is None and any("{port}" in part for part in self.argv):
            raise Refused(
                "PORT_MISSING", f"Command {self.name} wants a port, but none is set.", "Set the process's port."
            )
        return tuple(part.replace("{python}", sys.executable).replace("{port}", str(port)) for part in self.argv)
