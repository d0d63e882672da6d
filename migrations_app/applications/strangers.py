"""Finds an application's processes that no supervisor of ours started, and tells them from strangers.

Evidence: who listens on its ports, who has its SQLite file open. A process counts as the application's only when its
command line is one of the operator's commands, run in that command's folder, or when such a process is its ancestor.
What another instance's supervisor started is never ours: a rehearsal must not stop production, nor the reverse.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePath

from controlplane.redaction import redact
from migrations_app.applications import processes
from migrations_app.applications.description import ApplicationDescription


@dataclass(frozen=True)
class Running:
    """A process that uses something of the application's. ours: its command is the application's."""

    pid: int
    ours: bool
    port: int | None
    why: str


def find_running(description: ApplicationDescription, supervised: set[int]) -> tuple[Running, ...]:
    """Every process with the application's command, ports or SQLite file, besides those of its own supervisor.

    Never ourselves and our ancestors.
    """
    tree = processes.parents()
    roots = _matching(description, tree) if description.adopts else []
    family = processes.family(roots)
    protected = _ancestors(os.getpid(), tree) | supervised
    found = {pid: Running(pid, True, None, "runs the application's command") for pid in family - protected}
    for process in description.in_start_order():
        for pid in processes.listeners(process.port) if process.port is not None else ():
            if pid not in found and pid not in protected:
                found[pid] = Running(pid, False, process.port, f"listens on port {process.port}")
    for holder in processes.holders(description.source_path):
        if holder.pid not in found and holder.pid not in protected:
            found[holder.pid] = Running(holder.pid, False, None, f"has {holder.path} open")
    return tuple(found[pid] for pid in sorted(found))


def describe_process(pid: int) -> str:
    """`process 123 (uvicorn main:app)` without secrets, for a message."""
    command = redact(" ".join(processes.command_line(pid)))[:160]
    return f"process {pid} ({command or 'gone'})"


def same_command(running: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """`python -m uvicorn main:app` is the same as `/venv/bin/python /venv/bin/uvicorn main:app`."""
    return bool(running) and _normal(running) == _normal(wanted)


def _normal(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Program and arguments, without the interpreter and the folders."""
    rest = list(argv)
    if PurePath(rest[0]).name.startswith("python"):
        rest = rest[1:]
        while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
            rest = rest[1:]
        if rest[:1] == ["-m"]:
            rest = rest[1:]
    if not rest:
        return ("python",)
    return (PurePath(rest[0]).name.removesuffix(".py"), *rest[1:])


def _matching(description: ApplicationDescription, tree: dict[int, int]) -> list[int]:
    wanted = [(process.argv, _real(process.command.cwd)) for process in description.processes]
    found = []
    for pid in tree:
        running = processes.command_line(pid)
        for argv, cwd in wanted:
            if same_command(running, argv) and _runs_in(pid, cwd) and not processes.has_mark(pid):
                found.append(pid)
                break
    return found


def _runs_in(pid: int, cwd: Path) -> bool:
    return not processes.has_proc() or processes.working_directory(pid) == cwd


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _ancestors(pid: int, tree: dict[int, int]) -> set[int]:
    found: set[int] = set()
    while pid and pid not in found:
        found.add(pid)
        pid = tree.get(pid, 0)
    return found
