"""Verified by hand while PostgreSQL follows: what the freeze will do is no difference, everything else is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from migrations_app.engine.replay import replication
from migrations_app.engine.source.still import open_still
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare import VerifyResult, verify
from tests.migrations_app.engine.replay.following import catch_up, follow, target


def test_sequences_wait_for_the_freeze_and_only_while_postgresql_follows(
    tmp_path: Path, applier_url: TargetUrl
) -> None:
    path = tmp_path / "live.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("CREATE TABLE note (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT)")
        file.execute("INSERT INTO note (text) VALUES ('one')")
        pair = follow(path, applier_url)
        file.execute("INSERT INTO note (text) VALUES ('two'), ('three')")
    catch_up(pair)

    def verified() -> VerifyResult:
        with open_still(path) as source:
            return verify(source, pair.plan, pair.url)

    result = verified()
    assert result.equal, result.differences
    assert [remark for remark in result.remarks if remark.startswith("note.id: its sequence is set")]

    with target(pair) as cursor:
        replication.change_phase(cursor, pair, {"following"}, "taken_over")
    assert [each.kind for each in verified().differences] == ["sequence_behind"]
    with target(pair) as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('public.note', 'id'), 40)")
    assert verified().equal, "numbers that were given out and not kept are no difference while PostgreSQL is live"
