"""rollback.sh where a unit, a person or a proxy is in play: the same script, through the application's driver."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from migrations_app.applications.description import PointingValues
from migrations_app.applications.drivers.choosing import make_driver
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.saved import load, save
from migrations_app.applications.drivers.specs import ByPerson, ByUnits
from migrations_app.applications.rollback_script import write_rollback_script
from migrations_app.engine.source.fingerprint import fingerprint
from tests.migrations_app.applications.conftest import TINY, Tiny, until
from tests.migrations_app.applications.test_blue_green import Pair, blue, pair  # noqa: F401
from tests.migrations_app.applications.test_command_driver import Daemon, daemon  # noqa: F401

# ruff: noqa: F811 (fixtures are taken over by their names)


def write_script(driver: Driver, folder: Path) -> Path:
    backup = folder / "final.db"
    backup.write_bytes(driver.description.source_path.read_bytes())
    return write_rollback_script(
        folder / "rollback.sh",
        driver.description,
        state_dir=driver.state_dir,
        fingerprint=fingerprint(driver.description.source_path),
        final_backup=backup,
        backup_sha256=subprocess.run(["sha256sum", backup], capture_output=True, text=True, check=True).stdout[:64],
        run="17",
    ).path


def run(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(script)], capture_output=True, text=True, timeout=120, check=False)


def test_the_traffic_goes_back_to_blue(blue: Pair) -> None:
    driver = blue.driver()
    driver.stop()
    script = write_script(driver, blue.tiny.folder)
    driver.point("postgresql", blue.values)
    driver.start("postgresql", blue.values)
    assert blue.front() == "postgresql"
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert driver.traffic() == blue.front() == "sqlite"
    assert driver.prove_stopped("postgresql").stopped and driver.status().state == "running"


def test_the_operators_commands_stop_and_start_it(daemon: Daemon) -> None:
    driver = daemon.driver()
    driver.start("sqlite")
    driver.stop()
    script = write_script(driver, daemon.tiny.folder)
    assert (script.with_name("rollback.driver.json").stat().st_mode & 0o777) == 0o600
    driver.point("postgresql", PointingValues(daemon.tiny.sqlite, "127.0.0.1", 5432, "tiny", "word", "tiny"))
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert daemon.alive() == ["web", "worker"] and driver.status().launched_for == "sqlite"
    before = daemon.pids()
    assert run(script).returncode == 0 and daemon.pids() == before


def test_a_person_is_told_what_to_do_and_the_script_is_run_again(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_SQLITE", str(tiny.sqlite))
    driver = make_driver(replace(tiny.describe(), driver=ByPerson()), tiny.folder / "state")
    script = write_script(driver, tiny.folder)
    web = tiny.by_hand(sys.executable, str(TINY), "web", str(tiny.port))
    until(lambda: tiny.port in driver.status().open_ports)
    driver.point("postgresql", PointingValues(tiny.sqlite, "127.0.0.1", 5432, "tiny", "word", "tiny"))
    done = run(script)
    assert done.returncode == 3 and "Stop web, worker of tiny now" in done.stderr
    web.terminate()
    web.wait(5)
    done = run(script)
    assert done.returncode == 3 and "Start web, worker of tiny now, on sqlite" in done.stderr
    tiny.by_hand(sys.executable, str(TINY), "web", str(tiny.port))
    until(lambda: tiny.port in driver.status().open_ports)
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert "already runs on SQLite" in done.stdout


@pytest.mark.parametrize("kind", ["units", "person", "two", "commands"])
def test_what_is_saved_is_what_is_driven(pair: Pair, daemon: Daemon, kind: str) -> None:
    described = {
        "units": replace(pair.tiny.describe(), driver=ByUnits(("a.service", "b.timer"), "user")),
        "person": replace(pair.tiny.describe(), driver=ByPerson("Call 4711.")),
        "two": pair.describe(),
        "commands": daemon.driver().description,
    }[kind]
    file = pair.tiny.folder / "saved.json"
    save(file, described, pair.tiny.folder / "state")
    assert load(file) == (replace(described, endpoints=()), pair.tiny.folder / "state")
