"""The target goes away while a load runs: the load waits, goes on, and every row is there once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.control import Control, Progress
from migrations_app.engine.errors import Cancelled, EngineError, Failed
from migrations_app.engine.export.export import Export
from migrations_app.engine.load import load_rows
from migrations_app.engine.load.load import LoadResult, load_export
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target import lease, ledger, outage
from migrations_app.engine.target.pg_names import load_schema
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare import verify
from tests.migrations_app.engine.fragile import database, text_of
from tests.migrations_app.engine.load.faulty_wire import AFTER, BEFORE, LATE, FaultyWire
from tests.migrations_app.engine.moves import PEOPLE, RUN, Look, make_export, make_plan

COUNTS = {"city": 40, "person": PEOPLE, "note": 4}


@pytest.fixture(scope="session")
def export(people_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return make_export(people_file, make_plan(), tmp_path_factory.mktemp("export"))


def load(url: TargetUrl, export: Export, control: Control | None = None, jobs: int = 2) -> LoadResult:
    """As the commands do it: claim, keep, load, release."""
    control = control or Control()
    mine = lease.claim(url, RUN, "test", wait_seconds=20)
    with lease.kept(url, mine, control):
        result = load_export(export, make_plan(), url, run_key=RUN, lease=mine, control=control, jobs=jobs)
    outage.through_outages(lambda: lease.release(url, mine), url, control)
    return result


def assert_exact(url: TargetUrl, people_file: Path, look: Look) -> None:
    with open_source(people_file) as source:
        result = verify(source, make_plan(), url)
    assert result.equal, result.differences
    assert {table.name: table.rows for table in result.tables} == COUNTS
    assert look.value("SELECT count(*) FROM causeway.chunk") == 5
    assert look.schemas() == ["causeway"]


# --- a COMMIT whose answer never came ------------------------------------------------------------------------------


def commits_of_a_load(url: TargetUrl, export: Export) -> int:
    mine = lease.claim(url, RUN, "counting")
    with FaultyWire(url) as wire:
        load_export(export, make_plan(), wire.url, run_key=RUN, lease=mine, jobs=1)
    return wire.commits


def load_over(wire: FaultyWire, url: TargetUrl, export: Export) -> LoadResult:
    """The lease goes by another way, so that only the load's own transactions are counted."""
    mine = lease.claim(url, RUN, "test", wait_seconds=20)
    control = Control()
    with lease.kept(url, mine, control):
        return load_export(export, make_plan(), wire.url, run_key=RUN, lease=mine, control=control, jobs=1)


@pytest.fixture(scope="module")
def moments(postgres: EmbeddedPostgres, export: Export) -> dict[str, int]:
    """The number of the first COMMIT of each kind in a load by one connection, which is the same each time."""
    found: dict[str, int] = {}
    kinds = ("save_plan", "record_chunk", "record_object", "finish")
    with database(postgres) as url, FaultyWire(url) as wire, pytest.MonkeyPatch.context() as patch:
        for kind in kinds:
            patch.setattr(ledger, kind, noting(getattr(ledger, kind), lambda kind=kind: note(kind)))

        def note(kind: str) -> None:
            found.setdefault(kind, wire.commits + 1)

        mine = lease.claim(url, RUN, "counting")
        load_export(export, make_plan(), wire.url, run_key=RUN, lease=mine, jobs=1)
    assert sorted(found) == sorted(kinds)
    return found


def noting(real: Callable[..., Any], note: Callable[[], None]) -> Callable[..., Any]:
    def noted(*args: Any) -> Any:
        note()
        return real(*args)

    return noted


@pytest.mark.parametrize("how", [BEFORE, AFTER])
@pytest.mark.parametrize("kind", ["save_plan", "record_chunk", "record_object", "finish"])
def test_a_wire_that_breaks_at_a_commit_costs_and_doubles_nothing(
    url: TargetUrl, export: Export, people_file: Path, look: Look, moments: dict[str, int], kind: str, how: str
) -> None:
    with FaultyWire(url, moments[kind], how) as wire:
        result = load_over(wire, url, export)
    assert wire.broke.is_set()
    assert result.tables == COUNTS and result.outages == 1
    assert_exact(url, people_file, look)


@pytest.mark.chaos
@pytest.mark.parametrize("how", [BEFORE, AFTER, LATE])
def test_a_wire_that_breaks_at_any_commit_costs_and_doubles_nothing(
    postgres: EmbeddedPostgres, export: Export, people_file: Path, how: str
) -> None:
    with database(postgres) as url:
        total = commits_of_a_load(url, export)
    assert total > 20
    for at in range(1, total + 1):
        with database(postgres) as url:
            look = Look(text_of(url))
            with FaultyWire(url, at, how) as wire:
                load_over(wire, url, export)
            assert wire.broke.is_set(), at
            assert_exact(url, people_file, look)
            look.connection.close()
    print(f"{total} COMMITs, broken {how}: every load exact")


def late_commit(url: TargetUrl, export: Export, at: int) -> EngineError | None:
    """A chunk's COMMIT reaches the server while the chunk is being loaded again."""
    with FaultyWire(url, at, LATE) as wire:
        try:
            load_over(wire, url, export)
        except EngineError as error:
            return error
        finally:
            assert wire.broke.is_set() and wire.came_late.is_set()
    return None


def test_a_commit_that_comes_late_finds_its_session_ended(
    url: TargetUrl, export: Export, people_file: Path, look: Look, moments: dict[str, int]
) -> None:
    assert late_commit(url, export, moments["record_chunk"]) is None
    assert_exact(url, people_file, look)


def test_without_ending_old_sessions_a_late_commit_breaks_the_load(
    url: TargetUrl, export: Export, moments: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: proves that the test above would go red. The ledger's key still keeps rows single."""
    monkeypatch.setattr(outage, "_end_our_sessions", lambda cursor, lease: None)
    assert late_commit(url, export, moments["record_chunk"]) is not None


def test_without_the_ledger_a_chunk_whose_commit_was_unanswered_would_be_doubled(
    url: TargetUrl, export: Export, moments: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: the ledger forgets, and its key alone stops the second copy."""
    monkeypatch.setattr(ledger, "chunks_done", lambda cursor, run_key: {})
    with FaultyWire(url, moments["record_chunk"], AFTER) as wire, pytest.raises(Failed):
        load_over(wire, url, export)
    assert wire.broke.is_set()


# --- rows that a crash took back, behind a pooler that kept our sessions ---------------------------------------------

TAKEN_BACK = f"""DELETE FROM causeway.chunk WHERE source_table = 'city';
                 DELETE FROM "{load_schema(RUN)}".city"""


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch, look: Look) -> list[int]:
    """Once: what a crash leaves of a chunk that was committed and not yet on the disk, neither rows nor an entry."""
    crashes: list[int] = []
    real = load_rows._make_lasting

    def crash(loading: load_rows.Loading) -> None:
        if not crashes:
            crashes.append(1)
            look.run(TAKEN_BACK)
        real(loading)

    monkeypatch.setattr(load_rows, "_make_lasting", crash)
    return crashes


def test_rows_that_the_target_lost_after_taking_them_in_are_loaded_again(
    url: TargetUrl, export: Export, people_file: Path, look: Look, crashes: list[int]
) -> None:
    result = load(url, export)
    assert crashes and result.outages == 1
    assert_exact(url, people_file, look)


def test_without_the_count_of_chunks_rows_that_were_lost_would_be_missed_only_by_a_foreign_key(
    url: TargetUrl, export: Export, crashes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: proves that the test above would go red."""
    monkeypatch.setattr(load_rows, "_assert_complete", lambda *_: None)
    with pytest.raises(Failed, match="foreign_key"):
        load(url, export)


def test_the_last_commit_of_the_rows_is_one_that_waits_for_the_disk(
    url: TargetUrl, export: Export, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that was committed before it lies then below what is flushed."""
    seen: list[bool] = []
    real = load_rows._assert_complete

    def watched(*arguments: Any) -> None:
        seen.append(look.value("SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()") < 16_384)
        real(*arguments)

    monkeypatch.setattr(load_rows, "_assert_complete", watched)
    load(url, export)
    assert seen == [True]


# --- sessions ended by somebody, a target out of reach --------------------------------------------------------------

END_OURS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'causeway:%' AND pid <> pg_backend_pid()"
)


@pytest.mark.parametrize(("phase", "done"), [("load", 40), ("load", 20_000), ("index", 1)])
def test_a_load_whose_sessions_are_ended_goes_on(
    url: TargetUrl, export: Export, people_file: Path, look: Look, phase: str, done: int
) -> None:
    ended: list[int] = []

    def cut(progress: Progress) -> None:
        if progress.phase == phase and progress.done >= done and not ended:
            ended.append(look.value(END_OURS))

    result = load(url, export, Control(report=cut))
    assert ended[0] > 0
    assert result.tables == COUNTS and not result.resumed
    assert_exact(url, people_file, look)


def test_sessions_that_are_ended_again_and_again_without_progress_end_the_load(
    url: TargetUrl, export: Export, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What brings a server down, such as a statement that takes all its memory, must not do so for ever."""
    tries: list[int] = []
    real = lease.assert_held

    def ends(cursor: object, mine: lease.Lease) -> None:
        real(cursor, mine)  # type: ignore[arg-type]
        tries.append(1)
        look.run(END_OURS)

    monkeypatch.setattr("migrations_app.engine.load.load_rows.assert_held", ends)
    with pytest.raises(Failed) as caught:
        load(url, export, jobs=1)
    assert caught.value.code == "TARGET_LOST"
    assert len(tries) == outage.MAX_OUTAGES + 1
    assert look.value("SELECT count(*) FROM pg_class WHERE relname = 'person'") == 0
    assert look.schemas() == ["causeway"]


def test_a_target_that_stays_away_is_given_up_with_what_is_left_said(
    url: TargetUrl, export: Export, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "OUTAGE_SECONDS", 0.5)
    mine = lease.claim(url, RUN, "test")
    wire = FaultyWire(url)

    def vanish(progress: Progress) -> None:
        if progress.phase == "load" and not wire.broke.is_set():
            wire.broke.set()
            wire.cut()
            look.run(END_OURS)

    with pytest.raises(Failed) as caught:
        load_export(export, make_plan(), wire.url, run_key=RUN, lease=mine, control=Control(report=vanish))
    assert caught.value.code == "TARGET_LOST"
    assert "didn't come back" in caught.value.message and "run it again" in caught.value.hint
    result = load_export(export, make_plan(), url, run_key=RUN, lease=mine)
    assert result.resumed and result.tables == COUNTS


def test_a_stop_is_heard_while_the_target_is_away(url: TargetUrl, export: Export, look: Look) -> None:
    mine = lease.claim(url, RUN, "test")
    wire, control = FaultyWire(url), Control()

    def vanish(progress: Progress) -> None:
        if progress.phase == "load" and not wire.broke.is_set():
            wire.broke.set()
            wire.cut()
            look.run(END_OURS)
            threading.Timer(1.0, control.stop.set).start()

    control.report = vanish
    with pytest.raises(Cancelled):
        load_export(export, make_plan(), wire.url, run_key=RUN, lease=mine, control=control)


def test_a_keeper_outlives_an_outage_longer_than_its_lease(url: TargetUrl, look: Look) -> None:
    """Nobody else claimed meanwhile, so the lease that had lapsed is simply renewed."""
    mine = lease.claim(url, RUN, "test", seconds=1)
    control = Control()
    wire = FaultyWire(url)
    with lease.kept(wire.url, mine, control):
        wire.cut()
        look.run(END_OURS)
        lapsed = "SELECT expires_at < clock_timestamp() FROM causeway.lease"
        until = time.monotonic() + 20
        while not look.value(lapsed) and time.monotonic() < until:
            control.stop.wait(0.05)
        assert look.value(lapsed) and not control.stop.is_set()
        lease.renew(url, mine)
        assert not look.value(lapsed)


def test_a_keeper_gives_up_in_the_end(url: TargetUrl, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "OUTAGE_SECONDS", 1.0)
    mine = lease.claim(url, RUN, "test", seconds=1)
    control = Control()
    wire = FaultyWire(url)
    with lease.kept(wire.url, mine, control):
        wire.cut()
        look.run(END_OURS)
        assert control.stop.wait(20)
    assert control.stop_reason
