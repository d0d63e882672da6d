"""A host for tests: its operator's file, a SQLite file under an allowed root, and a worker that answers at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlplane.registry.models import Host
from migrations_app import doorbell
from migrations_app.services import hosts
from migrations_app.services.looks import work_on_look
from migrations_app.services.plan_making import work_on_plan

COMMANDS = ("yukyu-web", "yukyu-worker", "yukyu-schema", "yukyu-driver")


@dataclass(frozen=True)
class Machine:
    """name: of the host; root: its allowed folder; file: a sound SQLite file there; outside: one that isn't allowed."""

    name: str
    root: Path
    file: Path
    outside: Path


def make_machine(folder: Path, settings: Any, *, name: str = "apphost", allowed: Sequence[str] = ()) -> Machine:
    """Writes its files; nothing is known of it in the database until its worker answers."""
    root = folder / "srv"
    root.mkdir(mode=0o700)
    for path in (root / "app.db", folder / "elsewhere.db"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=wal")
            connection.execute("CREATE TABLE employees (id INTEGER PRIMARY KEY, name TEXT)")
            connection.execute("CREATE TABLE leave_requests (id INTEGER PRIMARY KEY, day TEXT)")
            connection.execute("INSERT INTO employees VALUES (1, '佐藤')")
            connection.commit()
    commands = "".join(f'\n[commands.{name}]\nargv = ["/bin/true"]\ncwd = "{root}"\n' for name in COMMANDS)
    listed = ", ".join(f'"{host}"' for host in allowed)
    operator = folder / "operator.toml"
    operator.write_text(f'[roots]\nfiles = ["{root}"]\nhosts = [{listed}]\n{commands}')
    operator.chmod(0o600)
    settings.CAUSEWAY_OPERATOR_FILE = str(operator)
    return Machine(name, root, root / "app.db", folder / "elsewhere.db")


def answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bell is answered in this process, on commit, by the very functions that a worker's tasks call."""
    work = {
        "migrations_app.look": lambda key: work_on_look(look_id=key),
        "migrations_app.describe_host": lambda key: hosts.describe_host(host_id=key),
        "migrations_app.make_plan": lambda key: work_on_plan(plan_id=key),
    }

    def send(task: str, row_id: int, queue: str) -> None:
        if task in work:
            work[task](row_id)

    monkeypatch.setattr(doorbell, "_send", send)


def known(machine: Machine) -> Host:
    """The host as its worker has described it."""
    row, _ = Host.objects.get_or_create(name=machine.name)
    hosts.describe_host(host_id=row.pk)
    return Host.objects.get(pk=row.pk)
