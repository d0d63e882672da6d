"""Rows that can't come back from a live crossing: what two people confirmed is what leaves, and no row more."""

from __future__ import annotations

import pytest

from migrations_app.models import MigrationRun
from migrations_app.services.price import price_of
from migrations_app.services.rollback import agree_rollback, request_rollback
from migrations_app.services.runs import resume_run
from migrations_app.steps import online_back, workplace
from tests.migrations_app.runs.conftest import World
from tests.migrations_app.runs.online import crossed, follow_once, read_sqlite


def agree_on(world: World, run: MigrationRun, rows: int | None) -> None:
    given = {"reason": "wrong", "typed_name": "tiny", "rows_typed": rows, "reauthenticated": True}
    request = request_rollback(actor=world.ana, run=world.fresh(run), **given)
    assert request.state == "waiting"
    agree_rollback(actor=world.ben, request=request, reauthenticated=True)


def is_up(world: World, run: MigrationRun) -> bool:
    return any(process.alive for process in workplace.driver_of(world.fresh(run)).status().processes)


def test_rows_that_nobody_confirmed_do_not_leave_and_the_number_stays_as_the_application_is_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = crossed(world, world.plan())
    world.execute_in_target("ALTER TABLE items ALTER COLUMN name DROP NOT NULL; UPDATE items SET name = NULL")
    assert not follow_once(world).window_open
    confirmed = price_of(run).rows
    assert confirmed
    agree_on(world, run, confirmed)
    world.execute_in_target("INSERT INTO items (name) VALUES ('before it was stopped')")
    run = world.drive(run)
    assert (run.state, world.step(run, "back_fall_back").error_code) == ("held", "ROWS_CHANGED")
    assert not is_up(world, run)
    started: list[str] = []
    monkeypatch.setattr(online_back, "back_up_on", lambda _, __, dialect, ___: started.append(dialect))
    resume_run(actor=world.ana, run=run)
    run = world.drive(run)
    assert (run.state, run.facts.get("way_back")) == ("held", None)
    assert started == [], "what it wrote now nobody would have confirmed"
    agree_on(world, run, confirmed + 1)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert run.facts["delta"]["rows"] == confirmed + 1
    assert is_up(world, run)
    assert read_sqlite(world.application, "SELECT count(*) FROM items WHERE name IS NULL") == [(0,)]


def test_with_postgresql_gone_it_says_that_the_rows_are_unknown_and_leaves_all_of_it_there(world: World) -> None:
    run = crossed(world, world.plan())
    world.application.target_url = "postgresql://nobody:x@127.0.0.1:1/none"
    world.application.save()
    agree_on(world, run, None)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    saved = world.step(run, "back_fall_back").evidence["saved"]
    assert (saved["rows"], saved["inconclusive"]) == ("unknown", True)
    assert run.facts["changes_unknown"] is True
    assert "may be, only there" in world.step(run, "back_keep_following").message
