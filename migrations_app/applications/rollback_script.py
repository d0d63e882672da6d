"""Writes rollback.sh: back to SQLite on the day that Causeway itself is down, by one command.

It is written beside the final backup before the switch, with two private files that it needs: the configuration as it
was on SQLite, and the processes to start. The script itself holds no secret. It needs sh, coreutils, a Python 3.11 and
the folder of Causeway's code, but none of its services, packages or databases.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from migrations_app.applications import configuration
from migrations_app.applications.description import ApplicationDescription, PointingValues
from migrations_app.applications.drivers.saved import save
from migrations_app.applications.launching import make_launch
from migrations_app.applications.supervision import write_launch, write_private
from migrations_app.engine.errors import Refused
from migrations_app.engine.source.fingerprint import Fingerprint

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = Path(__file__).with_name("rollback.sh.template")


@dataclass(frozen=True)
class RollbackScript:
    """What was written. files: the private files that the script needs beside it."""

    path: Path
    sha256: str
    files: tuple[Path, ...]


def write_rollback_script(
    path: Path,
    description: ApplicationDescription,
    *,
    state_dir: Path,
    fingerprint: Fingerprint | None,
    final_backup: Path,
    backup_sha256: str,
    run: str,
    delta: Path | None = None,
    crossing: Path | None = None,
) -> RollbackScript:
    """Write the script, 0700, and its files, 0600. Writing it again gives the same files.

    fingerprint: of the SQLite file after the stop. final_backup: taken after the stop; the only one ever restored.
    delta: where Causeway saves rows changed on PostgreSQL, should it. crossing: of a live crossing, what rows_back.py
    reads; then no backup is ever restored, and fingerprint is None. Raises Refused NO_SQLITE_CONFIGURATION.
    """
    launch_file = path.with_name(f"{path.stem}.launch.json")
    copy = path.with_name(f"{path.stem}.configuration")
    launch = make_launch(description, "sqlite", PointingValues(path=description.source_path))
    write_launch(launch_file, launch)
    files = [launch_file]
    if description.pointing.mechanism == "file":
        write_private(copy, configuration.content_on_sqlite(description.pointing))
        files.append(copy)
    text = TEMPLATE.read_text(encoding="utf-8")
    settings = _settings(description, state_dir, fingerprint, final_backup, backup_sha256, run, delta)
    settings |= {"CROSSING": str(crossing or ""), "DRIVER": ""}
    if description.driver.kind != "process":
        driver_file = path.with_name(f"{path.stem}.driver.json")
        save(driver_file, description, state_dir)
        settings["DRIVER"] = str(driver_file)
        files.append(driver_file)
    settings |= {"LAUNCH": str(launch_file), "COPY": str(copy) if copy in files else ""}
    lines = "\n".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
    content = text.replace("# @SETTINGS@", lines).replace("# @AFTER_START@", _after_start(description)).encode()
    write_private(path, content)
    path.chmod(0o700)
    return RollbackScript(path, hashlib.sha256(content).hexdigest(), tuple(files))


def _settings(
    description: ApplicationDescription,
    state_dir: Path,
    fingerprint: Fingerprint | None,
    final_backup: Path,
    backup_sha256: str,
    run: str,
    delta: Path | None,
) -> dict[str, str]:
    for text in (description.name, run, str(description.source_path), str(final_backup), str(state_dir)):
        if any(ord(character) < 32 for character in text):
            raise Refused("BAD_VALUE", f"{text!r} holds a control character.", "Rename it.")
    identity = description.identity
    port = description.process(identity.process).port if identity else None
    ports = [str(process.port) for process in description.in_start_order() if process.port is not None]
    seconds = sum(process.stop_timeout_seconds + 10 for process in description.processes)
    start_seconds = sum(process.start_timeout_seconds for process in description.processes) + 20
    return {
        "APPLICATION": description.name,
        "RUN": run,
        "CODE": str(ROOT),
        "PYTHON": sys.executable,
        "STATE_DIR": str(state_dir),
        "SOURCE": str(description.source_path),
        "SOURCE_SHA256": fingerprint.main_sha256 if fingerprint else "",
        "WAL_SHA256": fingerprint.wal_sha256 if fingerprint else "",
        "BACKUP": str(final_backup),
        "BACKUP_SHA256": backup_sha256,
        "CONFIGURATION": str(description.pointing.file or "") if description.pointing.mechanism == "file" else "",
        "CHOICE": str(description.pointing.state_file),
        "KEYS": " ".join(f"--key {key}" for key in description.pointing.keys),
        "HOST": description.host,
        "PORTS": " ".join(ports),
        "STOP_SECONDS": str(int(seconds)),
        "START_SECONDS": str(int(start_seconds)),
        "HEALTH_PORT": str(port or ""),
        "HEALTH_PATH": identity.path if identity else "/",
        "HEALTH_FIELD": identity.field if identity else "",
        "HEALTH_VALUE": identity.values["sqlite"] if identity else "",
        "DELTA": str(delta or ""),
    }


def _after_start(description: ApplicationDescription) -> str:
    """The command that, say, takes the maintenance page away."""
    command = description.after_start
    if command is None:
        return ":"
    if command.environment:
        note = f"now run the command {command.name} of the operator's file by hand (it needs its environment)"
        return f"say {shlex.quote(note)}"
    return (
        f"(cd {shlex.quote(str(command.cwd))} && {shlex.join(command.resolved_argv())}) || problem 'after_start failed'"
    )
