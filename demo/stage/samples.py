"""The two applications that the demo moves: the same code, each with its own SQLite file, `.env`, ports and target."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.stage.errors import StageError
from demo.stage.home import ROOT
from migrations_app.applications.commands import minimal_environment
from migrations_app.applications.supervision import write_private

CODE = ROOT / "demo" / "yukyu"
GENERATOR = ROOT / "demo" / "generate.py"
GENERATE_SECONDS = 180
ENCRYPTED = [(table, column) for table in ("genzai", "ukeoi", "staff") for column in ("birth_date", "hourly_wage")]
PATTERNS = {"birth_date": r"\d{4}-\d{2}-\d{2}"}


@dataclass(frozen=True)
class Sample:
    """One installation of the sample application; sizes are numbers of rows."""

    name: str
    title: str
    seed: int
    employees: int
    requests: int
    details: int
    ports: range
    rehearsal_ports: range

    @property
    def database(self) -> str:
        """Of the target; its role has the same name."""
        return self.name.replace("-", "_")


SAMPLES: tuple[Sample, ...] = (
    Sample("yukyu", "Yukyu, paid leave: head office", 7, 800, 2000, 8000, range(8010, 8020), range(8110, 8120)),
    Sample("yukyu-west", "Yukyu, paid leave: Osaka branch", 11, 500, 1200, 5000, range(8020, 8030), range(8120, 8130)),
)


@dataclass(frozen=True)
class Installation:
    """Where a sample lies and listens."""

    sample: Sample
    folder: Path
    port: int
    rehearsal_port: int

    @property
    def name(self) -> str:
        return self.sample.name

    @property
    def source(self) -> Path:
        return self.folder / "yukyu.db"

    @property
    def dotenv(self) -> Path:
        return self.folder / ".env"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def install(installation: Installation, cell_key: str) -> bool:
    """Make its file and its `.env`, where they are not there yet; whether the file was made. Raises StageError."""
    installation.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not installation.dotenv.exists():
        write_private(installation.dotenv, _dotenv(installation, cell_key).encode())
    if installation.source.exists():
        return False
    _generate(installation, cell_key)
    return True


def _dotenv(installation: Installation, cell_key: str) -> str:
    """The application's own example, with the lines changed that differ here."""
    values = {
        "DATABASE_URL": f"sqlite:///{installation.source}",
        "DATABASE_ENCRYPTION_KEY": cell_key,
        "MAIL_ENABLED": "1",
        "WORKER_ENABLED": "0",  # off, so that rows change only when somebody changes them; see demo/README.md
    }
    lines = []
    for line in (CODE / ".env.example").read_text().splitlines():
        key = line.partition("=")[0]
        lines.append(f"{key}={values[key]}" if key in values else line)
    return "\n".join(lines) + "\n"


def _generate(installation: Installation, cell_key: str) -> None:
    sample = installation.sample
    sizes = [f"--{name}={getattr(sample, name)}" for name in ("employees", "requests", "details", "seed")]
    try:
        made = subprocess.run(
            [sys.executable, str(GENERATOR), str(installation.source), *sizes],
            env=minimal_environment({"DATABASE_ENCRYPTION_KEY": cell_key, "PYTHONDONTWRITEBYTECODE": "1"}),
            cwd=installation.folder,
            capture_output=True,
            text=True,
            timeout=GENERATE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StageError(
            "demo.generate", f"The data of {sample.name} was not made in {GENERATE_SECONDS} s.", "Try again."
        ) from None
    if made.returncode:
        last = (made.stderr.strip().splitlines() or ["no message"])[-1]
        raise StageError("demo.generate", f"The data of {sample.name} could not be made: {last}", "Run make setup.")


def log_files(folder: Path) -> dict[str, str]:
    """What makes a sample write its logs, which the monitor reads."""
    return {"ACCESS_LOG": str(folder / "access.log"), "APP_LOG": str(folder / "app.log")}


def operator_document(installations: list[Installation], target_host: str = "127.0.0.1") -> str:
    """The operator's file as TOML: allowed folders and hosts, and the commands of both applications by name."""
    # JSON strings without control characters are TOML strings.
    roots = ", ".join(_text(str(installation.folder)) for installation in installations)
    parts = [
        "# What Causeway may touch on this machine. Made by the demo at every start.",
        f'[roots]\nfiles = [{roots}]\nhosts = ["127.0.0.1", {_text(target_host)}]',
    ]
    for installation in installations:
        for purpose, argv in _commands().items():
            environment = {"PYTHONPATH": str(CODE), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
            if purpose == "web":
                environment |= log_files(installation.folder)
            parts.append(
                "\n".join(
                    [
                        f"[commands.{_text(f'{installation.name}-{purpose}')}]",
                        f"argv = [{', '.join(_text(part) for part in argv)}]",
                        f"cwd = {_text(str(installation.folder))}",
                        "timeout_seconds = 120",
                        f"[commands.{_text(f'{installation.name}-{purpose}')}.environment]",
                        *(f"{key} = {_text(value)}" for key, value in environment.items()),
                    ]
                )
            )
    return "\n\n".join(parts) + "\n"


def write_operator_file(path: Path, installations: list[Installation], target_host: str = "127.0.0.1") -> None:
    """Replace it atomically, writable by nobody else."""
    write_private(path, operator_document(installations, target_host).encode())
    os.chmod(path, 0o600)


def describe(installation: Installation) -> dict[str, Any]:
    """The fields of its Application row, secrets left out."""
    name = installation.name
    return {
        "title": installation.sample.title,
        "source_path": str(installation.source),
        "schema_mode": "existing",
        "busy_timeout_ms": 10_000,
        "processes": [
            {
                "name": "web",
                "command": f"{name}-web",
                "order": 1,
                "port": installation.port,
                "rehearsal_port": installation.rehearsal_port,
            },
            {"name": "worker", "command": f"{name}-worker", "order": 2},
        ],
        "commands": {purpose: f"{name}-{purpose}" for purpose in ("schema", "schema_heads", "driver", "version")},
        "pointing": {
            "mechanism": "file",
            "file": str(installation.dotenv),
            "keys": {
                "DATABASE_TYPE": {"sqlite": "sqlite", "postgresql": "postgresql"},
                "DATABASE_URL": {
                    "sqlite": "sqlite:///{path}",
                    "postgresql": "postgresql+psycopg2://{user}:{password}@{host}:{port}/{database}",
                },
            },
        },
        "endpoints": _endpoints(),
        "identity": {
            "process": "web",
            "path": "/api/health",
            "field": "database",
            "values": {"sqlite": "sqlite", "postgresql": "postgresql"},
            "canary": {
                "path": "/api/employees",
                "table": "employees",
                "key_field": "id",
                "key_column": "id",
                "fields": {"name": "name", "year": "year"},
            },
            # As .env.example sets it: 5, and 10 more when it must, in each of two processes.
            "pool": {
                **{"path": "/api/db-status", "size": "pool.size", "used": "pool.checked_out"},
                **{"configured": 5, "most": 30},
            },
        },
        # A rehearsal's copy writes no log: its requests are not the application's.
        "rehearsal": {
            "environment": {
                "WORKER_ENABLED": "0",
                "MAIL_ENABLED": "0",
                **dict.fromkeys(log_files(installation.folder), ""),
            }
        },
        "encrypted_columns": [
            {
                "table": table,
                "column": column,
                "scheme": "aes-256-gcm",
                "key_env": "DATABASE_ENCRYPTION_KEY",
                "pattern": PATTERNS.get(column, ""),
            }
            for table, column in ENCRYPTED
        ],
    }


def _endpoints() -> list[dict[str, Any]]:
    lists = {"employees": "employees", "genzai": "genzai", "ukeoi": "ukeoi", "leave-requests": "leave_requests"}
    checks: list[dict[str, Any]] = [
        {"name": "health", "process": "web", "path": "/api/health", "json": {"database": "{dialect}"}}
    ]
    checks += [
        {"name": path, "process": "web", "path": f"/api/{path}", "length_equals_table": table}
        for path, table in lists.items()
    ]
    return checks


def _commands() -> dict[str, list[str]]:
    alembic = ["{python}", "-m", "alembic", "-c", str(CODE / "alembic.ini")]
    return {
        "web": [
            *("{python}", "-m", "uvicorn", "main:app", "--app-dir", str(CODE)),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ],
        "worker": ["{python}", str(CODE / "worker.py")],
        "schema": [*alembic, "upgrade", "head"],
        "schema_heads": [*alembic, "current"],
        "driver": ["{python}", "-c", "import psycopg2; print(psycopg2.__version__)"],
        "version": ["{python}", "-c", "import settings; print(settings.VERSION)"],
    }


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
