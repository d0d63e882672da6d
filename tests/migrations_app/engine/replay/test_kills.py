"""Whatever is killed while rows are brought over: the same call again is right, and memory stays small."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.errors import EngineError
from migrations_app.engine.replay import read_back
from migrations_app.engine.replay.forward import Follower
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.fragile import crash, database, own_server, text_of
from tests.migrations_app.engine.replay.busy_file import Application, make_busy_file
from tests.migrations_app.engine.replay.following import assert_equal, catch_up, follow, position, writer
from tests.migrations_app.engine.sqlite_files import build

ROOT = Path(__file__).parents[4]


def start(pair: Pair, *more: str) -> subprocess.Popen[str]:
    module = "tests.migrations_app.engine.replay.follower_process"
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(pair.source), pair.identity, *more],
        cwd=ROOT,
        env={**os.environ, "TARGET_DATABASE_URL": text_of(pair.url)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(pair.plan.to_document()))
    process.stdin.close()
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: subprocess.Popen[str]) -> str:
    """What it said since it was ready."""
    assert process.stdout is not None
    with process.stdout as out:
        said = out.read()
    process.wait(60)
    return said


def kill_while_the_application_writes(pair: Pair, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    seen = set()
    for _ in range(kills):
        follower = start(pair)
        until = time.monotonic() + chance.random() * 0.5
        with closing(writer(pair.source)) as connection:
            application = Application(connection, chance)
            while time.monotonic() < until:
                application.work(5)
        follower.kill()
        ended(follower)
        seen.add(position(pair))
    assert len(seen) > kills // 2  # it was at work
    catch_up(pair)
    assert_equal(pair)


@pytest.mark.parametrize("wal", [True, False])
def test_ten_killed_followers_leave_nothing_out_and_nothing_twice(
    tmp_path: Path, applier_url: TargetUrl, wal: bool
) -> None:
    pair = follow(make_busy_file(tmp_path / "app.db", wal=wal), applier_url)
    kill_while_the_application_writes(pair, 10, seed=wal)


@pytest.mark.chaos
@pytest.mark.parametrize("wal", [True, False])
def test_a_hundred_killed_followers_leave_nothing_out_and_nothing_twice(
    tmp_path: Path, applier_url: TargetUrl, wal: bool
) -> None:
    pair = follow(make_busy_file(tmp_path / "app.db", wal=wal), applier_url)
    kill_while_the_application_writes(pair, 100, seed=10 + wal)


@pytest.fixture(scope="module")
def fragile() -> Iterator[EmbeddedPostgres]:
    with own_server() as server:
        yield server


@pytest.mark.parametrize("how", ["immediate", "backend"])
def test_a_server_that_restarts_in_the_middle_is_waited_for(
    tmp_path: Path, fragile: EmbeddedPostgres, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database(fragile) as url:
        fragile.execute(f'GRANT SET ON PARAMETER session_replication_role TO "{url.user}"')
        try:
            pair = follow(make_busy_file(tmp_path / "app.db"), url)
            with closing(writer(pair.source)) as connection:
                Application(connection, random.Random(3)).work(200)
            crashing: list[threading.Thread] = []
            original = read_back._compare

            def compare(*given) -> None:  # type: ignore[no-untyped-def]
                """Rows are in, nothing is committed: now the server goes."""
                original(*given)
                if not crashing:
                    crashing.append(threading.Thread(target=crash, args=(fragile, how)))
                    crashing[0].start()
                    crashing[0].join(60)

            monkeypatch.setattr(read_back, "_compare", compare)
            with Follower(pair, application_name="causeway:follower:0") as follower:
                applied = follower.catch_up()
            assert crashing and applied.rows
            assert_equal(pair)
        finally:
            fragile.execute(f'REVOKE SET ON PARAMETER session_replication_role FROM "{url.user}"')


def test_inside_the_freeze_an_outage_is_not_waited_for(tmp_path: Path, applier_url: TargetUrl) -> None:
    """The application waits: the caller gives up instead."""
    pair = follow(build(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)"), applier_url)
    with closing(writer(pair.source)) as file, Follower(pair) as follower:
        file.execute("BEGIN IMMEDIATE")
        file.execute("INSERT INTO t VALUES (1, 'x')")
        follower.connection.close()
        with pytest.raises(EngineError) as error:
            follower.apply_from(file, 1)
        assert error.value.code == "TARGET_LOST"
        file.execute("ROLLBACK")


def backlog(pair: Pair, rows: int) -> None:
    with closing(writer(pair.source)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT OR REPLACE INTO t SELECT i, 'row number ' || i || hex(zeroblob(40)) FROM n",
            (rows,),
        )


def memory_of_a_follower(pair: Pair, rows: int) -> int:
    """KiB at most, with that many keys to bring over."""
    backlog(pair, rows)
    applied, kib = ended(start(pair, "once")).split()
    assert int(applied) == rows
    return int(kib)


@pytest.fixture
def plain(tmp_path: Path, applier_url: TargetUrl) -> Pair:
    script = "PRAGMA journal_mode=WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)"
    return follow(build(tmp_path / "a.db", script), applier_url)


def test_memory_does_not_grow_with_the_backlog(plain: Pair) -> None:
    few, many = memory_of_a_follower(plain, 2_000), memory_of_a_follower(plain, 150_000)
    assert many - few < 30 * 1024, (few, many)


@pytest.mark.chaos
def test_a_backlog_of_a_million_keys_takes_no_more_memory_than_a_small_one(plain: Pair) -> None:
    few, many = memory_of_a_follower(plain, 2_000), memory_of_a_follower(plain, 1_000_000)
    print(f"2,000 keys: {few / 1024:.0f} MiB, 1,000,000 keys: {many / 1024:.0f} MiB")
    assert many - few < 40 * 1024, (few, many)
    assert_equal(plain)
