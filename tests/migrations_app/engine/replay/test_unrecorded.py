"""What happens on PostgreSQL past the triggers that record changes is recorded all the same, or ends the way back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrations_app.engine.back import change_queue
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.conversions.inverse import InverseForms
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.replay.backward import Flowed
from tests.migrations_app.engine.replay.returning import Cross, flow, flow_locked

ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO item VALUES (1, 1), (15, 15)"
IN_PARTS = (
    "CREATE TABLE item (id bigint PRIMARY KEY, n bigint) PARTITION BY RANGE (id);"
    "CREATE TABLE item_1 PARTITION OF item FOR VALUES FROM (0) TO (10);"
    "CREATE TABLE item_2 PARTITION OF item FOR VALUES FROM (10) TO (20)"
)

Bring = Callable[[Pair, InverseForms], Flowed]


@pytest.mark.parametrize("bring", [flow, flow_locked])
@pytest.mark.parametrize(
    ("migration", "back"),
    [
        ("ALTER TABLE item ADD COLUMN colour text DEFAULT 'red'", "ALTER TABLE item DROP COLUMN colour"),
        ("CREATE TABLE fresh (id bigint); INSERT INTO fresh VALUES (1)", "DROP TABLE fresh"),
        ("ALTER TABLE item ALTER COLUMN n TYPE numeric", "ALTER TABLE item ALTER COLUMN n TYPE bigint"),
    ],
)
def test_a_schema_migration_on_postgresql_ends_the_way_back_until_it_is_taken_back(
    cross: Cross, migration: str, back: str, bring: Bring
) -> None:
    crossed = cross("CREATE TABLE item (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO item VALUES (1, 1)")
    crossed.look.run(migration)
    with pytest.raises(Failed) as refused:
        bring(crossed.pair, crossed.forms)
    assert refused.value.code == "TARGET_MIGRATED"
    crossed.look.run(back)
    crossed.look.run("ALTER TABLE item ADD CONSTRAINT small CHECK (n < 100)")
    crossed.look.run("INSERT INTO item VALUES (2, 2)")
    assert bring(crossed.pair, crossed.forms).rows == 1


@pytest.mark.parametrize("bring", [flow, flow_locked])
@pytest.mark.parametrize(
    ("unseen", "code"),
    [
        (
            "ALTER TABLE item DISABLE TRIGGER USER; UPDATE item SET n = 9;"
            "ALTER TABLE item ENABLE ALWAYS TRIGGER causeway_changes, ENABLE ALWAYS TRIGGER causeway_truncates",
            "CHANGES_UNRECORDED",
        ),
        ("DROP TRIGGER causeway_changes ON item; UPDATE item SET n = 9", "CHANGES_UNRECORDED"),
        ("DROP TRIGGER causeway_truncates ON item; TRUNCATE item", "CHANGES_UNRECORDED"),
        (
            "CREATE TABLE other (LIKE item INCLUDING ALL); INSERT INTO other SELECT id, 9 FROM item; DROP TABLE item;"
            "ALTER TABLE other RENAME TO item",
            "TARGET_MIGRATED",
        ),
        (
            "CREATE SCHEMA hidden; CREATE TABLE hidden.more () INHERITS (item); INSERT INTO hidden.more VALUES (7, 7)",
            "TARGET_MIGRATED",
        ),
    ],
)
def test_rows_that_no_trigger_saw_are_not_lost_without_a_word(
    cross: Cross, unseen: str, code: str, bring: Bring
) -> None:
    crossed = cross(ITEM)
    crossed.look.run(unseen)
    with pytest.raises(Failed) as refused:
        bring(crossed.pair, crossed.forms)
    assert refused.value.code == code
    assert "item" in refused.value.message
    assert crossed.file("SELECT id, n FROM item ORDER BY id") == [(1, 1), (15, 15)]


def test_what_is_written_in_the_replica_role_comes_home(cross: Cross) -> None:
    """As a subscription writes, and a restore."""
    crossed = cross(ITEM)
    crossed.brought_home("SET session_replication_role = replica; UPDATE item SET n = 9; TRUNCATE item; RESET ALL")
    assert crossed.file("SELECT id, n FROM item") == []


def test_a_partition_that_is_emptied_takes_its_rows_away_in_sqlite(cross: Cross) -> None:
    crossed = cross(ITEM, target=IN_PARTS)
    crossed.brought_home("TRUNCATE item_1")
    assert crossed.file("SELECT id FROM item") == [(15,)]
    crossed.look.run("INSERT INTO item SELECT i, i FROM generate_series(0, 8) i; TRUNCATE item")
    assert change_queue.count(crossed.pair.url).by_table["item"].rows == 19, "9 inserted, and 10 that were there"
    assert crossed.brought_home("INSERT INTO item_2 VALUES (12, 12)") == 1


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE item_1",
        "ALTER TABLE item DETACH PARTITION item_1",
        "CREATE TABLE item_3 (LIKE item); INSERT INTO item_3 VALUES (25, 25);"
        "ALTER TABLE item ATTACH PARTITION item_3 FOR VALUES FROM (20) TO (30)",
    ],
)
def test_rows_that_come_or_go_with_a_partition_end_the_way_back(cross: Cross, change: str) -> None:
    crossed = cross(ITEM, target=IN_PARTS)
    crossed.look.run(change)
    with pytest.raises(Failed) as refused:
        flow(crossed.pair, crossed.forms)
    assert refused.value.code == "TARGET_MIGRATED"
    change_queue.disarm(crossed.pair.url)
    assert crossed.look.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'causeway_%s'") == 0


def test_a_table_from_which_another_inherits_is_not_armed(cross: Cross) -> None:
    """The rows of the other one belong to it, and fire no trigger of it."""
    with pytest.raises(Refused) as refused:
        cross(ITEM, target="CREATE TABLE item (id bigint PRIMARY KEY, n bigint); CREATE TABLE more () INHERITS (item)")
    assert refused.value.code == "ONLINE_NO_TARGET_KEY"


def test_triggers_that_somebody_touched_are_whole_after_arming_again(cross: Cross) -> None:
    crossed = cross(ITEM)
    crossed.look.run("DROP TRIGGER causeway_changes ON item; ALTER TABLE item DISABLE TRIGGER USER")
    change_queue.arm(crossed.pair.url, crossed.pair.plan, keys={"item": ["id"]})
    assert crossed.brought_home("UPDATE item SET n = 9 WHERE id = 1") == 1


def test_a_crossing_that_an_earlier_version_armed_goes_on_and_changes_are_told_from_then_on(cross: Cross) -> None:
    crossed = cross(ITEM)
    crossed.look.run("DROP TABLE causeway.shape")
    assert crossed.brought_home("UPDATE item SET n = 9 WHERE id = 1") == 1
    crossed.look.run("ALTER TABLE item ADD COLUMN colour text")
    with pytest.raises(Failed) as refused:
        flow(crossed.pair, crossed.forms)
    assert refused.value.code == "TARGET_MIGRATED"
