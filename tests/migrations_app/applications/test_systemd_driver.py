"""Units of a real systemd: stopped and proved by the kernel, started on the right database, others' left alone."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from migrations_app.applications import processes
from migrations_app.applications.description import ApplicationDescription
from migrations_app.applications.drivers.choosing import make_driver
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.specs import ByUnits
from migrations_app.engine.errors import Failed, Refused
from tests.migrations_app.applications import private_systemd
from tests.migrations_app.applications.conftest import TINY, Tiny, until
from tests.migrations_app.applications.private_systemd import PrivateSystemd

UNITS = ("tiny-web.service", "tiny-worker.service")


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSystemd]:
    manager = private_systemd.begin(tmp_path_factory.mktemp("systemd"))
    yield manager
    manager.end()


@dataclass
class Units:
    """The tiny application as two units."""

    tiny: Tiny
    systemd: PrivateSystemd

    def write(self, name: str, role: str, fault: str = "", more: str = "") -> None:
        command = f"{sys.executable} {TINY} {role}"
        self.systemd.add_unit(
            name,
            f"[Service]\nExecStart={command}\nWorkingDirectory={self.tiny.folder}\nTimeoutStopSec=3\n"
            f"Environment=TINY_SQLITE={self.tiny.sqlite} TINY_FAULT={fault}\n{more}\n",
        )

    def describe(self, units: tuple[str, ...] = UNITS, **more) -> ApplicationDescription:
        return replace(self.tiny.describe(), driver=ByUnits(units, manager="user"), **more)

    def driver(self, units: tuple[str, ...] = UNITS, **more) -> Driver:
        return make_driver(self.describe(units, **more), self.tiny.folder / "state")


@pytest.fixture
def units(tiny: Tiny, systemd: PrivateSystemd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Units]:
    for name, value in systemd.environment.items():
        monkeypatch.setenv(name, value)
    made = Units(tiny, systemd)
    made.write(UNITS[0], f"web {tiny.port}")
    made.write(UNITS[1], "worker")
    systemd.reload()
    yield made
    for name in systemd.units():
        systemd.systemctl("stop", name)
        systemd.remove_unit(name)
    systemd.systemctl("reset-failed")


def pids_of(driver: Driver) -> set[int]:
    return {entry.pid for entry in driver.status().processes if entry.alive}


def test_units_are_started_and_stopped_and_the_kernel_confirms_it(units: Units) -> None:
    driver = units.driver()
    driver.check()
    reality = driver.start("sqlite")
    assert [(entry.name, entry.state) for entry in reality.processes] == [(name, "running") for name in UNITS]
    assert reality.state == "running" and reality.open_ports == (units.tiny.port,)
    assert reality.launched_for == reality.configuration == "sqlite" and reality.unsupervised == ()
    pids = pids_of(driver)
    assert len(pids) == 2 and driver.members() == pids
    assert not driver.prove_stopped().stopped
    assert driver.stop().was_running
    assert not [pid for pid in pids if processes.create_time(pid) is not None]
    assert driver.prove_stopped().stopped and driver.status().state == "stopped"


def test_starting_twice_is_starting_once_and_stopping_twice_is_harmless(units: Units) -> None:
    driver = units.driver()
    driver.start("sqlite")
    before = pids_of(driver)
    driver.start("sqlite")
    assert pids_of(driver) == before
    assert driver.stop().was_running and not driver.stop().was_running


def test_what_ran_before_causeway_started_it_is_not_taken_for_its_start(units: Units) -> None:
    units.systemd.systemctl("start", *UNITS)
    with pytest.raises(Refused) as error:
        units.driver().start("sqlite")
    assert error.value.code == "ALREADY_RUNNING"


def test_a_start_that_was_killed_halfway_is_finished(units: Units) -> None:
    (units.tiny.folder / "state").mkdir()
    (units.tiny.folder / "state" / "launched.json").write_text(json.dumps({"dialect": "sqlite"}))
    units.systemd.systemctl("start", UNITS[0])
    assert {entry.state for entry in units.driver().start("sqlite").processes} == {"running"}


def test_a_start_on_another_database_than_the_configuration_names_is_refused(units: Units) -> None:
    with pytest.raises(Refused) as error:
        units.driver().start("postgresql")
    assert error.value.code == "CONFIGURATION_SAYS_OTHERWISE"
    assert units.driver().status().state == "stopped"


def test_a_unit_that_fails_at_once_leaves_nothing_running(units: Units) -> None:
    units.write(UNITS[1], "worker", fault="does_not_start")
    units.systemd.reload()
    with pytest.raises(Failed) as error:
        units.driver().start("sqlite")
    assert error.value.code == "START_FAILED" and UNITS[1] in error.value.message
    assert units.driver().prove_stopped().stopped


def test_a_signalled_stop_returns_at_once_and_is_proved_later(units: Units) -> None:
    units.write(UNITS[1], "worker", fault="ignores_sigterm")
    units.systemd.reload()
    driver = units.driver()
    driver.start("sqlite")
    driver.signal_stop()
    assert not driver.prove_stopped().no_process  # the worker takes its three seconds
    assert UNITS[1] in driver.stop().killed
    assert driver.prove_stopped().stopped


def test_a_process_that_outlives_its_unit_is_seen_in_its_control_group(units: Units) -> None:
    units.write(UNITS[1], "worker", fault="grandchild", more="KillMode=process")
    units.systemd.reload()
    driver = units.driver()
    driver.start("sqlite")
    members = driver.members()
    with pytest.raises(Failed) as error:
        driver.stop()
    assert error.value.code == "STOP_FAILED"
    left = [pid for pid in members if processes.create_time(pid) is not None]
    assert left and all(f"process {pid}" in error.value.message for pid in left)
    assert not driver.prove_stopped().stopped
    units.systemd.systemctl("kill", "--kill-whom=all", "--signal=KILL", UNITS[1])
    until(lambda: driver.prove_stopped().stopped)


def test_a_unit_that_comes_back_by_itself_stays_stopped(units: Units) -> None:
    units.write(UNITS[0], f"web {units.tiny.port}", more="Restart=always\nRestartSec=0")
    units.systemd.reload()
    driver = units.driver()
    driver.start("sqlite")
    driver.stop()
    assert driver.prove_stopped().stopped


@pytest.mark.parametrize(
    "name", ["--all.service", "tiny-*.service", "tiny-web", "a b.service", "../x.service", "multi-user.target", ""]
)
def test_what_is_no_whole_name_of_a_unit_is_refused_before_systemd_hears_it(units: Units, name: str) -> None:
    with pytest.raises(Refused) as error:
        units.driver((name,))
    assert error.value.code == "BAD_UNIT"


def test_an_unknown_unit_is_refused_and_nothing_is_stopped(units: Units) -> None:
    units.driver().start("sqlite")
    driver = units.driver((*UNITS, "tiny-cron.service"))
    for attempt in (driver.check, driver.stop):
        with pytest.raises(Refused) as error:
            attempt()
        assert error.value.code == "UNIT_UNKNOWN" and "tiny-cron.service" in error.value.message
    assert units.driver().status().state == "running"


def test_a_timer_that_would_start_the_application_again_has_to_be_named(units: Units) -> None:
    units.systemd.add_unit("tiny-worker.timer", "[Timer]\nOnActiveSec=1h\n")
    units.systemd.reload()
    units.systemd.systemctl("start", "tiny-worker.timer")
    with pytest.raises(Refused) as error:
        units.driver().check()
    assert error.value.code == "UNIT_STARTED_BY_OTHERS" and "tiny-worker.timer" in error.value.message
    whole = units.driver((*UNITS, "tiny-worker.timer"))
    whole.check()
    whole.stop()
    assert {entry.state for entry in whole.status().processes} == {"stopped"}
    whole.start("sqlite")
    states = {entry.name: entry.state for entry in whole.status().processes}
    assert states["tiny-worker.service"] == "stopped"  # it is the timer's to start
    assert states["tiny-web.service"] == states["tiny-worker.timer"] == "running"
    assert whole.stop().was_running


def test_a_unit_whose_file_changed_unread_is_refused(units: Units) -> None:
    units.driver().start("sqlite")
    units.write(UNITS[0], f"web {units.tiny.port}", more="# another")
    with pytest.raises(Refused) as error:
        units.driver().check()
    assert error.value.code == "UNIT_OUTDATED"


def test_an_application_that_its_environment_points_can_not_be_units(units: Units) -> None:
    pointed = units.tiny.describe(mechanism="environment").pointing
    driver = units.driver(pointing=pointed)
    for attempt in (driver.check, lambda: driver.start("sqlite")):
        with pytest.raises(Refused) as error:
            attempt()
        assert error.value.code == "POINTING_NEEDS_FILE"


def test_a_host_without_systemd_is_told_so(units: Units) -> None:
    spec = ByUnits(UNITS, program=Path("/nonexistent/systemctl"))
    with pytest.raises(Failed) as error:
        make_driver(replace(units.describe(), driver=spec), units.tiny.folder / "state").status()
    assert error.value.code == "SYSTEMD_NOT_ASKED"
