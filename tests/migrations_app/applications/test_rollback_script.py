"""rollback.sh, run by a plain shell with Causeway stopped, in every state that a run can be in."""

import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from migrations_app.applications import configuration, supervision
from migrations_app.applications.description import Pointing, PointingValues
from migrations_app.applications.process_driver import ProcessDriver
from migrations_app.applications.rollback_script import RollbackScript, write_rollback_script
from migrations_app.applications.supervisor import instance_processes
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.target.target_url import parse_target_url
from tests.migrations_app.applications.conftest import KEYS, Tiny, until

BARE = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


@dataclass
class Scene:
    """An application stopped, its final backup taken, rollback.sh written."""

    tiny: Tiny
    driver: ProcessDriver
    script: RollbackScript
    backup: Path
    values: PointingValues

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(self.script.path), *arguments], capture_output=True, text=True, env=BARE, cwd="/", timeout=120
        )

    def switch(self) -> None:
        configuration.switch(self.driver.description.pointing, "postgresql", self.values)

    def items(self) -> int:
        with closing(sqlite3.connect(self.tiny.sqlite)) as connection:
            return connection.execute("SELECT count(*) FROM items").fetchone()[0]

    def set_aside(self) -> list[Path]:
        return sorted(
            path for path in self.tiny.folder.glob("app.db.differs-*") if path.suffix[-4:] not in ("-wal", "-shm")
        )

    def add_item(self, key: int) -> None:
        with closing(sqlite3.connect(self.tiny.sqlite)) as connection:
            connection.execute("INSERT INTO items VALUES (?, 'late')", (key,))
            connection.commit()


@pytest.fixture(params=["file", "environment"])
def scene(tiny: Tiny, request: pytest.FixtureRequest, target_url: str) -> Scene:
    return make_scene(tiny, request.param, target_url)


def make_scene(tiny: Tiny, mechanism: str, target_url: str, **more) -> Scene:
    make_tables(target_url)
    driver = tiny.driver(tiny.describe(mechanism=mechanism, **more))
    values = PointingValues.of(parse_target_url(target_url), tiny.sqlite)
    backup = tiny.folder / "artefacts" / "final.db"
    backup.parent.mkdir()
    with closing(sqlite3.connect(tiny.sqlite)) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)
    sha = subprocess.run(["sha256sum", str(backup)], capture_output=True, text=True, check=True).stdout[:64]
    script = write_rollback_script(
        backup.with_name("rollback.sh"),
        driver.description,
        state_dir=driver.state_dir,
        fingerprint=fingerprint(tiny.sqlite),
        final_backup=backup,
        backup_sha256=sha,
        run="17",
        delta=backup.with_name("delta.jsonl"),
    )
    return Scene(tiny, driver, script, backup, values)


def make_tables(target_url: str) -> None:
    import psycopg2

    with closing(psycopg2.connect(target_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE items (id integer PRIMARY KEY, name text)")
        cursor.execute("INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 7) n")
        cursor.execute("CREATE TABLE beats (id serial PRIMARY KEY, name text)")


def assert_back_on_sqlite(scene: Scene) -> None:
    reality = scene.driver.status()
    assert reality.configuration == "sqlite" and reality.launched_for == "sqlite"
    assert reality.state == "running" and all(process.alive for process in reality.processes)
    assert str(scene.tiny.sqlite) in {holder.path for holder in reality.holders}


def test_it_rolls_back_an_application_that_runs_on_postgresql(scene: Scene) -> None:
    before = scene.tiny.environment_file.read_bytes()
    scene.switch()
    scene.driver.start("postgresql", scene.values)
    done = scene.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left alone" in done.stdout and "stays in PostgreSQL" in done.stdout
    assert_back_on_sqlite(scene)
    assert scene.tiny.environment_file.read_bytes() == before and scene.set_aside() == []


def test_it_needs_neither_our_packages_nor_our_interpreter(scene: Scene) -> None:
    text = scene.script.path.read_text()
    python = next(line for line in text.splitlines() if line.startswith("PYTHON="))
    scene.script.path.write_text(text.replace(python, "PYTHON=/no/such/python"))
    scene.switch()
    done = scene.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert_back_on_sqlite(scene)


def test_it_starts_an_application_that_was_stopped_and_never_switched(scene: Scene) -> None:
    done = scene.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert_back_on_sqlite(scene)
    assert "says SQLite: the SQLite file is left alone" in done.stdout


def test_run_again_it_finds_nothing_to_do_and_new_rows_stay(scene: Scene) -> None:
    scene.switch()
    assert scene.run().returncode == 0
    scene.add_item(50)
    pids = instance_processes(scene.driver.state_dir)
    done = scene.run()
    assert done.returncode == 0 and "nothing to do" in done.stdout
    assert instance_processes(scene.driver.state_dir) == pids
    scene.driver.stop()
    done = scene.run()  # stopped since: the living file must not be taken for a damaged one
    assert done.returncode == 0, done.stdout + done.stderr
    assert scene.items() == 8 and scene.set_aside() == []


def test_a_file_that_was_written_after_the_stop_is_kept_aside_and_the_final_backup_restored(scene: Scene) -> None:
    scene.switch()
    scene.add_item(99)
    os.chmod(scene.tiny.sqlite, 0o640)
    done = scene.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert scene.items() == 7
    (aside,) = scene.set_aside()
    assert str(aside) in done.stdout
    with closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("SELECT count(*) FROM items").fetchone()[0] == 8
    assert scene.tiny.sqlite.stat().st_mode & 0o777 == 0o640


def test_a_change_that_is_only_in_the_log_is_noticed_and_kept(scene: Scene, python: str) -> None:
    scene.switch()
    code = (
        "import os,sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(\"INSERT INTO items VALUES (99,'late')\");"
        "c.commit(); os._exit(0)"
    )
    subprocess.run([python, "-c", code, str(scene.tiny.sqlite)], check=True)
    done = scene.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert scene.items() == 7
    (aside,) = [path for path in scene.set_aside() if not path.name.endswith(("-wal", "-shm"))]
    with closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("SELECT count(*) FROM items").fetchone()[0] == 8


def test_a_missing_file_is_restored(scene: Scene) -> None:
    scene.switch()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{scene.tiny.sqlite}{suffix}").unlink(missing_ok=True)
    done = scene.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert scene.items() == 7


def test_a_damaged_backup_is_refused_before_anything_changes(scene: Scene) -> None:
    scene.switch()
    scene.driver.start("postgresql", scene.values)
    scene.add_item(99)
    content = bytearray(scene.backup.read_bytes())
    content[5000] ^= 1
    scene.backup.write_bytes(content)
    done = scene.run()
    assert done.returncode == 2 and "damaged" in done.stderr and "nothing was changed" in done.stdout
    assert scene.driver.status().launched_for == "postgresql" and scene.items() == 8


def test_dry_run_says_all_and_changes_nothing(scene: Scene) -> None:
    scene.switch()
    scene.driver.start("postgresql", scene.values)
    scene.add_item(99)
    scene.backup.with_name("delta.jsonl").write_text("[]\n")
    pids = instance_processes(scene.driver.state_dir)
    done = scene.run("--dry-run")
    assert done.returncode == 0, done.stderr
    assert [
        word
        for word in ("would stop", "would keep", "would point", "would start", "delta.jsonl")
        if word not in done.stdout
    ] == []
    assert instance_processes(scene.driver.state_dir) == pids and scene.items() == 8
    assert scene.driver.status().configuration == "postgresql"


def test_the_processes_of_a_killed_supervisor_are_stopped_too(scene: Scene) -> None:
    scene.switch()
    scene.driver.start("postgresql", scene.values)
    status = supervision.read_status(scene.driver.state_dir)
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    until(lambda: not scene.driver.status().supervisor_alive)
    old = {process.pid for process in scene.driver.status().processes}
    done = scene.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert_back_on_sqlite(scene)
    assert not old & instance_processes(scene.driver.state_dir)


def test_a_stranger_on_the_port_stops_it_with_advice(tiny: Tiny, target_url: str, python: str) -> None:
    scene = make_scene(tiny, "file", target_url)
    scene.switch()
    stranger = tiny.by_hand(python, "-m", "http.server", str(tiny.port), "--bind", "127.0.0.1")
    until(lambda: tiny.port in scene.driver.status().open_ports)
    done = scene.run()
    assert done.returncode == 3 and f"port {tiny.port}" in done.stderr and "run this again" in done.stderr
    stranger.kill()
    stranger.wait(5)
    assert scene.run().returncode == 0
    assert_back_on_sqlite(scene)


def test_a_process_that_holds_the_file_stops_it_with_advice(tiny: Tiny, target_url: str, python: str) -> None:
    scene = make_scene(tiny, "file", target_url)
    scene.switch()
    stranger = tiny.by_hand(python, "-c", "import sys,time; f=open(sys.argv[1]); time.sleep(600)", str(tiny.sqlite))
    until(lambda: scene.driver.status().holders)
    done = scene.run()
    assert done.returncode == 3 and str(stranger.pid) in done.stdout
    stranger.kill()
    stranger.wait(5)


def test_an_application_that_does_not_start_is_told_and_a_second_run_ends_it(tiny: Tiny, target_url: str) -> None:
    scene = make_scene(tiny, "file", target_url)
    scene.switch()
    shutil.move(tiny.sqlite, tiny.folder / "moved.db")
    scene.backup.rename(scene.backup.with_suffix(".gone"))
    done = scene.run()
    assert done.returncode == 2 and "missing" in done.stderr
    scene.backup.with_suffix(".gone").rename(scene.backup)
    assert scene.run().returncode == 0
    assert_back_on_sqlite(scene)


def test_an_application_that_is_not_healthy_afterwards_is_told(tiny: Tiny, target_url: str) -> None:
    scene = make_scene(tiny, "file", target_url, fault="answers_500")
    scene.switch()
    done = scene.run()
    assert done.returncode == 1 and "answered 500" in done.stderr and "health check fails" in done.stderr


def test_lines_added_to_the_configuration_since_stay(tiny: Tiny, target_url: str) -> None:
    scene = make_scene(tiny, "file", target_url)
    before = tiny.environment_file.read_bytes()
    scene.switch()
    with open(tiny.environment_file, "ab") as handle:
        handle.write(b"NEW_SETTING=1 # since\n")
    assert scene.run().returncode == 0
    assert tiny.environment_file.read_bytes() == before + b"NEW_SETTING=1 # since\n"


def test_a_key_that_the_switch_added_is_taken_away_again(tiny: Tiny, target_url: str) -> None:
    keys = {**KEYS, "DATABASE_TYPE": {"sqlite": "sqlite", "postgresql": "postgresql"}}
    pointing = Pointing("file", keys, tiny.folder / "state" / "pointing.json", tiny.environment_file)
    scene = make_scene(tiny, "file", target_url, pointing=pointing)
    before = tiny.environment_file.read_bytes()
    scene.switch()
    assert b"DATABASE_TYPE=postgresql" in tiny.environment_file.read_bytes()
    assert scene.run().returncode == 0
    assert tiny.environment_file.read_bytes() == before


def test_after_start_is_run(tiny: Tiny, target_url: str) -> None:
    description = tiny.describe()
    command = replace(description.processes[0].command, argv=("touch", "maintenance over"), environment={})
    scene = make_scene(tiny, "file", target_url, after_start=command)
    scene.switch()
    assert scene.run().returncode == 0
    assert (tiny.folder / "maintenance over").exists()


@pytest.mark.parametrize("step", ["cp --", "mv --", "configuration ||", "start_application ||"])
def test_killed_at_a_step_and_run_again_it_ends_well(tiny: Tiny, target_url: str, step: str) -> None:
    scene = make_scene(tiny, "file", target_url)
    scene.switch()
    scene.driver.start("postgresql", scene.values)
    scene.add_item(99)
    text = scene.script.path.read_text()
    place = text.index(step)
    start = text.rindex("\n", 0, place) + 1
    scene.script.path.write_text(text[:start] + "kill -9 $$\n" + text[start:])
    assert scene.run().returncode == -signal.SIGKILL
    scene.script.path.write_text(text)
    done = scene.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert_back_on_sqlite(scene)
    assert scene.items() == 7


def test_it_holds_no_secret_and_is_private(tiny: Tiny, target_url: str) -> None:
    tiny.environment_file.write_bytes(tiny.environment_file.read_bytes() + b"API_TOKEN=canary-in-the-file\n")
    scene = make_scene(tiny, "file", target_url, environment={"TINY_KEY": "canary-in-the-environment"})
    text = scene.script.path.read_text()
    assert "canary" not in text and scene.values.password not in text
    assert scene.script.path.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in scene.script.files] == [0o600, 0o600]
    assert subprocess.run(["sh", "-n", str(scene.script.path)]).returncode == 0
