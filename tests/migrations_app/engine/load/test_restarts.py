"""The server goes down in the middle of a load and comes back: the load goes on, and every row is there once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.control import Control, Progress
from migrations_app.engine.export.export import Export
from tests.migrations_app.engine.fragile import crash, database, own_server, text_of
from tests.migrations_app.engine.load.test_outages import COUNTS, assert_exact, export, load
from tests.migrations_app.engine.moves import Look

__all__ = ["export"]  # a fixture


@pytest.fixture(scope="module")
def fragile() -> Iterator[EmbeddedPostgres]:
    with own_server() as server:
        yield server


def look_closely(url_text: str, check) -> None:  # type: ignore[no-untyped-def]
    look = Look(url_text)
    try:
        check(look)
    finally:
        look.connection.close()


@pytest.mark.parametrize(
    ("phase", "done", "how"),
    [("load", 40, "immediate"), ("load", 20_000, "backend"), ("index", 1, "immediate")],
)
def test_a_load_goes_on_after_the_server_restarted(
    fragile: EmbeddedPostgres, export: Export, people_file: Path, phase: str, done: int, how: str
) -> None:
    with database(fragile) as url:
        crashing: list[threading.Thread] = []

        def restart(progress: Progress) -> None:
            if progress.phase == phase and progress.done >= done and not crashing:
                crashing.append(threading.Thread(target=crash, args=(fragile, how)))
                crashing[0].start()

        result = load(url, export, Control(report=restart))
        crashing[0].join(60)
        assert result.tables == COUNTS
        look_closely(text_of(url), lambda look: assert_exact(url, people_file, look))


def seconds_of_a_load(fragile: EmbeddedPostgres, export: Export) -> float:
    with database(fragile) as url:
        started = time.monotonic()
        load(url, export)
        return time.monotonic() - started


@pytest.mark.chaos
def test_forty_restarts_at_seeded_moments_leave_every_load_exact(
    fragile: EmbeddedPostgres, export: Export, people_file: Path
) -> None:
    whole = min(seconds_of_a_load(fragile, export) for _ in range(2))  # the first one is slow
    seed = random.Random(2)
    survived = 0
    for _ in range(40):
        moment, how = seed.random() * whole, seed.choice(["immediate", "backend"])
        with database(fragile) as url:
            timer = threading.Timer(moment, crash, args=(fragile, how))
            timer.start()
            outages = load(url, export).outages
            timer.join(60)
            survived += outages > 0
            look_closely(text_of(url), lambda look, url=url: assert_exact(url, people_file, look))
    print(f"40 crashes while a load ran ({whole:.2f} s when undisturbed), {survived} met it: 40 of 40 exact")
    assert survived >= 20
