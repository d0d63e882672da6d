"""The operator's file (controlplane/operator_file.py) as runs use it: with targets, and errors of the engine's tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane import operator_file as plain
from migrations_app.applications.description import CommandSpec
from migrations_app.engine.errors import Refused
from migrations_app.engine.target.target_url import TargetUrl, is_local_host, parse_target_url


@dataclass(frozen=True)
class OperatorFile:
    """What the operator allows."""

    path: Path
    roots: tuple[Path, ...]
    hosts: tuple[str, ...]
    commands: Mapping[str, CommandSpec]
    hosts_without_tls: tuple[str, ...] = ()  # the recorded exceptions: targets whose certificate isn't proved
    units: tuple[str, ...] = ()  # units of systemd that may be stopped and started

    def unit(self, name: str) -> str:
        """The unit itself, when it is named in the file. Raises Refused UNIT_NOT_ALLOWED."""
        if name not in self.units:
            raise Refused(
                "UNIT_NOT_ALLOWED",
                f"The unit {name} is not on the operator's list.",
                f"Add it to [roots] units in {self.path}, or choose one of: {', '.join(self.units) or 'none yet'}.",
            )
        return name

    def target(self, text: str, certificates: Path | None = None) -> TargetUrl:
        """A target's address that came through the web: on this machine, or on a host of the list.

        Raises Refused HOST_NOT_ALLOWED, and what parse_target_url() raises.
        """
        excepted = {host.lower() for host in self.hosts_without_tls}
        url = parse_target_url(text, certificates=certificates, allow_unverified_remote=True)
        if not is_local_host(url.host) and url.host.lower() not in {*self.hosts, *excepted}:
            raise Refused(
                "HOST_NOT_ALLOWED",
                f"The host {url.host} is not on the operator's list.",
                f"Add it to [roots] hosts in {self.path}, or choose one of: {', '.join(self.hosts) or 'none yet'}.",
            )
        return parse_target_url(text, certificates=certificates, allow_unverified_remote=url.host.lower() in excepted)

    def command(self, name: str) -> CommandSpec:
        """The command of that name. Raises Refused UNKNOWN_COMMAND."""
        if name not in self.commands:
            raise Refused(
                "UNKNOWN_COMMAND",
                f"The operator's file has no command {name!r}.",
                f"It has {', '.join(sorted(self.commands)) or 'none'}; add it to {self.path}.",
            )
        return self.commands[name]

    def inside_roots(self, path: Path | str) -> Path:
        """The path itself, when it lies under an allowed root, without `..` and symbolic links. Raises Refused."""
        with _as_engine_error():
            return plain.inside_roots(self.path, self.roots, path)


def read_operator_file(path: Path) -> OperatorFile:
    """Read and check it. Raises Refused OPERATOR_FILE_MISSING, OPERATOR_FILE_UNSAFE, OPERATOR_FILE_BROKEN."""
    with _as_engine_error():
        found = plain.read_operator_file(path)
    commands = {
        name: CommandSpec(name, command.argv, command.cwd, command.environment, command.timeout_seconds)
        for name, command in found.commands.items()
    }
    return OperatorFile(found.path, found.roots, found.hosts, commands, found.hosts_without_tls, found.units)


@contextmanager
def _as_engine_error() -> Iterator[None]:
    try:
        yield
    except plain.OperatorRefused as refused:
        raise Refused(refused.code, refused.message, refused.hint) from None
