"""What runs, what idles in a transaction, and who waits for whom."""

from __future__ import annotations

import json
from contextlib import closing

import psycopg2

from tests.monitoring_app.probes.measuring import ServerRound, execute, measure, one, running, until


def test_running_query_is_seen_with_its_time_and_without_its_values(target_url: str, watcher_url: str) -> None:
    with running(target_url, "SELECT 'hanako-yamada', pg_sleep(30)", "shop web"):

        def round_() -> ServerRound | None:
            found = measure(watcher_url)
            return found if (one(found, "query_running").value or 0) > 200 else None

        seen = until(round_)
    (session,) = seen.seen["activity"]["running"]
    assert (session["application"], session["text"]) == ("shop web", "SELECT ?, pg_sleep(?)")
    assert session["seconds"] > 0.2
    assert (one(seen, "query_time").value or 0) > 200
    assert "hanako" not in json.dumps(seen.seen) + repr(seen.measurements)
    assert one(measure(watcher_url), "query_running").value == 0.0


def test_maintenance_and_our_own_work_are_no_slow_query(target_url: str, watcher_url: str) -> None:
    with running(target_url, "SELECT pg_sleep(30)", "causeway maintenance"):
        until(lambda: execute(target_url, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        assert one(measure(watcher_url), "query_running").value == 0.0


def test_idle_transaction_is_seen_until_it_ends(target_url: str, watcher_url: str) -> None:
    with closing(psycopg2.connect(target_url, application_name="shop web")) as session:
        session.cursor().execute("SELECT 1")
        round_ = until(lambda: next((r for r in [measure(watcher_url)] if one(r, "idle_in_transaction").value), None))
        assert (one(round_, "transaction_age").value or 0) > 0
        assert [row["application"] for row in round_.seen["activity"]["idle_in_transaction"]] == ["shop web"]
        session.rollback()
        ended = measure(watcher_url)
    assert (one(ended, "idle_in_transaction").value, one(ended, "transaction_age").value) == (0.0, 0.0)


def test_session_that_waits_is_named_with_the_one_that_holds_it_up(target_url: str, watcher_url: str) -> None:
    execute(target_url, "CREATE TABLE stock (id bigint PRIMARY KEY, n int)", "INSERT INTO stock VALUES (1, 5)")
    with closing(psycopg2.connect(target_url, application_name="shop nightly")) as holder:
        holder.cursor().execute("UPDATE stock SET n = 4 WHERE id = 1")
        with running(target_url, "UPDATE stock SET n = 3 WHERE id = 1", "shop web"):
            round_ = until(lambda: next((r for r in [measure(watcher_url)] if one(r, "blocked_sessions").value), None))
            # even a role that sees nobody's sessions counts them
            assert one(measure(target_url), "blocked_sessions").value == 1
            holder.rollback()
    assert one(round_, "blocked_sessions").value == 1
    (waiting,) = round_.seen["blocked"]["sessions"]
    assert (waiting["application"], waiting["text"]) == ("shop web", "UPDATE stock SET n = ? WHERE id = ?")
    (blocker,) = waiting["blockers"]
    assert (blocker["application"], blocker["state"]) == ("shop nightly", "idle in transaction")
    assert one(measure(watcher_url), "blocked_sessions").value == 0
