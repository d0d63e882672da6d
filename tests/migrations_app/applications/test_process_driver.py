"""Real processes: started in order, stopped in reverse, found when they hide, left alone when they are others'."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from migrations_app.applications import processes, supervision
from migrations_app.applications.description import PointingValues, for_rehearsal
from migrations_app.applications.supervisor import instance_processes
from migrations_app.applications.write_lock import probe_write_lock
from migrations_app.engine.errors import Failed, Refused
from tests.migrations_app.applications.conftest import TINY, Tiny, free_port, until


def test_processes_start_in_order_and_stop_in_reverse(tiny: Tiny) -> None:
    driver = tiny.driver()
    reality = driver.start("sqlite")
    assert [process.name for process in reality.processes if process.alive] == ["web", "worker"]
    assert reality.state == "running" and reality.configuration == reality.launched_for == "sqlite"
    assert reality.open_ports == (tiny.port,)
    assert {holder.path for holder in reality.holders} >= {str(tiny.sqlite)}
    result = driver.stop()
    assert result.was_running and result.killed == ()
    assert tiny.events() == ["start web", "start worker", "stop worker", "stop web"]
    assert driver.prove_stopped().stopped


def test_starting_twice_is_starting_once(tiny: Tiny) -> None:
    driver = tiny.driver()
    first, second = driver.start("sqlite"), driver.start("sqlite")
    assert [process.pid for process in first.processes] == [process.pid for process in second.processes]


def test_stopping_twice_is_harmless(tiny: Tiny) -> None:
    driver = tiny.driver()
    assert not driver.stop().was_running
    driver.start("sqlite")
    assert driver.stop().was_running
    assert not driver.stop().was_running


def test_start_is_refused_when_the_configuration_names_the_other_database(tiny: Tiny) -> None:
    with pytest.raises(Refused) as error:
        tiny.driver().start("postgresql")
    assert error.value.code == "CONFIGURATION_SAYS_OTHERWISE"
    assert not (tiny.folder / "events.log").exists()


def test_a_process_that_ignores_sigterm_is_killed_and_named(tiny: Tiny) -> None:
    driver = tiny.driver(tiny.describe(fault="ignores_sigterm"))
    driver.start("sqlite")
    assert set(driver.stop().killed) == {"web", "worker"}
    assert driver.prove_stopped().stopped


def test_a_grandchild_that_left_its_session_is_ended_too(tiny: Tiny) -> None:
    driver = tiny.driver(tiny.describe(fault="grandchild"))
    driver.start("sqlite")
    members = instance_processes(driver.state_dir)
    assert len(members) == 5  # supervisor, two processes, and the one that each of them hid
    driver.stop()
    assert not [pid for pid in members if processes.create_time(pid) is not None]
    assert driver.prove_stopped().stopped


def test_the_stop_file_alone_makes_the_supervisor_end_everything(tiny: Tiny) -> None:
    driver = tiny.driver(tiny.describe(fault="grandchild"))
    driver.start("sqlite")
    members = instance_processes(driver.state_dir)
    (driver.state_dir / "stop").touch()
    until(lambda: not [pid for pid in members if processes.create_time(pid) is not None], seconds=30)


def test_a_rehearsal_leaves_a_production_worker_that_was_started_by_hand(tiny: Tiny, python: str) -> None:
    worker = tiny.by_hand(python, str(TINY), "worker")
    until(lambda: (tiny.folder / "events.log").exists())
    copy = tiny.folder / "copy.db"
    copy.write_bytes(tiny.sqlite.read_bytes())
    rehearsed = for_rehearsal(
        tiny.describe(),
        source_path=copy,
        state_dir=tiny.folder / "rehearsal",
        ports={"web": free_port()},
        environment={},
    )
    rehearsal = tiny.driver(rehearsed, "rehearsal")
    assert rehearsal.stop().adopted == () and rehearsal.prove_stopped().stopped
    assert worker.poll() is None


def test_an_application_that_does_not_start_is_reported_with_its_last_words(tiny: Tiny) -> None:
    driver = tiny.driver(tiny.describe(fault="does_not_start"))
    with pytest.raises(Failed) as error:
        driver.start("sqlite")
    assert error.value.code == "START_FAILED"
    assert "exit status 3" in error.value.message and "no licence" in error.value.hint
    assert driver.prove_stopped().stopped


def test_a_crash_is_reported_and_not_hidden_by_a_restart(tiny: Tiny) -> None:
    driver = tiny.driver(tiny.describe(fault="crashes_later"))
    driver.start("sqlite")
    until(lambda: driver.status().state == "degraded")
    reality = driver.status()
    assert "worker" in reality.message
    assert [(entry.name, entry.state, entry.exit_status) for entry in reality.processes] == [
        ("web", "running", None),
        ("worker", "crashed", 7),
    ]
    assert tiny.events().count("start worker") == 1


START_AND_WAIT = """
import pickle, sys, time
description, state_dir = pickle.load(open(sys.argv[1], "rb"))
from migrations_app.applications.process_driver import ProcessDriver
ProcessDriver(description, state_dir).start("sqlite")
print("started", flush=True)
time.sleep(600)
"""


def test_the_application_outlives_the_kill_of_whoever_started_it(tiny: Tiny, tmp_path: Path) -> None:
    import pickle

    driver = tiny.driver()
    (tmp_path / "description.pickle").write_bytes(pickle.dumps((driver.description, driver.state_dir)))
    starter = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT, str(tmp_path / "description.pickle")],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"started\n"
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait(5)
    starter.stdout.close()
    reality = driver.status()
    assert reality.supervisor_alive and all(process.alive for process in reality.processes)
    driver.stop()
    assert driver.prove_stopped().stopped


def test_the_processes_of_a_killed_supervisor_are_found_and_stopped(tiny: Tiny) -> None:
    driver = tiny.driver()
    driver.start("sqlite")
    status = supervision.read_status(driver.state_dir)
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    until(lambda: not driver.status().supervisor_alive)
    assert all(process.alive for process in driver.status().processes)
    assert not driver.prove_stopped().stopped
    with pytest.raises(Refused) as error:
        driver.start("sqlite")
    assert error.value.code == "ALREADY_RUNNING"
    driver.stop()
    assert driver.prove_stopped().stopped


def test_a_recycled_pid_is_not_taken_for_the_application(tiny: Tiny) -> None:
    driver = tiny.driver()
    driver.start("sqlite")
    driver.stop()
    bystander = tiny.by_hand("sleep", "600")
    status = supervision.read_status(driver.state_dir)
    assert status is not None
    for entry in status.processes:
        entry.pid, entry.state = bystander.pid, "running"  # the creation time stays that of the process that ended
        entry.created -= 100
    supervision.write_status(driver.state_dir, status)
    assert not any(process.alive for process in driver.status().processes)
    driver.stop()
    assert bystander.poll() is None


def test_the_proof_names_each_reason_why_the_application_is_not_stopped(tiny: Tiny) -> None:
    driver = tiny.driver()
    driver.start("sqlite")
    proof = driver.prove_stopped()
    assert not (proof.stopped or proof.no_process or proof.ports_closed or proof.file_released)
    text = " ".join(proof.reasons)
    assert "tiny_app.py web" in text and f"port {tiny.port}" in text and str(tiny.sqlite) in text


def test_the_proof_sees_a_write_lock_that_someone_holds(tiny: Tiny, python: str) -> None:
    code = (
        "import sqlite3,sys,time; c=sqlite3.connect(sys.argv[1],isolation_level=None); c.execute('BEGIN IMMEDIATE');"
        "open('locked','w').close(); time.sleep(600)"
    )
    tiny.by_hand(python, "-c", code, str(tiny.sqlite))
    until(lambda: (tiny.folder / "locked").exists())
    proof = tiny.driver().prove_stopped()
    assert not proof.lock_free and not proof.file_released and not proof.stopped


def test_the_proof_leaves_a_file_with_a_log_as_it_was(tiny: Tiny, python: str) -> None:
    code = (
        "import os,sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(\"INSERT INTO items VALUES (99,'late')\");"
        "c.commit(); os._exit(0)"
    )
    tiny.by_hand(python, "-c", code, str(tiny.sqlite)).wait(10)
    wal = Path(f"{tiny.sqlite}-wal")
    before = (tiny.sqlite.read_bytes(), wal.read_bytes())
    proof = tiny.driver().prove_stopped()
    assert proof.stopped and proof.wal_bytes == len(before[1]) > 0
    assert (tiny.sqlite.read_bytes(), wal.read_bytes()) == before


def test_processes_started_by_hand_with_the_operators_command_are_stopped(tiny: Tiny, python: str) -> None:
    web = tiny.by_hand(python, str(TINY), "web", str(tiny.port))
    worker = tiny.by_hand(python, str(TINY), "worker")
    driver = tiny.driver()
    until(lambda: tiny.port in driver.status().open_ports)
    assert driver.status().unsupervised == tuple(sorted((web.pid, worker.pid)))
    with pytest.raises(Refused) as error:
        driver.start("sqlite")
    assert error.value.code == "ALREADY_RUNNING"
    assert len(driver.stop().adopted) == 2
    assert web.wait(5) == 0 and worker.wait(5) == 0
    assert driver.prove_stopped().stopped


def test_a_stranger_on_the_port_is_named_and_left_alone(tiny: Tiny, python: str) -> None:
    stranger = tiny.by_hand(python, "-m", "http.server", str(tiny.port), "--bind", "127.0.0.1")
    driver = tiny.driver()
    until(lambda: tiny.port in driver.status().open_ports)
    for attempt in (lambda: driver.start("sqlite"), driver.stop):
        with pytest.raises(Refused) as error:
            attempt()
        assert error.value.code == "PORT_TAKEN"
        assert str(stranger.pid) in error.value.message and "http.server" in error.value.message
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait(5)


def test_who_only_looks_at_the_file_for_a_moment_keeps_nobody_from_stopping(tiny: Tiny, python: str) -> None:
    looker = tiny.by_hand(python, "-c", "import sys,time; f=open(sys.argv[1]); time.sleep(1.5)", str(tiny.sqlite))
    driver = tiny.driver()
    until(lambda: driver.status().holders)
    driver.stop()
    assert looker.wait(5) == 0, "it ended by itself"
    assert driver.prove_stopped().stopped


def test_a_stranger_with_the_file_open_is_named_and_left_alone(tiny: Tiny, python: str) -> None:
    stranger = tiny.by_hand(python, "-c", "import sys,time; f=open(sys.argv[1]); time.sleep(600)", str(tiny.sqlite))
    driver = tiny.driver()
    until(lambda: driver.status().holders)
    with pytest.raises(Refused) as error:
        driver.stop()
    assert error.value.code == "FILE_HELD_BY_OTHERS" and str(stranger.pid) in error.value.message
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait(5)


def test_the_same_command_in_another_folder_is_not_the_application(tiny: Tiny, python: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = tiny.by_hand("env", f"TINY_SQLITE={other / 'x.db'}", python, str(TINY), "worker", cwd=other)
    until(lambda: (other / "events.log").exists())
    assert not tiny.driver().stop().was_running
    assert stranger.poll() is None


def test_a_rehearsal_and_production_never_stop_each_other(tiny: Tiny) -> None:
    production = tiny.driver()
    production.start("sqlite")
    copy = tiny.folder / "copy.db"
    copy.write_bytes(tiny.sqlite.read_bytes())
    rehearsed = for_rehearsal(
        tiny.describe(),
        source_path=copy,
        state_dir=tiny.folder / "rehearsal",
        ports={"web": free_port()},
        environment={"TINY_SQLITE": str(copy)},
    )
    rehearsal = tiny.driver(rehearsed, "rehearsal")
    rehearsal.start("sqlite", PointingValues(path=copy))
    assert {holder.path for holder in rehearsal.status().holders} >= {str(copy)}
    rehearsal.stop()
    assert rehearsal.prove_stopped().stopped
    assert all(process.alive for process in production.status().processes)
    rehearsal.start("sqlite", PointingValues(path=copy))
    production.stop()
    assert production.prove_stopped().stopped
    assert all(process.alive for process in rehearsal.status().processes)


def test_the_environment_may_not_override_the_file_that_is_switched(tiny: Tiny) -> None:
    description = tiny.describe(environment={"DATABASE_URL": "sqlite:///elsewhere.db"})
    with pytest.raises(Refused) as error:
        tiny.driver(description).start("sqlite")
    assert error.value.code == "ENVIRONMENT_OVERRIDES_FILE"


def test_our_own_environment_does_not_reach_the_application(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "canary-of-the-control-plane")
    driver = tiny.driver()
    reality = driver.start("sqlite")
    for process in reality.processes:
        assert b"canary" not in Path(f"/proc/{process.pid}/environ").read_bytes()


def test_secrets_are_in_no_file_and_no_process_list_once_it_runs(tiny: Tiny) -> None:
    secret = "canary-7f3a-secret"
    driver = tiny.driver(tiny.describe(environment={"TINY_API_KEY": secret}))
    driver.start("sqlite")
    for path in driver.state_dir.iterdir():
        assert secret.encode() not in path.read_bytes(), path
        assert path.stat().st_mode & 0o077 == 0, path
    assert driver.state_dir.stat().st_mode & 0o077 == 0
    for pid in instance_processes(driver.state_dir):
        assert secret not in " ".join(processes.command_line(pid))
    assert secret not in repr(driver.description)


def test_the_lifeline_ends_everything_when_its_process_is_gone(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    lifeline = tiny.by_hand("sleep", "600")
    monkeypatch.setenv("CAUSEWAY_LIFELINE", f"{lifeline.pid}:{processes.create_time(lifeline.pid)}")
    driver = tiny.driver(tiny.describe(fault="ignores_sigterm"))
    driver.start("sqlite")
    lifeline.kill()
    lifeline.wait(5)
    until(lambda: not instance_processes(driver.state_dir), seconds=8)
    assert driver.prove_stopped().stopped


def test_a_process_that_never_listens_is_given_up_in_time(tiny: Tiny) -> None:
    description = tiny.describe()
    web = description.process("web")
    deaf = replace(web, command=replace(web.command, argv=("sleep", "600")), start_timeout_seconds=1)
    driver = tiny.driver(replace(description, processes=(deaf,)))
    with pytest.raises(Failed) as error:
        driver.start("sqlite")
    assert "was not up within 1 s" in error.value.message
    assert driver.prove_stopped().stopped


def test_the_status_file_is_whole_json(tiny: Tiny) -> None:
    driver = tiny.driver()
    driver.start("sqlite")
    document = json.loads((driver.state_dir / "status.json").read_text())
    assert document["state"] == "running" and not (driver.state_dir / "launch.json").exists()


def test_stop_is_proved_once_a_write_in_flight_has_let_go_within_the_applications_own_patience(tiny: Tiny) -> None:
    writing = sqlite3.connect(tiny.sqlite, isolation_level=None, check_same_thread=False)
    writing.execute("BEGIN IMMEDIATE")
    hasty = probe_write_lock(tiny.sqlite, 0.05)
    letting_go = threading.Timer(1.5, writing.rollback)
    letting_go.start()
    patient = tiny.driver(replace(tiny.describe(), busy_timeout_ms=60_000)).prove_stopped()
    letting_go.join()
    writing.close()
    assert not hasty.free and patient.lock_free
