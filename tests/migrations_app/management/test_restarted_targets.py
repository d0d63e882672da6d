"""The target restarts in the middle of a move: the command waits and ends verified, and says that it had to wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.export import part_writer
from tests.migrations_app.engine.fragile import crash, database, own_server, text_of
from tests.migrations_app.management.in_process import MOMENTS, Moment, move_and_act
from tests.migrations_app.management.running import fetch, shop

CUSTOMERS = 4_000
IN_CI: tuple[Moment, ...] = (("begin export", 1), ("load", 3), ("begin verify", 1), ("verify", 2))


@pytest.fixture(scope="module")
def fragile() -> Iterator[EmbeddedPostgres]:
    with own_server() as server:
        yield server


@pytest.mark.parametrize(
    "moment",
    [pytest.param(each, marks=() if each in IN_CI else pytest.mark.chaos) for each in sorted({*MOMENTS, *IN_CI})],
)
def test_a_move_ends_verified_though_the_target_restarted(
    tmp_path: Path, fragile: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, moment: Moment
) -> None:
    monkeypatch.setattr(part_writer, "CHUNK_ROWS", 1000)
    path = shop(tmp_path / "a.sqlite", CUSTOMERS)
    with database(fragile) as url:
        done, acted = move_and_act(tmp_path, path, text_of(url), moment, lambda: crash(fragile, "immediate"))
        assert acted == 1 and done.code == 0 and done.report["outcome"] == "verified", done.text
        assert fetch(text_of(url), "SELECT count(*), count(DISTINCT id) FROM customers") == [(CUSTOMERS, CUSTOMERS)]
        if moment[0] == "load":
            assert any("went away" in note for note in done.report["notes"])
