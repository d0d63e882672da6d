"""The follower: a slice at a time, single, behind the steps of a crossing; what breaks is told and holds the run."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.mail.models import OutgoingMail
from controlplane.refusals import ServiceRefused
from migrations_app.engine.errors import Failed
from migrations_app.models import Replication, RunStep
from migrations_app.services import following
from migrations_app.services.following import follow, ring_followers
from migrations_app.services.price import price_of
from migrations_app.services.replication import end_replication
from migrations_app.services.rollback import agree_rollback, request_rollback
from migrations_app.services.runs import start_run, submit_run
from migrations_app.steps import online_back
from monitoring_app.models import Series
from monitoring_app.services.targets import watch
from tests import factories as make
from tests.migrations_app.runs.conftest import World
from tests.migrations_app.runs.online import (
    crossed,
    draft,
    follow_once,
    prepared,
    read_sqlite,
    read_target,
    replication_of,
    write_sqlite,
)

ITEMS = "SELECT id, name FROM items ORDER BY id"


def following_world(world: World):  # type: ignore[no-untyped-def]
    plan = world.plan()
    make.rehearsed(plan, world.ana, strategy="online")
    run = prepared(world, plan)
    assert run.state == "waiting", run.held_reason
    return run


def test_a_slice_applies_what_was_written_and_says_so_to_pages_and_monitoring(world: World) -> None:
    run = following_world(world)
    watch(application=world.application, actor="system")
    before = world.fresh(run).version
    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('new')")
    seen = follow_once(world)
    assert (seen.direction, seen.state, seen.lag_rows) == ("forward", "following", 0)
    assert seen.position == seen.head and seen.facts["live"] == "sqlite"
    assert "new" in [name for _, name in read_target(world, ITEMS)]
    assert world.fresh(run).version > before
    assert Series.objects.get(metric="crossing_follows").last_value == 1


def test_a_value_that_could_not_return_is_stopped_once_the_way_back_was_learned(world: World) -> None:
    """The freeze looks at the last changes only: this one would be on PostgreSQL by then."""
    run = following_world(world)
    forms = replication_of(world).inverse_forms
    forms["tables"]["items"]["name"] = "text_or_number"  # as of a column that held no number as text
    Replication.objects.update(inverse_forms=forms)
    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('5')")
    seen = follow_once(world)
    assert (seen.state, seen.error_code) == ("broken", "NO_WAY_BACK_FOR_VALUE")
    assert world.fresh(run).held_reason
    write_sqlite(world.application, "UPDATE items SET name = 'five' WHERE name = '5'")
    assert follow_once(world).state == "following"
    assert "five" in [name for _, name in read_target(world, ITEMS)]


def test_only_one_works_and_a_ring_goes_only_to_what_is_free(world: World) -> None:
    following_world(world)
    Replication.objects.update(lease_expires_at=timezone.now() + timedelta(seconds=10), lease_holder="another")
    assert ring_followers(now=timezone.now()) == 0
    assert follow(application_id=world.application.pk) is False
    Replication.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert ring_followers(now=timezone.now()) == 1
    assert follow(application_id=world.application.pk) is True


def test_a_step_of_the_crossing_comes_first(world: World) -> None:
    run = following_world(world)
    RunStep.objects.filter(run=run, name="cut_over").update(state="running")
    assert follow(application_id=world.application.pk) is False
    assert replication_of(world).state == "paused"
    RunStep.objects.filter(run=run, name="cut_over").update(state="pending")
    assert follow_once(world).state == "following"


def test_a_changed_schema_breaks_it_tells_people_and_holds_the_run(world: World) -> None:
    run = following_world(world)
    write_sqlite(world.application, "ALTER TABLE items ADD COLUMN colour TEXT")
    seen = follow_once(world)
    assert (seen.state, seen.error_code) == ("broken", "SOURCE_SCHEMA_CHANGED")
    run = world.fresh(run)
    assert run.state == "held" and "no longer follow" in run.held_reason
    assert OutgoingMail.objects.filter(kind="replication_broken").exists()
    assert AuditEvent.objects.filter(action="replication.broken").count() == 1
    follow(application_id=world.application.pk)
    assert AuditEvent.objects.filter(action="replication.broken").count() == 1


def test_a_server_that_is_away_for_a_moment_is_shown_and_not_yet_called_broken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    following_world(world)
    real = world.application.target_url
    world.application.target_url = "postgresql://nobody:x@127.0.0.1:1/none"
    world.application.save()
    seen = follow_once(world)
    assert (seen.state, seen.error_code) == ("following", "WAITING")
    monkeypatch.setattr(following, "_PASSES", timedelta(0))
    assert follow_once(world).state == "broken"
    world.application.target_url = real
    world.application.save()
    seen = follow_once(world)
    assert (seen.state, seen.error_code) == ("following", "")
    assert AuditEvent.objects.filter(action="replication.mended").exists()


@pytest.mark.parametrize("way", ["forward", "back"])
def test_a_slice_does_not_hold_its_worker_until_a_server_comes_back(
    world: World, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "forward":
        following_world(world)
    else:
        crossed(world, world.plan())
    asked: list[str] = []

    def lost(*_: object) -> None:
        asked.append(way)
        raise Failed("TARGET_LOST", "The connection broke.", "Start the server.")

    whose, name = (following.Follower, "_catch_up") if way == "forward" else (following.Returner, "_flow")
    monkeypatch.setattr(whose, name, lost)
    seen = follow_once(world)
    assert (seen.state, seen.error_code) == ("following", "TARGET_LOST")
    assert asked == [way], "it is rung again in two seconds"


def test_the_end_that_ops_ask_for_takes_every_trace_and_the_copy_away(world: World) -> None:
    run = following_world(world)
    asked = {"actor": world.ana, "application": world.application, "reason": "enough", "typed_name": "tiny"}
    with pytest.raises(ServiceRefused, match=f"Run {run.pk} uses"):
        end_replication(**asked, reauthenticated=True)
    request_rollback(actor=world.ana, run=run, reason="no", typed_name="tiny", reauthenticated=True)
    assert world.drive(run).state == "rolled_back"
    assert read_target(world, ITEMS)
    end_replication(**asked, reauthenticated=True)
    assert follow(application_id=world.application.pk)
    assert replication_of(world).state == "ended"
    assert read_sqlite(world.application, "SELECT 1 FROM sqlite_master WHERE name LIKE 'causeway%'") == []
    assert read_target(world, "SELECT 1 FROM pg_tables WHERE tablename = 'items'") == []
    assert read_target(world, "SELECT 1 FROM pg_namespace WHERE nspname = 'causeway'") == []


def test_an_end_that_could_not_take_everything_away_is_not_called_one(world: World) -> None:
    run = following_world(world)
    plan = run.plan
    request_rollback(actor=world.ana, run=run, reason="no", typed_name="tiny", reauthenticated=True)
    assert world.drive(run).state == "rolled_back"
    world.execute_in_target("CREATE VIEW somebodys AS SELECT * FROM items")
    asked = {"actor": world.ana, "application": world.application, "reason": "enough", "typed_name": "tiny"}
    end_replication(**asked, reauthenticated=True)
    for _ in range(2):
        seen = follow_once(world)
        assert (seen.state, bool(seen.error_message)) == ("ending", True)
    assert read_target(world, ITEMS)
    assert ring_followers(now=timezone.now()) == 0
    assert ring_followers(now=timezone.now() + timedelta(seconds=20)) == 1
    run = draft(world, plan)
    submit_run(actor=world.ana, run=run)
    world.sign(run, "plan", "ben", "lead")
    with pytest.raises(ServiceRefused, match="being ended"):
        start_run(actor=world.ana, run=world.fresh(run))
    world.execute_in_target("DROP VIEW somebodys")
    assert follow_once(world).state == "ended"
    assert read_target(world, "SELECT 1 FROM pg_tables WHERE tablename = 'items'") == []


@pytest.mark.parametrize("migrated", [False, True])
def test_a_value_that_cannot_return_ends_the_way_back_and_two_people_give_its_row_up(
    world: World, migrated: bool
) -> None:
    """SQLite keeps what flowed; the row that can't is saved to a file, and PostgreSQL keeps it.

    After a schema migration on PostgreSQL it is the same, but nobody knows how many rows were recorded nowhere.
    """
    run = crossed(world, world.plan())
    assert run.state == "waiting", run.held_reason
    world.execute_in_target("INSERT INTO items (name) VALUES ('flows')")
    follow_once(world)
    world.execute_in_target("UPDATE items SET name = 'late' WHERE id = 1")
    if migrated:
        world.execute_in_target("CREATE TABLE fresh (id bigint); INSERT INTO fresh VALUES (1)")
    world.execute_in_target("ALTER TABLE items ALTER COLUMN name DROP NOT NULL; UPDATE items SET name = NULL")
    seen = follow_once(world)
    assert seen.state == "broken" and not seen.window_open and "way back ended" in seen.window_reason
    assert world.fresh(run).state == "held"
    tag = price_of(run)
    assert (tag.price, tag.people, tag.lossless) == ("R3", 2, False)
    rows = read_target(world, "SELECT count(*) FROM items")[0][0]
    assert (tag.rows, "isn't known" in tag.sentence) == ((None, True) if migrated else (rows, False))
    given = {"reason": "wrong", "typed_name": "tiny", "rows_typed": tag.rows, "reauthenticated": True}
    request = request_rollback(actor=world.ana, run=world.fresh(run), **given)
    assert request.state == "waiting"
    agree_rollback(actor=world.ben, request=request, reauthenticated=True)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    names = [name for _, name in read_sqlite(world.application, ITEMS)]
    assert "flows" in names and None not in names
    assert run.facts["delta"]["rows"] == rows
    assert replication_of(world).state == "ended"
    assert read_target(world, "SELECT to_regclass('causeway.replication')::text") == [(None,)]
    assert (None,) in read_target(world, "SELECT name FROM items")
    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('it takes writes')")


@pytest.mark.parametrize("code", ["TARGET_CONFLICT", "QUEUE_CHANGED"])
def test_two_who_meet_on_the_way_back_do_not_end_it(world: World, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    run = crossed(world, world.plan())
    assert follow_once(world).window_open

    def meets(_: object) -> None:
        raise Failed(code, "Somebody else brought the same rows.", "Run it again.")

    with monkeypatch.context() as patched:
        patched.setattr(following.Returner, "flow", meets)
        seen = follow_once(world)
    assert (seen.state, seen.window_open, seen.error_code) == ("following", True, code)
    assert world.fresh(run).state == "waiting"


@pytest.mark.parametrize("code", ["TARGET_CONFLICT", "QUEUE_CHANGED", "QUEUE_LEFT", "LOCKED"])
def test_what_is_over_in_a_moment_is_no_ground_to_give_up_rows_that_two_people_would(
    world: World, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    run = crossed(world, world.plan())
    world.execute_in_target("ALTER TABLE items ALTER COLUMN name DROP NOT NULL; UPDATE items SET name = NULL")
    assert not follow_once(world).window_open
    rows = price_of(run).rows
    given = {"reason": "wrong", "typed_name": "tiny", "rows_typed": rows, "reauthenticated": True}
    request = request_rollback(actor=world.ana, run=world.fresh(run), **given)
    agree_rollback(actor=world.ben, request=request, reauthenticated=True)

    def not_now(*_: object, **__: object) -> None:
        raise Failed(code, "Not at this moment.", "Try again.")

    monkeypatch.setattr(online_back, "take_back_rows", not_now)
    run = world.drive(run)
    assert (run.state, run.facts.get("way_back")) == ("held", None), run.held_reason


def test_with_postgresql_gone_for_good_two_people_take_it_back_as_of_the_last_flow(world: World) -> None:
    run = crossed(world, world.plan())
    world.execute_in_target("INSERT INTO items (name) VALUES ('flowed')")
    follow_once(world)
    world.application.target_url = "postgresql://nobody:x@127.0.0.1:1/none"
    world.application.save()
    tag = price_of(world.fresh(run))
    assert (tag.price, tag.rows, tag.people) == ("R3", None, 2)
    request = request_rollback(
        actor=world.ana, run=world.fresh(run), reason="gone", typed_name="tiny", reauthenticated=True
    )
    agree_rollback(actor=world.ben, request=request, reauthenticated=True)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert "flowed" in [name for _, name in read_sqlite(world.application, ITEMS)]
    assert "sqlite:///" in world.env_file.read_text()
