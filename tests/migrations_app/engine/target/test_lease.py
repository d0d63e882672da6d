"""One run per target, and no commit of a holder that was overtaken."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError, Failed, Fenced, Refused
from migrations_app.engine.target import lease, ledger
from migrations_app.engine.target.lease import assert_held, claim, kept, release, renew
from migrations_app.engine.target.target import connect, transaction
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look


def test_a_second_run_is_refused_and_told_who_has_the_target(url: TargetUrl) -> None:
    claim(url, "first", "alice")
    with pytest.raises(Refused) as caught:
        claim(url, "second", "bob")
    assert caught.value.code == "TARGET_LEASED"
    assert "alice" in caught.value.message
    assert "first" in caught.value.message


def test_a_released_lease_is_free_at_once(url: TargetUrl) -> None:
    first = claim(url, "first", "alice")
    release(url, first)
    assert claim(url, "second", "bob").token > first.token


def test_a_lapsed_lease_is_taken_over_within_the_wait(url: TargetUrl) -> None:
    first = claim(url, "first", "alice", seconds=1)
    second = claim(url, "second", "bob", wait_seconds=20)
    assert second.token > first.token
    with pytest.raises(Fenced):
        renew(url, first)


def test_renewing_keeps_others_out(url: TargetUrl) -> None:
    first = claim(url, "first", "alice", seconds=2)
    control = Control()
    with kept(url, first, control), pytest.raises(Refused):
        claim(url, "second", "bob", wait_seconds=3)
    assert not control.stop.is_set()


def test_a_keeper_that_lost_the_lease_stops_the_work(url: TargetUrl, look: Look) -> None:
    first = claim(url, "first", "alice", seconds=3)
    control = Control()
    with kept(url, first, control):
        look.run("UPDATE causeway.lease SET token = token + 1, holder = 'bob'")
        assert control.stop.wait(20)
    assert "no longer ours" in control.stop_reason


def test_of_many_that_claim_at_once_one_wins(url: TargetUrl) -> None:
    def attempt(number: int) -> bool:
        try:
            claim(url, f"run-{number}", f"holder-{number}")
        except Refused:
            return False
        return True

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(attempt, range(8))) == 1
        held = connect(url, application_name="causeway:test:0")
        with transaction(held, "ending the lease") as cursor:
            cursor.execute("UPDATE causeway.lease SET expires_at = clock_timestamp()")
        held.close()


def test_the_token_grows_across_a_removal_of_the_schema(url: TargetUrl, look: Look) -> None:
    first = claim(url, "first", "alice")
    look.run("DROP SCHEMA causeway CASCADE")
    assert claim(url, "first", "alice").token > first.token


def _zombie_writes(url: TargetUrl, look: Look, *, fenced: bool) -> int:
    """A holder is overtaken between two of its transactions, then writes once more; rows that it got in."""
    old = claim(url, "first", "old", seconds=0.001)
    look.run("CREATE TABLE public.data (n int)")
    claim(url, "second", "new")
    zombie = connect(url, application_name="", lease=old)  # it reconnects: its earlier session was ended
    try:
        with transaction(zombie, "writing") as cursor:
            if fenced:
                assert_held(cursor, old)
            cursor.execute("INSERT INTO public.data VALUES (1)")
    except Fenced:
        pass
    finally:
        zombie.close()
    return int(look.value("SELECT count(*) FROM public.data"))


def test_a_zombie_with_an_old_token_writes_nothing(url: TargetUrl, look: Look) -> None:
    assert _zombie_writes(url, look, fenced=True) == 0


def test_without_the_fence_the_zombie_writes(url: TargetUrl, look: Look) -> None:
    """The defence switched off: proves that the test above would go red."""
    assert _zombie_writes(url, look, fenced=False) == 1


def test_a_holder_frozen_between_fence_and_write_is_ended_before_the_token_changes(url: TargetUrl, look: Look) -> None:
    look.run("CREATE TABLE public.data (n int)")
    old = claim(url, "first", "old", seconds=0.5)
    frozen = connect(url, application_name="", lease=old)
    with frozen.cursor() as cursor:
        assert_held(cursor, old)
        cursor.execute("INSERT INTO public.data VALUES (1)")  # not committed: here it freezes
        claim(url, "second", "new", wait_seconds=20)
    with pytest.raises(Exception, match=r"closed|terminat|lost"):
        frozen.commit()
    assert look.value("SELECT count(*) FROM public.data") == 0


def test_a_frozen_holder_that_cannot_be_ended_keeps_the_new_one_waiting(
    url: TargetUrl, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ending of old sessions switched off: the row lock alone still keeps the two apart."""
    monkeypatch.setattr(lease, "_end_older_backends", lambda cursor: None)
    monkeypatch.setitem(lease.connect.__globals__["SESSION"], "lock_timeout", "1s")
    old = claim(url, "first", "old", seconds=0.001)
    frozen = connect(url, application_name="", lease=old)
    try:
        with frozen.cursor() as cursor:
            assert_held(cursor, old)
            with pytest.raises(Failed) as caught:
                claim(url, "second", "new")
            assert caught.value.code == "TARGET_LOCKED"
            frozen.commit()
        assert claim(url, "second", "new").token > old.token
    finally:
        frozen.close()


def test_renewing_does_not_wait_for_a_chunk_that_is_being_written(url: TargetUrl) -> None:
    mine = claim(url, "first", "me")
    writing = connect(url, application_name="", lease=mine)
    done = threading.Event()

    def renews() -> None:
        renew(url, mine)
        done.set()

    try:
        with writing.cursor() as cursor:
            assert_held(cursor, mine)
            threading.Thread(target=renews, daemon=True).start()
            assert done.wait(20)
    finally:
        writing.close()


def test_a_chunk_is_recorded_once_whoever_writes_it(url: TargetUrl, look: Look) -> None:
    from tests.migrations_app.engine.moves import make_plan

    claim(url, "first", "me")
    connection = connect(url, application_name="causeway:test:0")
    try:
        with transaction(connection, "recording") as cursor:
            ledger.create(cursor)
            ledger.save_plan(cursor, "first", make_plan(), "f1")
            ledger.record_chunk(cursor, "first", "city", 1, 10, "00")
        with pytest.raises(EngineError), transaction(connection, "recording again") as cursor:
            ledger.record_chunk(cursor, "first", "city", 1, 10, "00")
    finally:
        connection.close()
    assert look.value("SELECT count(*) FROM causeway.chunk") == 1
