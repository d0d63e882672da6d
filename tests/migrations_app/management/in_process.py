"""Runs move_database in this process, so that a test can act at a chosen moment of it.

Whatever touches the source must do so from another process: closing the file here would drop our own locks on it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
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
    ("verify", 2),
)


@contextlib.contextmanager
def watched_moves(note: Callable[[str], None]) -> Iterator[None]:
    """While inside, `note` hears of every phase that begins and of every report of progress."""
    progress, phase = Console.progress, Job.phase

    def told(console: Console, said: Progress) -> None:
        note(said.phase)
        progress(console, said)

    def begun(job: Job, name: str) -> Any:
        note(f"begin {name}")
        return phase(job, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Console, "progress", told)
        patch.setattr(Job, "phase", begun)
        yield


def at(moment: Moment, act: Callable[[], object]) -> Callable[[str], None]:
    """For watched_moves(): `act` when the moment comes, from whichever thread reports it."""
    what, number = moment
    seen = itertools.count(1)

    def note(name: str) -> None:
        if name == what and next(seen) == number:
            act()

    return note


def move_and_act(
    tmp_path: Path, source: Path, url: str, moment: Moment, act: Callable[[], object]
) -> tuple[Outcome, int]:
    """Move; `act` at that moment. Gives the outcome, and how often it acted (0: the moment never came)."""
    acted: list[object] = []
    with watched_moves(at(moment, lambda: acted.append(act()))):
        outcome = move(tmp_path, source, url)
    return outcome, len(acted)


def move(tmp_path: Path, source: Path, url: str, command: str = "move_database", *more: str) -> Outcome:
    """The command with a $TMPDIR of the test's own."""
    report, folder = tmp_path / "report.json", tmp_path / "tmp"
    report.unlink(missing_ok=True)
    folder.mkdir(exist_ok=True)
    out, errors = io.StringIO(), io.StringIO()
    arguments = ["--source", str(source), *(["--target", url] if url else []), "--report", str(report), *more]
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        try:
            call_command(command, *arguments, stdout=out, stderr=errors)
        except SystemExit as ended:
            code = int(str(ended.code))
    return Outcome(code, out.getvalue(), errors.getvalue(), json.loads(report.read_text()) if report.exists() else {})


def elsewhere(script: str, *arguments: object) -> None:
    """Run a little Python in another process. Its failure is the test's."""
    subprocess.run([sys.executable, "-c", script, *map(str, arguments)], check=True, timeout=60)
