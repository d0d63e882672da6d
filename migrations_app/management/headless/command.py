"""The frame of every headless command: signals, progress, errors as sentences, the report, the exit status."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import psycopg2
from django.core.management.base import BaseCommand, CommandParser

from controlplane.redaction import redact
from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.verify.report import Report
from migrations_app.management.headless.arguments import add_report, keep_quiet
from migrations_app.management.headless.console import Console
from migrations_app.management.headless.summary import summarize

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What the engine can't know: which of our flags helps.
_REMEDIES = {"OTHER_RUN_UNFINISHED": "--discard-unfinished removes it first."}


@dataclass
class Job:
    """What a flow works with: when to stop, whom to tell, what to report."""

    control: Control
    console: Console
    report: Report

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the seconds of a phase, also of one that fails."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.report.seconds[name] = self.report.seconds.get(name, 0.0) + time.monotonic() - started

    def remark(self, text: str) -> None:
        """Something that a reader of the report should know."""
        self.report.notes.append(redact(text))
        self.console.note(text)


class HeadlessCommand(BaseCommand):
    """Subclasses add arguments and do their `work`. No system checks, no control database.

    Exit status: 0 done, and equal where it verifies; 1 different; 2 refused; 3 failed on the way.
    """

    requires_system_checks = []

    def work(self, job: Job, options: dict[str, Any]) -> None:
        """The command's own steps; sets the report's outcome."""
        raise NotImplementedError

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        keep_quiet(parser)
        add_report(parser)
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        report = Report()
        control = Control()
        started = time.monotonic()
        with Console(self.stdout, self.stderr) as console:  # type: ignore[arg-type]
            control.report = console.progress
            job = Job(control, console, report)
            with _stoppable(control):
                try:
                    self.work(job, options)
                except EngineError as error:
                    error.hint = f"{error.hint} {_REMEDIES.get(error.code, '')}".strip()
                    report.fail(error)
                except (OSError, sqlite3.Error, psycopg2.Error) as error:
                    report.fail(_unforeseen(error))
                except Exception as error:  # the outermost boundary: users get a sentence, never a traceback
                    if options["traceback"]:
                        raise
                    report.fail(_bug(error))
        report.seconds["total"] = time.monotonic() - started
        self._conclude(report, console, options)

    def _conclude(self, report: Report, console: Console, options: dict[str, Any]) -> None:
        if options["report"] is not None:
            try:
                report.write(options["report"])
            except EngineError as error:
                console.note(f"The report could not be written: {error}")
                if report.exit_code == 0:
                    report.fail(error)
        summarize(report, console, detailed=bool(options.get("detailed")))
        if report.exit_code:
            raise SystemExit(report.exit_code)


@contextlib.contextmanager
def _stoppable(control: Control) -> Iterator[None]:
    """SIGINT and SIGTERM ask the engine to stop at the next safe point; it cleans up and reports."""

    def stop(number: int, frame: FrameType | None) -> None:
        control.stop_reason = f"Stopped by {signal.Signals(number).name}."
        control.stop.set()

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unforeseen(error: OSError | sqlite3.Error | psycopg2.Error) -> Failed:
    """An error of the world around us that no part of the engine gave a code of its own.

    Its text may quote values or URLs, so only what is safe is passed on.
    """
    if isinstance(error, OSError):
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        return Failed("FILE_ERROR", f"{error.filename or 'A file'} can't be used: {why}.", "Check rights and the disk.")
    if isinstance(error, psycopg2.Error):
        return Failed(
            "TARGET_ERROR", f"PostgreSQL reported {error.pgcode or type(error).__name__}.", "See the server's log."
        )
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return Failed("SQLITE_FAILED", f"SQLite reported {name}.", "Check the file with sqlite3's integrity_check.")


def _bug(error: Exception) -> Failed:
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "an unknown place"
    return Failed(
        "INTERNAL_ERROR",
        f"Causeway met a defect of its own ({type(error).__name__} at {where}).",
        "Please report it; --traceback shows where, and may show data.",
    )
