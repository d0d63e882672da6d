"""A move that is killed goes on with the same command, nothing doubled; one that is stopped leaves a clean target."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.migrations_app.management.running import (
    SECONDS,
    arguments,
    environment,
    everything_in,
    fetch,
    make,
    run,
    session,
)

ROWS = 120_000


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Enough rows that a signal reaches the load while it runs."""
    return make(
        tmp_path / "large.sqlite",
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER); CREATE INDEX items_n ON items (n)",
        [("INSERT INTO items VALUES (?, ?, ?)", ((i, f"item {i}" * 4, i % 977) for i in range(1, ROWS + 1)))],
    )


def start_and_signal(tmp_path: Path, source: Path, url: str, number: int) -> tuple[int, str]:
    """Start the move and send the signal once the first rows are loaded. Gives the exit status and stderr."""
    command = arguments("move_database", "--source", source, "--target", url, "--report", tmp_path / "report.json")
    child = subprocess.Popen(
        command, env=environment(tmp_path), cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert child.stderr is not None
    said = []
    for line in child.stderr:
        said.append(line)
        if line.startswith("loading"):
            child.send_signal(number)
            break
    said.append(child.stderr.read())
    child.wait(SECONDS)
    child.stderr.close()
    return child.returncode, "".join(said)


def test_a_killed_move_goes_on_with_the_same_command_and_doubles_nothing(
    tmp_path: Path, large: Path, target_url: str
) -> None:
    code, said = start_and_signal(tmp_path, large, target_url, signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    assert ("public", "items") not in everything_in(target_url)  # nothing half-done is visible
    loaded = fetch(target_url, "SELECT count(*) FROM causeway.chunk")[0][0]
    assert 0 < loaded < ROWS // 10_000
    done = run(tmp_path, "move_database", "--source", large, "--target", target_url)
    assert done.code == 0 and done.report["outcome"] == "verified", done.text
    assert any("earlier attempt" in note for note in done.report["notes"])
    assert fetch(target_url, "SELECT count(*), count(DISTINCT id) FROM items") == [(ROWS, ROWS)]


def test_another_source_is_refused_after_a_kill_until_the_rest_is_discarded(
    tmp_path: Path, large: Path, target_url: str
) -> None:
    code, said = start_and_signal(tmp_path, large, target_url, signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    other = make(tmp_path / "other.sqlite", "CREATE TABLE items (id INTEGER PRIMARY KEY); INSERT INTO items VALUES (1)")
    move = ("move_database", "--source", other, "--target", target_url)
    done = run(tmp_path, *move)
    assert (done.code, done.error) == (2, "OTHER_RUN_UNFINISHED"), done.text
    assert "--discard-unfinished" in done.stderr
    done = run(tmp_path, *move, "--discard-unfinished")
    assert done.code == 0, done.text
    assert fetch(target_url, "SELECT id FROM items") == [(1,)]
    assert not [schema for schema, _ in everything_in(target_url) if schema.startswith("causeway_load")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_move_leaves_a_clean_target_and_says_how_to_go_on(
    tmp_path: Path, large: Path, target_url: str, number: int
) -> None:
    code, said = start_and_signal(tmp_path, large, target_url, number)
    assert code == 3, said
    assert "Traceback" not in said and "Run it again" in said
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["outcome"] == "failed" and report["error"]["code"] == "CANCELLED"
    assert everything_in(target_url) == []
    assert [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()] == []


def test_two_moves_at_once_load_once(tmp_path: Path, large: Path, target_url: str) -> None:
    command = arguments("move_database", "--source", large, "--target", target_url)
    children = []
    for name in ("one", "two"):
        home = tmp_path / name
        home.mkdir()
        children.append(
            subprocess.Popen(
                command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    said = [child.communicate(timeout=SECONDS)[0] for child in children]
    codes = sorted(child.returncode for child in children)
    assert codes[0] == 0 and codes[1] in (0, 2), said
    assert fetch(target_url, "SELECT count(*), count(DISTINCT id) FROM items") == [(ROWS, ROWS)]


def test_a_target_in_the_hands_of_another_run_is_refused(tmp_path: Path, target_url: str) -> None:
    with session(target_url) as cursor:
        cursor.execute(
            "CREATE SCHEMA causeway; CREATE TABLE causeway.lease (token bigint PRIMARY KEY,"
            " single boolean NOT NULL DEFAULT true UNIQUE CHECK (single), run_key text NOT NULL, holder text NOT NULL,"
            " claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(), expires_at timestamptz NOT NULL);"
            " INSERT INTO causeway.lease VALUES (1, true, 'run-7', 'the web', now(), now() + interval '1 hour')"
        )
    path = make(tmp_path / "a.sqlite", "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    done = run(tmp_path, "move_database", "--source", path, "--target", target_url)
    assert (done.code, done.error) == (2, "TARGET_LEASED"), done.text
    assert "the web" in done.stderr and ("public", "t") not in everything_in(target_url)
    assert fetch(target_url, "SELECT run_key, token FROM causeway.lease") == [("run-7", 1)]
