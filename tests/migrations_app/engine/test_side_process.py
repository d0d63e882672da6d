"""Helper processes do their share of the work, stop when told, and never outlive whoever started them."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from migrations_app.engine.control import Control, Progress
from migrations_app.engine.errors import Cancelled, Failed, FindingsRefused, Refused
from migrations_app.engine.export import export as export_module
from migrations_app.engine.export.manifest import ExportFile
from migrations_app.engine.plan import Finding
from migrations_app.engine.side_process import Channel, SideProcess
from migrations_app.engine.source import table_parts
from tests.migrations_app.engine.artefacts import every_kind, execute
from tests.migrations_app.engine.export.test_export import export, snapshot


def echo(channel: Channel, control: Control, greeting: str) -> None:
    for message in channel:
        channel.send((greeting, message, os.getpid()))


def refuse(channel: Channel, control: Control) -> None:
    raise FindingsRefused([Finding("ORPHANS", "refuse", "Two rows.", "t", "c")])


def blunder(channel: Channel, control: Control) -> None:
    raise KeyError(lambda: None)


def work_on(channel: Channel, control: Control) -> None:
    channel.send("at it")
    while True:
        control.checkpoint()
        time.sleep(0.01)


def sleep_on(channel: Channel, control: Control) -> None:
    channel.send("asleep")
    time.sleep(600)


def test_a_helper_answers_from_a_process_of_its_own() -> None:
    with SideProcess(echo, "hello", control=Control()) as helper:
        helper.send(1)
        helper.send("two")
        first, second = helper.receive(), helper.receive()
    assert first[:2] == ("hello", 1) and second[:2] == ("hello", "two")
    assert first[2] == second[2] != os.getpid()
    assert not psutil.pid_exists(first[2])


def test_what_a_helper_raises_is_raised_here() -> None:
    with SideProcess(refuse, control=Control()) as helper, pytest.raises(FindingsRefused) as caught:
        helper.receive()
    assert (caught.value.code, caught.value.exit_code) == ("FINDINGS_WITHOUT_CHOICE", Refused.exit_code)
    assert "ORPHANS at t.c" in str(caught.value) and caught.value.findings[0].column == "c"
    with SideProcess(blunder, control=Control()) as helper, pytest.raises(RuntimeError, match="KeyError") as broken:
        helper.receive()
    assert any("blunder" in note for note in broken.value.__notes__)


def test_a_helper_that_is_killed_is_missed() -> None:
    with SideProcess(sleep_on, control=Control()) as helper:
        assert helper.receive() == "asleep"
        helper._process.kill()
        with pytest.raises(Failed, match="by signal 9") as caught:
            helper.receive()
    assert caught.value.code == "HELPER_DIED"


@pytest.mark.parametrize("work", [work_on, sleep_on])
def test_a_helper_stops_when_its_work_is_stopped(work: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrations_app.engine.side_process._PATIENCE_SECONDS", 1.0)
    control = Control()
    with SideProcess(work, control=control) as helper:  # type: ignore[arg-type]
        assert helper.receive() in ("at it", "asleep")
        control.stop_reason = "Enough."
        threading.Timer(0.1, control.stop.set).start()
        with pytest.raises(Cancelled, match="Enough"):
            helper.receive()
    assert helper._process.poll() is not None


STARTER = """
import sys, time
from migrations_app.engine.control import Control
from migrations_app.engine.side_process import SideProcess
from tests.migrations_app.engine.test_side_process import sleep_on
with SideProcess(sleep_on, control=Control()) as helper:
    helper.receive()
    print(helper._process.pid, flush=True)
    time.sleep(600)
"""


def test_a_helper_ends_with_whoever_started_it() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        helper = psutil.Process(int(starter.stdout.readline()))
        starter.send_signal(signal.SIGKILL)
        helper.wait(timeout=20)
    assert not helper.is_running()


class Helpers:
    """Answers of all helpers counted. Our own side writes `leave` parts and then waits for so many answers."""

    def __init__(self) -> None:
        self.answers, self.leave, self.wait_for = 0, 0, 0
        self.more = threading.Condition()

    def answered(self) -> None:
        with self.more:
            self.answers += 1
            self.more.notify_all()

    def wait(self) -> None:
        with self.more:
            self.leave -= 1
            if self.leave < 0:
                self.more.wait_for(lambda: self.answers >= self.wait_for, timeout=10)


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> Helpers:
    """For files of any size, in parts of 20 rows."""
    monkeypatch.setattr(export_module, "HELPED_BYTES", 0)
    monkeypatch.setattr(table_parts, "PART_ROWS", 20)
    helpers, receive, write = Helpers(), SideProcess.receive, export_module.write_part

    def received(self: SideProcess) -> Any:
        answer = receive(self)
        helpers.answered()
        return answer

    def written(*arguments: Any) -> Iterator[ExportFile]:
        helpers.wait()
        return write(*arguments)

    monkeypatch.setattr(SideProcess, "receive", received)
    monkeypatch.setattr(export_module, "write_part", written)
    return helpers


def test_helpers_write_the_very_files_that_we_write(tmp_path: Path, helpers: Helpers) -> None:
    path = every_kind(tmp_path / "a.sqlite", people=400)
    export(path, tmp_path / "alone", jobs=1, profiled=True, photo="bytea")
    assert not helpers.answers
    helpers.wait_for = 10
    export(path, tmp_path / "helped", jobs=3, profiled=True, photo="bytea")
    assert helpers.answers > 10  # more than their two names
    assert snapshot(tmp_path / "alone") == snapshot(tmp_path / "helped")


def test_a_helper_that_would_see_later_rows_does_nothing(tmp_path: Path, helpers: Helpers) -> None:
    """The application commits after we began to read, and before the helper does."""
    path = tmp_path / "wal.sqlite"
    execute(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as application:
        application.execute("PRAGMA journal_mode=WAL")
        application.executemany("INSERT INTO t VALUES (?, 'before')", [(number,) for number in range(100)])
        seen: list[Progress] = []

        def late(progress: Progress) -> None:
            if progress.phase == "export" and not seen:
                application.execute("UPDATE t SET a = 'after'")
            seen.append(progress)

        helpers.leave, helpers.wait_for = 1, 1  # ours writes a part before the helper is there, the others after
        export(path, tmp_path / "out", Control(report=late), jobs=2)
    lines = b"".join(raw for name, raw in sorted(snapshot(tmp_path / "out").items()) if name.endswith(".jsonl"))
    assert helpers.answers == 1
    assert lines.count(b"before") == 100 and b"after" not in lines


def test_an_export_whose_helper_was_killed_goes_on_the_next_time(
    tmp_path: Path, helpers: Helpers, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = every_kind(tmp_path / "a.sqlite", people=400)
    send = SideProcess.send

    def deadly(self: SideProcess, message: object) -> None:
        if helpers.answers > 3:
            self._process.kill()
        send(self, message)

    helpers.wait_for = 1000
    with monkeypatch.context() as patched:
        patched.setattr(SideProcess, "send", deadly)
        with pytest.raises(Failed) as caught:
            export(path, tmp_path / "out", jobs=2)
    assert caught.value.code == "HELPER_DIED" and not (tmp_path / "out" / "manifest.json").exists()
    helpers.wait_for = 0
    export(path, tmp_path / "out", jobs=3)
    export(path, tmp_path / "alone", jobs=1)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "alone")
