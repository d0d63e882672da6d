"""The demo as a command: one instance, everything ends with it, and the next start goes on."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from controlplane.embedded.ports import is_free
from demo.stage.home import ROOT, Home
from tests.controlplane.embedded.waiting import wait_until

START_SECONDS = 240
UP = "Ctrl-C ends everything"


class Demo:
    """One `python -m demo.stage` in a folder, without the rehearsals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = folder.parent / "said"
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        with open(self.said, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "demo.stage", "--no-runs", "--state-dir", str(folder)],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def output(self) -> str:
        return self.said.read_text()

    def wait_until_up(self) -> None:
        assert wait_until(lambda: UP in self.output() or self.process.poll() is not None, START_SECONDS), self.output()
        assert UP in self.output(), self.output()

    def ports(self) -> dict[str, int]:
        found: dict[str, int] = json.loads((self.folder / "ports.json").read_text())
        return found

    def others(self) -> list[psutil.Process]:
        """Every process that belongs to the folder, the command itself left out."""
        return [process for process in psutil.process_iter() if process.pid != self.process.pid and self._ours(process)]

    def _ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            told = [*process.cmdline(), process.cwd(), *process.environ().values()]
        except psutil.Error:  # ended while we looked
            return False
        return any(str(self.folder) in text for text in told)

    def member(self, word: str) -> psutil.Process:
        """The first of them whose command holds the word, its tether left out."""
        found = [process for process in self.others() if word in process.cmdline()]
        return min(
            (process for process in found if not any("tether" in part for part in process.cmdline())),
            key=lambda process: process.create_time(),
        )

    def pages_are_served(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports()['web']}/sign-in/", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def all_ended(self) -> bool:
        listening = [name for name, port in self.ports().items() if not is_free(port)]
        return not listening and not self.others()


def database_of(demo: Demo) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{demo.ports()['yukyu']}/api/health", timeout=10) as answer:
        return str(json.load(answer)["database"])


def second_instance(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo.stage", "--fresh", "--state-dir", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(servers_dir: Path) -> Path:
    return servers_dir / "demo"


def test_a_killed_demo_leaves_nothing_and_the_next_start_goes_on_with_it(folder: Path) -> None:
    first = Demo(folder)
    try:
        first.wait_until_up()
        assert len(first.others()) > 8
        assert database_of(first) == "sqlite"
        passwords, ports = (folder / "keys" / "people.json").read_text(), first.ports()

        refused = second_instance(folder)
        assert refused.returncode == 1
        assert "already runs" in refused.stderr
        assert database_of(first) == "sqlite"
    finally:
        first.process.kill()
        first.process.wait(10)
    assert wait_until(first.all_ended, 5), [process.cmdline() for process in first.others()]

    second = Demo(folder)
    try:
        second.wait_until_up()
        assert second.ports() == ports
        assert (folder / "keys" / "people.json").read_text() == passwords
        assert database_of(second) == "sqlite"

        second.member("gunicorn").kill()
        assert wait_until(lambda: "starting it again (1 of 3)" in second.output(), 20), second.output()
        assert wait_until(second.pages_are_served, 60)
    finally:
        second.process.send_signal(signal.SIGINT)
        ended = wait_until(lambda: second.process.poll() is not None, 5)
        second.process.kill()
    assert ended and second.process.wait(5) == 0, second.output()
    assert not Home(folder).strangers()  # so that --fresh may erase all that a demo makes
    assert wait_until(second.all_ended, 1), [process.cmdline() for process in second.others()]
