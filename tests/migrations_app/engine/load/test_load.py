"""Mode create: every row once, everything visible at once, and nothing left when it fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from migrations_app.engine.control import Control, Progress
from migrations_app.engine.errors import Cancelled, Failed, Fenced, FindingsRefused, Refused
from migrations_app.engine.export.export import Export
from migrations_app.engine.load import clean
from migrations_app.engine.load.load import LoadResult, check_target, load_export
from migrations_app.engine.plan import Finding, MovePlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target import lease
from migrations_app.engine.target.pg_names import load_schema
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare import verify
from tests.migrations_app.engine.load.loader_process import POINTS
from tests.migrations_app.engine.moves import PEOPLE, RUN, Look, held, make_export, make_plan, make_source

COUNTS = {"city": 40, "person": PEOPLE, "note": 4}


@pytest.fixture(scope="session")
def export(people_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return make_export(people_file, make_plan(), tmp_path_factory.mktemp("export"))


def load(url: TargetUrl, export: Export, plan: MovePlan | None = None, control: Control | None = None) -> LoadResult:
    with held(url) as mine:
        return load_export(export, plan or make_plan(), url, run_key=RUN, lease=mine, control=control)


def assert_exact(url: TargetUrl, people_file: Path, plan: MovePlan | None = None) -> None:
    with open_source(people_file) as source:
        result = verify(source, plan or make_plan(), url)
    assert result.equal, result.differences
    assert {table.name: table.rows for table in result.tables} == COUNTS


def test_a_load_is_exact_and_says_what_it_carried(
    url: TargetUrl, export: Export, people_file: Path, look: Look
) -> None:
    result = load(url, export)
    assert result.tables == COUNTS
    assert not result.resumed
    assert_exact(url, people_file)
    carried = {(each.kind, each.name): (each.carried, each.why) for each in result.objects}
    assert carried[("foreign_key", "person_city")] == (True, "")
    assert carried[("check", "score_known")] == (True, "")
    assert carried[("check", "score_small")][0] is False
    assert carried[("view", "one")][0] and carried[("view", "two")][0]  # two needs one, and is planned first
    assert carried[("view", "wrong")][0] is False
    assert "nosuch" in carried[("view", "wrong")][1]
    assert carried[("trigger", "touch")][0] is False
    assert look.schemas() == ["causeway"]
    assert look.value("SELECT reltuples FROM pg_class WHERE relname = 'person'") == PEOPLE


def test_sequences_are_past_what_sqlite_gave_out(url: TargetUrl, export: Export, look: Look) -> None:
    load(url, export)
    look.run("INSERT INTO person (name) VALUES ('next')")
    assert look.value("SELECT max(id) FROM person") == PEOPLE + 101


def test_the_same_load_again_is_done_already(url: TargetUrl, export: Export) -> None:
    first = load(url, export)
    again = load(url, export)
    assert again.resumed
    assert again.tables == first.tables


def test_another_source_under_the_same_run_is_refused_with_the_remedy(
    url: TargetUrl, export: Export, tmp_path: Path
) -> None:
    load(url, export)
    other = make_export(make_source(tmp_path / "other.db", 10), make_plan(), tmp_path / "export")
    with pytest.raises(Refused) as caught:
        load(url, other)
    assert caught.value.code == "SAME_RUN_CHANGED"
    assert "Remove its load" in caught.value.hint


def test_an_unfinished_run_keeps_another_out(url: TargetUrl, export: Export, tmp_path: Path) -> None:
    kill_loader(url, export, "chunk_after_commit", 1)
    with held_after_death(url, "run-2") as mine, pytest.raises(Refused) as caught:
        load_export(export, make_plan(), url, run_key="run-2", lease=mine)
    assert caught.value.code == "OTHER_RUN_UNFINISHED"
    assert RUN in caught.value.message


def held_after_death(url: TargetUrl, run_key: str):  # type: ignore[no-untyped-def]
    lease.release(url, lease.claim(url, run_key, "next", wait_seconds=20))
    return held(url, run_key)


def test_a_target_that_is_not_empty_is_refused_and_untouched(url: TargetUrl, export: Export, look: Look) -> None:
    look.run("CREATE TABLE theirs (n int)")
    with pytest.raises(Refused) as caught:
        check_target(make_plan(), url)
    assert caught.value.code == "TARGET_NOT_EMPTY"
    assert "theirs" in caught.value.message
    with pytest.raises(Refused):
        load(url, export)
    clean.remove_traces(url, RUN)
    assert look.schemas() == []


def test_a_finding_without_a_choice_is_refused(url: TargetUrl, export: Export, look: Look) -> None:
    plan = replace(make_plan(), findings=(Finding("NUL_IN_TEXT", "refuse", "holds NUL", choices=("bytea",)),))
    with pytest.raises(FindingsRefused):
        load_export(export, plan, url, run_key=RUN, lease=None)
    assert look.schemas() == []


def with_type(plan: MovePlan, column: str, target_type: str, conversion: str) -> MovePlan:
    tables = tuple(
        replace(
            table,
            columns=tuple(
                replace(c, target_type=target_type, conversion=conversion) if c.name == column else c
                for c in table.columns
            ),
        )
        for table in plan.tables
    )
    return replace(plan, tables=tables)


def test_a_value_that_postgresql_refuses_is_named_without_being_shown(
    url: TargetUrl, export: Export, look: Look
) -> None:
    plan = with_type(make_plan(), "name", "character varying(9)", "text")
    plan = replace(plan, tables=tuple(table for table in plan.tables if table.name == "person"), objects=())
    with pytest.raises(Failed) as caught:
        load(url, export, plan)
    assert caught.value.code == "VALUE_REFUSED"
    assert "person.name" in caught.value.message
    assert re.search(r'row \{"id": [0-9]+\} ', caught.value.message)
    assert "日" not in str(caught.value)
    clean.remove_traces(url, RUN)
    assert look.schemas() == []


def test_a_value_that_no_longer_fits_the_plan_is_named(url: TargetUrl, export: Export) -> None:
    plan = with_type(make_plan(), "score", "bigint", "bigint")
    with pytest.raises(Failed) as caught:
        load(url, export, plan)
    assert caught.value.code == "VALUE_UNFIT"
    assert "person.score" in caught.value.message


def test_a_key_that_cannot_be_made_fails_the_load_and_leaves_nothing(
    url: TargetUrl, export: Export, look: Look
) -> None:
    from tests.migrations_app.engine.moves import primary_key

    plan = make_plan()
    tables = tuple(
        replace(table, objects=(primary_key("person", "city"),)) if table.name == "person" else table
        for table in plan.tables
    )
    with pytest.raises(Failed) as caught:
        load(url, export, replace(plan, tables=tables))
    assert caught.value.code == "OBJECT_REFUSED"
    assert "person_pkey" in caught.value.message
    assert look.schemas() == ["causeway"]
    assert look.value("SELECT count(*) FROM causeway.run") == 0


def stop_at(phase: str, done: int) -> Control:
    control = Control()

    def report(progress: Progress) -> None:
        if progress.phase == phase and progress.done >= done:
            control.stop_reason = "as the test asked"
            control.stop.set()

    control.report = report
    return control


@pytest.mark.parametrize(("phase", "done"), [("load", 1), ("load", 20_000), ("index", 1)])
def test_a_cancelled_load_leaves_no_session_and_nothing_visible(
    url: TargetUrl, export: Export, look: Look, phase: str, done: int
) -> None:
    with pytest.raises(Cancelled):
        load(url, export, control=stop_at(phase, done))
    assert_no_sessions(look)
    assert look.value("SELECT count(*) FROM pg_class WHERE relname IN ('person', 'city')") == 0


def test_a_stop_is_heard_by_a_copy_that_is_blocked(url: TargetUrl, export: Export, look: Look, target_url: str) -> None:
    """A lock stands for whatever makes a COPY wait."""
    control = Control()
    locker = Look(target_url)
    locker.connection.autocommit = False

    def lock(progress: Progress) -> None:
        if progress.phase == "load" and progress.done == 10_000:
            locker.run(f"LOCK TABLE {load_schema(RUN)}.person IN ACCESS EXCLUSIVE MODE")

    def stop() -> None:
        waiting = "wait_event_type = 'Lock' AND query LIKE 'COPY%'"
        wait_for(look, f"SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE {waiting})")
        control.stop.set()

    control.report = lock
    thread = threading.Thread(target=stop)
    thread.start()
    try:
        with held(url) as mine, pytest.raises(Cancelled):
            load_export(export, make_plan(), url, run_key=RUN, lease=mine, control=control, keep_on_failure=True)
    finally:
        thread.join()
        locker.connection.close()
    assert_no_sessions(look)


def assert_no_sessions(look: Look) -> None:
    """A closed session takes the server a moment to end."""
    wait_for(
        look,
        "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'causeway:%')",
    )


def wait_for(look: Look, condition: str, seconds: float = 30) -> None:
    pause = threading.Event()
    for _ in range(int(seconds * 50)):
        if look.value(f"SELECT coalesce(({condition}), false)"):
            return
        pause.wait(0.02)
    raise AssertionError(f"never true: {condition}")


def run_loader(url: TargetUrl, export: Export, point: str, count: int, mode: str = "create") -> int:
    text = f"postgresql://{url.user}:{url.password}@{url.host}:{url.port}/{url.database}"
    command = [sys.executable, "-m", "tests.migrations_app.engine.load.loader_process"]
    done = subprocess.run(
        [*command, str(export.directory), mode, point, str(count)],
        env={**os.environ, "TARGET_DATABASE_URL": text},
        cwd=Path(__file__).parents[4],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


def kill_loader(url: TargetUrl, export: Export, point: str, count: int, mode: str = "create") -> None:
    assert run_loader(url, export, point, count, mode) == -signal.SIGKILL


KILLS = [
    ("begin", 1),
    ("chunk_before_record", 1),
    ("chunk_before_commit", 2),
    ("chunk_after_commit", 3),
    ("object_before_commit", 4),
    ("object_after_commit", 1),
    ("object_after_commit", 5),
    ("publishing", 1),
    ("publish_before_commit", 1),
    ("published", 1),
]


@pytest.mark.parametrize(("point", "count"), KILLS)
def test_a_killed_load_resumes_and_is_exact(
    url: TargetUrl, export: Export, people_file: Path, look: Look, point: str, count: int
) -> None:
    assert point in POINTS
    kill_loader(url, export, point, count)
    if point != "published":
        assert (
            look.value(
                "SELECT count(*) FROM pg_class WHERE relname = 'person' AND relnamespace = 'public'::regnamespace"
            )
            == 0
        )
    assert run_loader(url, export, "none", 0) == 0
    assert_exact(url, people_file)
    assert look.schemas() == ["causeway"]


def test_a_loader_that_was_overtaken_is_fenced_and_removes_nothing(
    url: TargetUrl, export: Export, people_file: Path, look: Look
) -> None:
    """The new holder takes over in the middle; the old one must stop and leave the work alone."""
    old = lease.claim(url, RUN, "old", 0.5)
    taken: list[lease.Lease] = []

    def overtake(progress: Progress) -> None:
        if progress.phase == "load" and not taken:
            taken.append(lease.claim(url, RUN, "new", 60, wait_seconds=20))

    with pytest.raises(Fenced):
        load_export(export, make_plan(), url, run_key=RUN, lease=old, jobs=1, control=Control(report=overtake))
    assert look.value("SELECT count(*) FROM causeway.chunk") >= 1
    result = load_export(export, make_plan(), url, run_key=RUN, lease=taken[0])
    assert result.resumed
    assert_exact(url, people_file)


def test_a_removed_load_leaves_the_target_as_it_was(url: TargetUrl, export: Export, look: Look) -> None:
    load(url, export)
    clean.remove_load(url, make_plan(), RUN)
    clean.remove_traces(url, RUN)
    assert look.schemas() == []
    assert look.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0


def test_removing_the_traces_leaves_the_data(url: TargetUrl, export: Export, people_file: Path, look: Look) -> None:
    load(url, export)
    clean.remove_traces(url, RUN)
    assert look.schemas() == []
    assert look.value("SELECT count(*) FROM person") == PEOPLE
