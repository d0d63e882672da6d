"""The operator's file: which folders, hosts and commands Causeway may touch on this host. The web can't change it.

[roots]
files = ["/srv/yukyu"]
hosts = ["yukyu.internal", "db.internal"]
hosts_without_tls = ["db.internal"]
units = ["yukyu-web.service"]

[commands.upgrade]
argv = ["{python}", "-m", "alembic", "upgrade", "head"]
cwd = "/srv/yukyu"
timeout_seconds = 120
[commands.upgrade.environment]
PYTHONUNBUFFERED = "1"
"""

from __future__ import annotations

import os
import stat
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_COMMAND_KEYS = {"argv", "cwd", "environment", "timeout_seconds"}
_HINT = "See docs/reference/operator-file.md."


class OperatorRefused(Exception):
    """The file, or what was asked of it, is refused: a stable `code`, a sentence, a `hint`."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class OperatorCommand:
    """One command of the file: an argv, never a shell. argv may contain {python}, and {port} where one is given."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: int = 60

    def with_python(self) -> tuple[str, ...]:
        """argv with {python} filled in: the interpreter that Causeway runs with."""
        return tuple(part.replace("{python}", sys.executable) for part in self.argv)


@dataclass(frozen=True)
class OperatorFile:
    """What the operator allows."""

    path: Path
    roots: tuple[Path, ...]
    hosts: tuple[str, ...]
    commands: Mapping[str, OperatorCommand]
    hosts_without_tls: tuple[str, ...] = ()  # the recorded exceptions: targets whose certificate isn't proved
    units: tuple[str, ...] = ()  # units of systemd that may be stopped and started

    def command(self, name: str) -> OperatorCommand:
        """The command of that name. Raises OperatorRefused UNKNOWN_COMMAND."""
        if name not in self.commands:
            raise OperatorRefused(
                "UNKNOWN_COMMAND",
                f"The operator's file has no command {name!r}.",
                f"It has {', '.join(sorted(self.commands)) or 'none'}; add it to {self.path}.",
            )
        return self.commands[name]

    def inside_roots(self, path: Path | str) -> Path:
        """See inside_roots() below."""
        return inside_roots(self.path, self.roots, path)


def read_operator_file(path: Path) -> OperatorFile:
    """Read and check it. Raises OperatorRefused OPERATOR_FILE_MISSING, OPERATOR_FILE_UNSAFE, OPERATOR_FILE_BROKEN."""
    _refuse_unsafe(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The decoder quotes no value, only the place.
        raise OperatorRefused("OPERATOR_FILE_BROKEN", f"{path} is not valid TOML: {error}.", _HINT) from None
    except OSError as error:
        raise OperatorRefused("OPERATOR_FILE_MISSING", f"{path} can't be read: {error.strerror}.", _HINT) from None
    unknown = set(document) - {"roots", "commands"}
    if unknown:
        raise _broken(path, f"unknown section {sorted(unknown)[0]!r}")
    roots = _table(path, document, "roots")
    if set(roots) - {"files", "hosts", "hosts_without_tls", "units"}:
        raise _broken(path, "[roots] knows only files, hosts, hosts_without_tls and units")
    files = tuple(_root(path, text) for text in _texts(path, roots, "files", "[roots]"))
    hosts = tuple(text.lower() for text in _texts(path, roots, "hosts", "[roots]"))
    without_tls = tuple(text.lower() for text in _texts(path, roots, "hosts_without_tls", "[roots]"))
    units = _texts(path, roots, "units", "[roots]")
    entries = _table(path, document, "commands")
    commands = {name: _command(path, name, entry) for name, entry in entries.items()}
    return OperatorFile(path, files, hosts, commands, without_tls, units)


def inside_roots(operator_file: Path, roots: tuple[Path, ...], path: Path | str) -> Path:
    """The path itself, when it lies under an allowed root, without `..` and symbolic links.

    Raises OperatorRefused PATH_NOT_ALLOWED.
    """
    text = os.fspath(path)
    if "\0" in text or ".." in Path(text).parts or not Path(text).is_absolute():
        raise OperatorRefused(
            "PATH_NOT_ALLOWED",
            f"{text!r} is not an absolute path without '..'.",
            "Give the whole path of the file.",
        )
    candidate = Path(text)
    for root in roots:
        if candidate.is_relative_to(root):
            _refuse_links(root, candidate)
            return candidate
    raise OperatorRefused(
        "PATH_NOT_ALLOWED",
        f"{candidate} lies outside the allowed folders.",
        f"Allowed are {', '.join(map(str, roots)) or 'none'}; add its folder to [roots] files in {operator_file}.",
    )


def _refuse_unsafe(path: Path) -> None:
    """Whoever can write the file, or a folder above it, can run what he likes."""
    try:
        status = path.lstat()
    except OSError as error:
        raise OperatorRefused("OPERATOR_FILE_MISSING", f"{path} can't be read: {error.strerror}.", _HINT) from None
    if not stat.S_ISREG(status.st_mode):
        raise OperatorRefused(
            "OPERATOR_FILE_UNSAFE", f"{path} is not an ordinary file.", "Put the file itself there, no link."
        )
    if status.st_uid not in (0, os.geteuid()):
        raise OperatorRefused(
            "OPERATOR_FILE_UNSAFE", f"{path} belongs to another user.", "chown it to root or to the service."
        )
    for place in (path, path.parent):
        mode = place.stat().st_mode
        if mode & 0o022 and not (place.is_dir() and mode & stat.S_ISVTX):
            raise OperatorRefused(
                "OPERATOR_FILE_UNSAFE", f"{place} is writable by its group or by others.", f"chmod go-w {place}"
            )


def _refuse_links(root: Path, candidate: Path) -> None:
    place = root
    for part in candidate.relative_to(root).parts:
        place = place / part
        if place.is_symlink():
            raise OperatorRefused(
                "PATH_NOT_ALLOWED",
                f"{place} is a symbolic link.",
                "Give the path of the real file under an allowed root.",
            )


def _broken(path: Path, what: str) -> OperatorRefused:
    return OperatorRefused("OPERATOR_FILE_BROKEN", f"{path}: {what}.", _HINT)


def _table(path: Path, document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise _broken(path, f"[{name}] must be a table")
    return table


def _texts(path: Path, table: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(text, str) and "\0" not in text for text in value):
        raise _broken(path, f"{where} {name} must be a list of texts")
    return tuple(value)


def _root(path: Path, text: str) -> Path:
    """A root itself may be reached over a link, since the operator wrote it; below it links are refused."""
    root = Path(text)
    if not root.is_absolute() or ".." in root.parts or root == Path("/"):
        raise _broken(path, f"root {text!r} must be an absolute folder below /")
    return root


def _command(path: Path, name: str, entry: object) -> OperatorCommand:
    where = f"[commands.{name}]"
    if not isinstance(entry, dict) or set(entry) - _COMMAND_KEYS:
        raise _broken(path, f"{where} knows only {', '.join(sorted(_COMMAND_KEYS))}")
    argv = _texts(path, entry, "argv", where)
    cwd, seconds = entry.get("cwd"), entry.get("timeout_seconds", 60)
    environment = entry.get("environment", {})
    if not argv or not argv[0]:
        raise _broken(path, f"{where} needs argv")
    if not isinstance(cwd, str) or not Path(cwd).is_absolute():
        raise _broken(path, f"{where} needs cwd, an absolute folder")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= 86_400:
        raise _broken(path, f"{where} timeout_seconds must be a whole number from 1 to 86400")
    if not isinstance(environment, dict) or not all(_is_variable(key, value) for key, value in environment.items()):
        raise _broken(path, f"{where} environment must map names to texts")
    return OperatorCommand(name, argv, Path(cwd), dict(environment), seconds)


def _is_variable(key: str, value: object) -> bool:
    return bool(key) and "=" not in key and "\0" not in key and isinstance(value, str) and "\0" not in value
