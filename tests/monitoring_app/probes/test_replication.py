"""A real replica: paused, stopped, with its slot lost, and one that was never there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedPostgres
from controlplane.embedded.home import unprivileged_account
from monitoring_app.probes.measurement import Measurement
from monitoring_app.probes.postgresql.replication import LOST
from tests.monitoring_app.probes.measuring import dsn_of, measure, one, until
from tests.servers import STATE, _bindir

MEGABYTE = 1024**2


@pytest.fixture(scope="module")
def primary() -> Iterator[EmbeddedPostgres]:
    options = {"fsync": "off", "max_slot_wal_keep_size": "20MB", "autovacuum": "off"}
    with EmbeddedPostgres(STATE / "primary", bindir=_bindir(), options=options) as server:
        server.execute("CREATE TABLE filler (text text)")
        server.create_role("watcher", "watcher")
        server.create_role("ordinary", "ordinary")
        server.execute("GRANT pg_monitor TO watcher")
        yield server
    server.erase()


@contextmanager
def replica_of(primary: EmbeddedPostgres, name: str) -> Iterator[EmbeddedPostgres]:
    """A standby made by pg_basebackup, with a slot of its name."""
    replica = EmbeddedPostgres(STATE / name, bindir=_bindir(), options={"fsync": "off", "cluster_name": name})
    dsn = dsn_of(primary.url())
    subprocess.run(
        [
            *(primary.bindir / "pg_basebackup", "-D", replica.data_dir, "-X", "stream", "-c", "fast", "-R"),
            *("-C", "-S", name, "-h", dsn["host"], "-p", str(dsn["port"]), "-U", dsn["user"]),
        ],
        env={"PATH": os.environ["PATH"], "PGPASSWORD": dsn["password"]},
        check=True,
        capture_output=True,
        timeout=60,
    )
    shutil.copy(primary.home / "password", replica.home / "password")
    account = unprivileged_account()
    if account is not None:
        for path in [replica.data_dir, *replica.data_dir.rglob("*")]:
            os.chown(path, account.uid, account.gid)
    try:
        yield replica.start()
    finally:
        replica.stop()
        primary.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active",
            [name],
        )
        shutil.rmtree(Path(replica.home), ignore_errors=True)


def write(primary: EmbeddedPostgres, megabytes: int) -> None:
    rows = megabytes * 1024
    primary.execute("INSERT INTO filler SELECT repeat(md5(i::text), 31) FROM generate_series(1, %s) i", [rows])


def lag(server: EmbeddedPostgres, name: str, role: str = "watcher") -> Measurement:
    return one(measure(server.url(role=role, password=role), replicas=[name]), "replication_lag", replica=name)


def test_replica_that_keeps_up_pauses_stops_and_loses_its_slot(primary: EmbeddedPostgres) -> None:
    with replica_of(primary, "standby_one") as replica:
        until(lambda: lag(primary, "standby_one").value == 0.0)
        assert lag(primary, "standby_one").view == "full"

        replica.execute("SELECT pg_wal_replay_pause()")
        until(lambda: replica.execute("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
        write(primary, 4)
        # The slot moves on, since the replica has received it all: only pg_stat_replication tells.
        until(lambda: (lag(primary, "standby_one").value or 0) > 4 * MEGABYTE)
        replica.execute("SELECT pg_wal_replay_resume()")
        until(lambda: lag(primary, "standby_one").value == 0.0)

        replica.stop()
        write(primary, 4)
        until(lambda: "not connected" in lag(primary, "standby_one").note)
        assert (lag(primary, "standby_one").value or 0) > 4 * MEGABYTE

        for _ in range(4):
            write(primary, 10)
            primary.execute("SELECT pg_switch_wal()")
            primary.execute("CHECKPOINT")
        lost = lag(primary, "standby_one")
        assert (lost.value, "lost" in lost.note) == (LOST, True)


def test_replica_that_is_absent_is_unknown_not_zero(primary: EmbeddedPostgres) -> None:
    absent = lag(primary, "standby_two")
    assert (absent.value, absent.view) == (None, "unknown")
    assert "absent" in absent.note


def test_slot_that_nobody_uses_and_nobody_expects_is_seen(primary: EmbeddedPostgres) -> None:
    primary.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        round_ = measure(primary.url(role="watcher", password="watcher"))
    finally:
        primary.execute("SELECT pg_drop_replication_slot('forgotten')")
    (other,) = round_.seen["replication"]["others"]
    assert (other["name"], other["what"]) == ("forgotten", "slot that nobody uses")


def test_role_without_pg_monitor_says_that_it_sees_the_slot_alone(primary: EmbeddedPostgres) -> None:
    with replica_of(primary, "standby_three"):
        until(lambda: lag(primary, "standby_three").value is not None)
        seen = lag(primary, "standby_three", role="ordinary")
    assert seen.view == "partial" and "pg_monitor" in seen.note
