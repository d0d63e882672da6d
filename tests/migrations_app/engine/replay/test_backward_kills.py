"""Killed at any moment, the way back goes on where it was: no row is lost, none comes twice."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.conversions.inverse import InverseForms
from migrations_app.engine.replay import backward, target_changes
from migrations_app.engine.replay.backward import Returner
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.replay.following import BUSY_MS, follow
from tests.migrations_app.engine.replay.returning import assert_home, flow, take_over, waiting

SCHEMA = """
CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE entry (id TEXT PRIMARY KEY NOT NULL, account INTEGER NOT NULL REFERENCES account(id), amount INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO account SELECT i, 1000 FROM n;
"""
TOTAL = 200 * 1000


@pytest.fixture(params=["wal", "delete"])
def crossed(applier_url: TargetUrl, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Pair, InverseForms]:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={request.param}")
        connection.executescript(SCHEMA)
    pair = follow(path, applier_url)
    return pair, take_over(pair)


@contextmanager
def transfers(pair: Pair) -> Iterator[list[str]]:
    """An application that moves amounts between accounts; gives the ids of the entries that were acknowledged."""
    done: list[str] = []
    stop = threading.Event()

    def work() -> None:
        chance = random.Random(1)
        with closing(psycopg2.connect(**pair.url.connect_arguments())) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                one, other = sorted(chance.sample(range(1, 201), 2))
                name = f"t{len(done)}"
                cursor.execute("UPDATE account SET balance = balance - 7 WHERE id = %s", (one,))
                cursor.execute("UPDATE account SET balance = balance + 7 WHERE id = %s", (other,))
                cursor.execute("INSERT INTO entry VALUES (%s, %s, 7)", (name, one))
                connection.commit()
                done.append(name)

    thread = threading.Thread(target=work, name="transfers")
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def balance(pair: Pair) -> int:
    """What SQLite holds at this moment: whole transactions only."""
    with closing(sqlite3.connect(pair.source, timeout=BUSY_MS / 1000)) as connection:
        return int(connection.execute("SELECT sum(balance) FROM account").fetchone()[0])


def start(pair: Pair, forms: InverseForms, folder: Path) -> subprocess.Popen[str]:
    (folder / "plan.json").write_text(json.dumps(pair.plan.to_document()))
    (folder / "forms.json").write_text(json.dumps(forms.to_document()))
    url = pair.url
    text = f"postgresql://{url.user}:{url.password}@{url.host}:{url.port}/{url.database}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.migrations_app.engine.replay.returner_process"),
            *(str(pair.source), str(folder / "plan.json"), str(folder / "forms.json"), pair.identity, text),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def killed_again_and_again(pair: Pair, forms: InverseForms, folder: Path, times: int) -> None:
    chance = random.Random(2)
    with transfers(pair) as done:
        for _ in range(times):
            process = start(pair, forms, folder)
            time.sleep(chance.uniform(0, 0.3))  # the moment of the kill
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            assert balance(pair) == TOTAL
    flow(pair, forms)
    assert waiting(pair) == 0
    assert_home(pair)
    with closing(sqlite3.connect(pair.source)) as connection:
        assert {row[0] for row in connection.execute("SELECT id FROM entry")} == set(done)


def test_killed_at_random_it_loses_nothing(crossed: tuple[Pair, InverseForms], tmp_path: Path) -> None:
    killed_again_and_again(*crossed, tmp_path, times=4)


@pytest.mark.chaos
def test_killed_very_often_it_loses_nothing(crossed: tuple[Pair, InverseForms], tmp_path: Path) -> None:
    killed_again_and_again(*crossed, tmp_path, times=50)


class Killed(BaseException):
    """Stands for a process that ends at a point."""


def test_ended_between_the_two_commits_it_flows_again(
    crossed: tuple[Pair, InverseForms], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has committed, PostgreSQL has not: the same keys come again, as they are then."""
    pair, forms = crossed
    run(pair, "UPDATE account SET balance = balance + 1 WHERE id < 10")
    bring = Returner._bring

    def dies(*arguments: object) -> None:
        bring(*arguments)  # type: ignore[arg-type]
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Returner, "_bring", dies)
        flow(pair, forms)
    assert balance(pair) == TOTAL + 9
    assert waiting(pair) == 9
    run(pair, "UPDATE account SET balance = balance - 1 WHERE id < 10")
    flow(pair, forms)
    assert balance(pair) == TOTAL
    assert_home(pair)


def test_ended_before_sqlite_commits_nothing_has_happened(
    crossed: tuple[Pair, InverseForms], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, forms = crossed
    run(pair, "UPDATE account SET balance = balance + 1 WHERE id < 10")

    def dies(cursor: object) -> int:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(backward, "take_from_queue", dies)
        flow(pair, forms)
    assert target_changes.take_from_queue is not dies
    assert balance(pair) == TOTAL
    assert waiting(pair) == 9


def test_two_at_once_do_no_harm(crossed: tuple[Pair, InverseForms]) -> None:
    """A lease keeps it from happening; where it does, SQLite never goes back in time."""
    pair, forms = crossed
    failed: list[BaseException] = []

    def flows() -> None:
        try:
            with Returner(pair, forms, busy_timeout_ms=BUSY_MS) as returner:
                for _ in range(10):
                    returner.flow()
        except Exception as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    with transfers(pair) as done:
        threads = [threading.Thread(target=flows) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    flow(pair, forms)
    assert_home(pair)
    assert done
    assert failed == []


def run(pair: Pair, sql: str) -> None:
    with closing(psycopg2.connect(**pair.url.connect_arguments())) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        connection.commit()
