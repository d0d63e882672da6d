"""kill -9 at any point of a move: the same command again ends verified, nothing doubled, nothing left lying about."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.export import part_writer
from tests.migrations_app.engine.fragile import database, text_of
from tests.migrations_app.management.in_process import Moment, move
from tests.migrations_app.management.running import (
    ROOT,
    SECONDS,
    environment,
    everything_in,
    fetch,
    left_over,
    make,
    session,
)

ROWS = 6_000
TABLES = """
CREATE TABLE kinds (kind TEXT PRIMARY KEY);
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, kind TEXT REFERENCES kinds, n INTEGER UNIQUE
);
CREATE INDEX items_name ON items (name);
CREATE VIEW names AS SELECT name FROM items;
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(
        tmp_path / "a.sqlite",
        TABLES,
        [
            ("INSERT INTO kinds VALUES (?)", (("a",), ("b",))),
            ("INSERT INTO items VALUES (?, ?, ?, ?)", ((i, f"n {i}" * 9, "ab"[i % 2], i) for i in range(ROWS))),
        ],
    )


def start(folder: Path, source: Path, url: str, what: str, number: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.migrations_app.management.mortal_mover"]
    return subprocess.run(
        [*command, str(folder), str(source), what, str(number)],
        env=environment(folder, TARGET_DATABASE_URL=url),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def let_the_lease_lapse(url: str) -> None:
    """Instead of waiting the 15 s that it has after its holder died."""
    if ("causeway", "lease") in everything_in(url):
        with session(url) as cursor:
            cursor.execute("UPDATE causeway.lease SET expires_at = clock_timestamp()")


def assert_the_same_command_ends_verified(folder: Path, source: Path, url: str) -> None:
    let_the_lease_lapse(url)
    done = move(folder, source, url)
    assert done.code == 0 and done.report["outcome"] == "verified", done.text
    assert fetch(url, "SELECT count(*), count(DISTINCT id), sum(n) FROM items") == [
        (ROWS, ROWS, ROWS * (ROWS - 1) // 2)
    ]
    assert not [schema for schema, _ in everything_in(url) if schema.startswith("causeway_load")]
    assert left_over(folder) == []


MOMENTS: tuple[Moment, ...] = (
    ("begin plan", 1),
    ("export", 3),
    ("load", 3),
    ("index", 1),
    ("begin verify", 1),
    ("verify", 2),
)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_move_that_is_killed_ends_verified_by_the_same_command(
    tmp_path: Path, source: Path, target_url: str, monkeypatch: pytest.MonkeyPatch, moment: Moment
) -> None:
    monkeypatch.setattr(part_writer, "CHUNK_ROWS", 1000)
    died = start(tmp_path, source, target_url, *moment)
    assert died.returncode == -signal.SIGKILL, died.stderr
    visible = ("public", "items") in everything_in(target_url)
    assert visible == moment[0].endswith("verify")  # all at once, when the load ended
    assert_the_same_command_ends_verified(tmp_path, source, target_url)


@pytest.mark.chaos
def test_two_hundred_kills_at_seeded_points_lose_and_double_nothing(
    tmp_path: Path, source: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CAUSEWAY_KILLS changes the number, CAUSEWAY_SEED the points."""
    monkeypatch.setattr(part_writer, "CHUNK_ROWS", 1000)
    kills = int(os.environ.get("CAUSEWAY_KILLS", "200"))
    seed = random.Random(os.environ.get("CAUSEWAY_SEED", "1"))
    with database(postgres) as url:
        lived = start(tmp_path, source, text_of(url), "never", 0)
        assert lived.returncode == 0, lived.stderr
        whole = float(lived.stdout)
    died = started = 0
    while died < kills and started < 3 * kills:
        started += 1
        folder = tmp_path / f"run {started}"
        folder.mkdir()
        with database(postgres) as url:
            ended = start(folder, source, text_of(url), "seconds", seed.random() * whole)
            assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
            died += ended.returncode != 0
            if ended.returncode == 0:  # a quieter machine than when it was measured: aim closer
                whole = min(whole, float(ended.stdout))
            assert_the_same_command_ends_verified(folder, source, text_of(url))
    print(f"{started} moves of {whole:.2f} s, {died} killed: all verified by the same command")
    assert died == kills
