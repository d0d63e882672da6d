"""The operator's own commands: run within limits, and never believed."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from migrations_app.applications import processes
from migrations_app.applications.description import CommandSpec
from migrations_app.applications.drivers.choosing import make_driver
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.specs import ByCommands
from migrations_app.engine.errors import Failed, Refused
from tests.migrations_app.applications.conftest import TINY, Tiny, until

SCRIPT = Path(__file__).with_name("operators_commands.py")


@dataclass
class Daemon:
    """The tiny application, kept by a script of its operator's."""

    tiny: Tiny

    def command(self, verb: str, fault: str = "", seconds: int = 20) -> CommandSpec:
        return CommandSpec(
            f"tiny-{verb}", ("{python}", str(SCRIPT), verb), self.tiny.folder, {"COMMANDS_FAULT": fault}, seconds
        )

    def driver(self, fault: str = "", seconds: int = 20, signal: bool = True, **more) -> Driver:
        named = [self.command(verb, fault, seconds) for verb in ("start", "stop", "status")]
        spec = ByCommands(*named, signal=self.command("signal") if signal else None)
        return make_driver(replace(self.tiny.describe(**more), driver=spec), self.tiny.folder / "state")

    def pids(self) -> dict[str, int]:
        file = self.tiny.folder / "daemon.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def alive(self) -> list[str]:
        return [name for name, pid in self.pids().items() if processes.create_time(pid) is not None]


@pytest.fixture
def daemon(tiny: Tiny) -> Iterator[Daemon]:
    program = ["env", f"TINY_SQLITE={tiny.sqlite}", sys.executable, str(TINY)]
    wrapped = {"web": [*program, "web", str(tiny.port)], "worker": [*program, "worker"]}
    (tiny.folder / "daemons.json").write_text(json.dumps(wrapped))
    made = Daemon(tiny)
    yield made
    for pid in made.pids().values():
        with suppress(ProcessLookupError):
            os.kill(pid, 9)


def test_what_a_command_starts_outlives_it_and_is_stopped_by_another(daemon: Daemon) -> None:
    driver = daemon.driver()
    driver.check()
    reality = driver.start("sqlite")
    assert [entry.name for entry in reality.processes] == ["web", "worker"] == daemon.alive()
    assert reality.state == "running" and reality.open_ports == (daemon.tiny.port,)
    assert not driver.prove_stopped().stopped
    assert driver.stop().was_running and daemon.alive() == []
    assert driver.prove_stopped().stopped and not driver.stop().was_running


def test_starting_twice_is_starting_once(daemon: Daemon) -> None:
    driver = daemon.driver()
    driver.start("sqlite")
    before = daemon.pids()
    driver.start("sqlite")
    assert daemon.pids() == before


@pytest.mark.parametrize("fault", ["stop_lies", "status_lies"])
def test_a_command_that_lies_about_the_stop_is_not_believed(daemon: Daemon, fault: str) -> None:
    daemon.driver().start("sqlite")
    driver = daemon.driver(fault)
    if fault == "stop_lies":
        with pytest.raises(Failed) as error:
            driver.stop()
        assert error.value.code == "STOP_FAILED" and "tiny-status says: web" in error.value.message
    proof = driver.prove_stopped()
    assert not proof.stopped and not proof.ports_closed and not proof.file_released


def test_both_lying_do_not_make_a_stop(daemon: Daemon) -> None:
    daemon.driver().start("sqlite")
    lying = daemon.driver("status_lies")
    lying.spec = replace(lying.spec, stop=daemon.command("stop", "stop_lies"))  # type: ignore[attr-defined]
    with pytest.raises(Failed) as error:
        lying.stop()
    assert error.value.code == "STOP_FAILED" and f"port {daemon.tiny.port} still answers" in error.value.message


@pytest.mark.parametrize("fault", ["stop_hangs", "stop_fails"])
def test_a_stop_that_fails_or_hangs_is_told_within_its_time_limit(daemon: Daemon, fault: str) -> None:
    daemon.driver().start("sqlite")
    with pytest.raises(Failed) as error:
        daemon.driver(fault, seconds=1).stop()
    assert error.value.code == "STOP_FAILED"
    assert ("did not end in time" if fault == "stop_hangs" else "ended with 1 (not now)") in error.value.message
    assert daemon.alive() == ["web", "worker"]


def test_a_status_that_fails_means_that_nobody_knows(daemon: Daemon) -> None:
    driver = daemon.driver("status_fails")
    with pytest.raises(Failed) as error:
        driver.check()
    assert error.value.code == "STATUS_UNKNOWN"
    assert driver.status().state == "unknown"
    with pytest.raises(Failed):
        driver.start("sqlite")
    assert daemon.pids() == {}


@pytest.mark.parametrize("fault", ["start_fails", "start_stops_halfway", "start_hangs"])
def test_a_start_that_fails_leaves_nothing_running(daemon: Daemon, fault: str) -> None:
    driver = daemon.driver()
    hanging = 1 if fault == "start_hangs" else 20
    driver.spec = replace(driver.spec, start=daemon.command("start", fault, hanging))  # type: ignore[attr-defined]
    with pytest.raises(Failed) as error:
        driver.start("sqlite")
    assert error.value.code == "START_FAILED" and "abcdefghijkl" not in str(error.value)
    assert daemon.alive() == [] and driver.prove_stopped().stopped


def test_what_ran_before_causeway_started_it_is_not_taken_for_its_start(daemon: Daemon) -> None:
    daemon.driver().start("sqlite")
    (daemon.tiny.folder / "state" / "launched.json").unlink()
    with pytest.raises(Refused) as error:
        daemon.driver().start("sqlite")
    assert error.value.code == "ALREADY_RUNNING"
    assert daemon.alive() == ["web", "worker"]


@pytest.mark.parametrize("signal", [True, False])
def test_a_signalled_stop_is_not_waited_for(daemon: Daemon, signal: bool) -> None:
    driver = daemon.driver(signal=signal)
    driver.start("sqlite")
    driver.signal_stop()
    until(lambda: daemon.alive() == [])
    driver.stop()
    assert driver.prove_stopped().stopped
    assert daemon.tiny.events().count("stop web") == 1


def test_a_command_that_is_no_program_is_told(daemon: Daemon) -> None:
    driver = daemon.driver()
    missing = CommandSpec("tiny-start", ("/nonexistent",), daemon.tiny.folder)
    driver.spec = replace(driver.spec, start=missing, signal=missing)  # type: ignore[attr-defined]
    with pytest.raises(Failed) as error:
        driver.start("sqlite")
    assert "/nonexistent" in error.value.message
    with pytest.raises(Failed) as error:
        driver.signal_stop()
    assert error.value.code == "COMMAND_NOT_RUN"
