"""A load that is asked to stop does so whatever the server is busy with, and leaves no session and no table of ours."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled
from migrations_app.engine.export.export import Export
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import MovePlan, ObjectPlan
from migrations_app.engine.target.pg_names import load_schema
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.load.test_load import assert_no_sessions, wait_for
from tests.migrations_app.engine.moves import RUN, Look, held, make_export, make_plan

# What keeps the server busy, how it is seen there, and the object of the plan that does it.
SLOW_INDEX = ObjectPlan("index", "slow", 'CREATE INDEX "slow" ON {schema}."person" (public.slow("name"))')
SLOW_CHECK = ObjectPlan(
    "check", "slow", 'ALTER TABLE {schema}."person" ADD CONSTRAINT "slow" CHECK (pg_catalog.pg_sleep(0.2)::text = \'\')'
)
BUSY = {"COPY": None, "CREATE INDEX": SLOW_INDEX, "ALTER TABLE": SLOW_CHECK}


@pytest.fixture(scope="session")
def export(people_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return make_export(people_file, make_plan(), tmp_path_factory.mktemp("export"))


def plan_with(thing: ObjectPlan | None) -> MovePlan:
    plan = make_plan()
    if thing is None:
        return plan
    tables = tuple(
        replace(table, objects=(*table.objects, thing)) if table.name == "person" else table for table in plan.tables
    )
    return replace(plan, tables=tables)


@pytest.mark.parametrize("statement", BUSY)
def test_a_stop_is_heard_in_the_middle_of_a_statement(
    url: TargetUrl, export: Export, look: Look, target_url: str, statement: str
) -> None:
    look.run(
        "CREATE FUNCTION public.slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_catalog.pg_sleep(0.2); RETURN $1; END $$"
    )
    control, locker = Control(), Look(target_url)
    locker.connection.autocommit = False
    ended: list[float] = []

    def lock_what_copy_needs(progress: object) -> None:
        control.report = lambda progress: None
        locker.run(f"LOCK TABLE {load_schema(RUN)}.person IN ACCESS EXCLUSIVE MODE")

    if statement == "COPY":
        control.report = lock_what_copy_needs

    def load() -> None:
        with held(url) as mine, pytest.raises(Cancelled):
            load_export(
                export, plan_with(BUSY[statement]), url, run_key=RUN, lease=mine, control=control, keep_on_failure=True
            )
        ended.append(time.monotonic())

    thread = threading.Thread(target=load)
    thread.start()
    try:
        wait_for(
            look,
            f"SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{statement}%'"
            " AND (wait_event = 'PgSleep' OR wait_event_type = 'Lock'))",
        )
        asked = time.monotonic()
        control.stop.set()
        thread.join(30)
    finally:
        locker.connection.close()
        thread.join(30)
    assert ended, "it never stopped"
    print(f"{statement}: stopped {ended[0] - asked:.2f} s after it was asked")
    assert_no_sessions(look)
    wait_for(
        look,
        f"SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE query LIKE '{statement}%'"
        " AND state = 'active' AND pid <> pg_backend_pid())",
    )


def test_a_stop_in_the_middle_of_an_index_leaves_the_target_as_it_was(
    url: TargetUrl, export: Export, look: Look
) -> None:
    look.run(
        "CREATE FUNCTION public.slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_catalog.pg_sleep(0.2); RETURN $1; END $$"
    )
    control = Control()
    stopper = threading.Thread(
        target=lambda: (
            wait_for(look, "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep')"),
            control.stop.set(),
        )
    )
    stopper.start()
    with held(url) as mine, pytest.raises(Cancelled):
        load_export(export, plan_with(SLOW_INDEX), url, run_key=RUN, lease=mine, control=control)
    stopper.join(30)
    assert look.schemas() == ["causeway"]
    assert look.value("SELECT count(*) FROM causeway.run") == 0
    assert look.value("SELECT count(*) FROM pg_class WHERE relname IN ('person', 'city', 'note')") == 0
