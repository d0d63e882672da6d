"""Runs move_database in this process, so that a test can act at a chosen moment of it.

Whatever touches the source must do so from another process: closing the file here would drop our own locks on it.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from migrations_app.engine.control import Progress
from migrations_app.management.headless.command import Job
from migrations_app.management.headless.console import Console
from tests.migrations_app.management.running import Outcome

# (what, how many times): a phase that begins, or a report of progress in it.
Moment = tuple[str, int]
MOMENTS: tuple[Moment, ...] = (
    ("begin integrity", 1),
    ("begin plan", 1),
    ("profile", 2),
    ("begin export", 1),
    ("export", 1),
    ("export", 3),
    ("begin load", 1),
    ("load", 2),
    ("index", 1),
    ("begin verify", 1),
    ("verify", 1),
    ("verify", 3),
)


def move_and_act(
    patch: pytest.MonkeyPatch, tmp_path: Path, source: Path, url: str, moment: Moment, act: Callable[[], object]
) -> tuple[Outcome, int]:
    """Move; `act` once, at that moment. Gives the outcome, and how often it acted (0: the moment never came)."""
    what, number = moment
    seen: dict[str, int] = {}
    acted: list[object] = []

    def note(name: str) -> None:
        seen[name] = seen.get(name, 0) + 1
        if name == what and seen[name] == number:
            acted.append(act())

    progress, phase = Console.progress, Job.phase

    def told(console: Console, said: Progress) -> None:
        note(said.phase)
        progress(console, said)

    def begun(job: Job, name: str) -> Any:
        note(f"begin {name}")
        return phase(job, name)

    with patch.context() as inner:
        inner.setattr(Console, "progress", told)
        inner.setattr(Job, "phase", begun)
        outcome = move(tmp_path, source, url)
    return outcome, len(acted)


def move(tmp_path: Path, source: Path, url: str, command: str = "move_database", *more: str) -> Outcome:
    report = tmp_path / "report.json"
    report.unlink(missing_ok=True)
    out, errors = io.StringIO(), io.StringIO()
    arguments = ["--source", str(source), *(["--target", url] if url else []), "--report", str(report), *more]
    code = 0
    try:
        call_command(command, *arguments, stdout=out, stderr=errors)
    except SystemExit as ended:
        code = int(str(ended.code))
    return Outcome(code, out.getvalue(), errors.getvalue(), json.loads(report.read_text()) if report.exists() else {})


def elsewhere(script: str, *arguments: object) -> None:
    """Run a little Python in another process. Its failure is the test's."""
    subprocess.run([sys.executable, "-c", script, *map(str, arguments)], check=True, timeout=60)
