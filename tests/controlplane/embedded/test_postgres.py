"""The private PostgreSQL: made, restarted, killed, refused."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg2
import pytest

from controlplane.embedded import EmbeddedError, EmbeddedPostgres
from controlplane.embedded.binaries import find_postgres
from tests.controlplane.embedded.waiting import wait_until


def test_it_keeps_data_port_and_password_over_a_restart(servers_dir: Path) -> None:
    with EmbeddedPostgres(servers_dir) as server:
        server.create_role("owner", "it's a 'pass/word'")
        server.create_database("shop", owner="owner")
        url = server.url("shop", role="owner", password="it's a 'pass/word'")
        psycopg2.connect(url).close()
    with EmbeddedPostgres(servers_dir) as again:
        assert again.url("shop", role="owner", password="it's a 'pass/word'") == url
        psycopg2.connect(url).close()
        assert again.version >= 15
        assert again.execute("SELECT 1 + %s", [1]) == [(2,)]


def test_it_starts_again_after_kill_nine_of_everything(servers_dir: Path) -> None:
    server = EmbeddedPostgres(servers_dir).start()
    server.execute("CREATE TABLE kept AS SELECT 42 AS n")
    backends = psutil.Process(server.pid).children()
    os.kill(server.pid, signal.SIGKILL)
    assert wait_until(lambda: not server.running)
    with pytest.raises(EmbeddedError, match=r"postgres\.died"):
        server.check()
    server.stop()
    psutil.wait_procs(backends, timeout=20)
    with server:
        assert server.execute("SELECT n FROM kept") == [(42,)]


def test_a_lock_file_that_names_another_program_does_not_stop_the_start(servers_dir: Path) -> None:
    server = EmbeddedPostgres(servers_dir).start()
    lock = server.data_dir / "postmaster.pid"
    held = lock.read_text()
    server.stop()
    lock.write_text(held.replace(held.split("\n", 1)[0], str(os.getpid()), 1))
    with server:
        assert server.running


def test_a_second_server_on_the_same_folder_is_refused(servers_dir: Path) -> None:
    with EmbeddedPostgres(servers_dir), pytest.raises(EmbeddedError) as caught:
        EmbeddedPostgres(servers_dir).start()
    assert caught.value.code == "postgres.running"


def test_a_port_of_another_program_is_refused(servers_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(EmbeddedError) as caught:
        EmbeddedPostgres(servers_dir, port=other.getsockname()[1]).start()
    assert caught.value.code == "postgres.port"


def test_its_password_is_in_no_process_list_and_is_asked_for(servers_dir: Path) -> None:
    with EmbeddedPostgres(servers_dir) as server:
        password = (server.home / "password").read_text()
        arguments = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
        assert any(str(server.data_dir) in line for line in arguments)
        assert not any(password in line for line in arguments)
        assert (server.home / "password").stat().st_mode & 0o077 == 0
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(server.url().replace(password, "wrong"))


def test_two_servers_are_told_apart_by_their_system_identifiers(servers_dir: Path, postgres: EmbeddedPostgres) -> None:
    ask = "SELECT system_identifier FROM pg_control_system()"
    with EmbeddedPostgres(servers_dir) as other:
        assert other.execute(ask) != postgres.execute(ask)


def test_the_server_ends_with_a_command_that_is_killed(servers_dir: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from controlplane.embedded import EmbeddedPostgres;"
        "server = EmbeddedPostgres(Path(sys.argv[1])).start(); print(server.pid, flush=True); time.sleep(120)"
    )
    command = subprocess.Popen([sys.executable, "-c", script, str(servers_dir)], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    postmaster = int(command.stdout.readline())
    command.kill()
    command.wait(10)
    assert wait_until(lambda: not psutil.pid_exists(postmaster), 5)


def test_programs_and_data_that_others_can_not_reach_are_moved(servers_dir: Path) -> None:
    hidden = servers_dir / "hidden"
    hidden.mkdir(mode=0o700)
    server = EmbeddedPostgres(hidden / "state")
    with server:
        assert server.execute("SELECT 1") == [(1,)]
    assert hidden.stat().st_mode & 0o777 == 0o700
    server.erase()
    assert not server.home.exists()


def test_pg_bindir_comes_first_and_must_hold_postgres(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PG_BINDIR", str(tmp_path))
    with pytest.raises(EmbeddedError) as caught:
        find_postgres()
    assert caught.value.code == "postgres.bindir"
    (tmp_path / "initdb").touch()
    old = tmp_path / "postgres"
    old.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
    old.chmod(0o755)
    with pytest.raises(EmbeddedError, match="PostgreSQL 14"):
        find_postgres()
    old.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 17.2'\n")
    assert find_postgres().bindir == tmp_path.resolve()
    assert find_postgres().major == 17


def test_data_of_another_major_version_is_refused(servers_dir: Path) -> None:
    server = EmbeddedPostgres(servers_dir)
    server.data_dir.mkdir()
    (server.data_dir / "PG_VERSION").write_text("14\n")
    with pytest.raises(EmbeddedError) as caught:
        server.start()
    assert caught.value.code == "postgres.version"


def test_another_server_on_the_port_does_not_pass_for_ours(
    servers_dir: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedPostgres(servers_dir) as ours:
        pass
    # As if the other had taken the port between our look and our start; it even knows the password.
    (ours.home / "password").write_text((postgres.home / "password").read_text())
    (ours.home / "port").write_text(str(postgres.port))
    monkeypatch.setattr("controlplane.embedded.server.is_free", lambda port: True)
    with pytest.raises(EmbeddedError) as caught:
        EmbeddedPostgres(servers_dir).start()
    # Either the other's answer is recognised, or ours has already ended for want of the port.
    assert caught.value.code in {"postgres.foreign", "postgres.start"}
    assert postgres.running
