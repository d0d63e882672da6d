"""Foreign keys that can't stand while rows follow come back with the crossing, and are valid only if rows keep them."""

from __future__ import annotations

import sqlite3

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.online.settling import settle
from migrations_app.engine.replay.applier import applier_right
from migrations_app.engine.target.target_url import parse_target_url
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.online.conftest import MakeStage
from tests.migrations_app.engine.online.test_crossing import FEW, assert_right, flow_all
from tests.migrations_app.engine.online.test_kills import prepared

KEYS = (
    "SELECT conname, convalidated FROM pg_constraint"
    " WHERE contype = 'f' AND connamespace = 'public'::regnamespace ORDER BY 1"
)


def test_without_the_appliers_right_foreign_keys_stand_aside_until_the_freeze(
    make_stage: MakeStage, applier_url: str, target_url: str, look: Look, postgres: EmbeddedPostgres
) -> None:
    role = parse_target_url(target_url).user
    postgres.execute(f'REVOKE SET ON PARAMETER session_replication_role FROM "{role}"')
    assert not applier_right(parse_target_url(target_url)).granted
    stage = prepared(make_stage)
    assert look.rows(KEYS) == []
    checked = stage.check().verify
    assert checked.equal, checked.differences
    assert any("stands aside" in remark for remark in checked.remarks)

    stage.cross()
    assert [valid for _name, valid in look.rows(KEYS)] == [False, False], "enforced again, not looked at yet"
    stage.application.wait_for(FEW)
    assert settle(stage.pair).broken == ()
    assert [valid for _name, valid in look.rows(KEYS)] == [True, True]

    stage.come_back()
    assert look.rows(KEYS) == [], "PostgreSQL follows again"
    stage.application.wait_for(FEW)
    stage.cross()
    stage.application.wait_for(FEW)
    stage.application.stop()
    flow_all(stage)
    settle(stage.pair)
    assert_right(stage)


def test_a_row_without_its_parent_that_came_late_makes_its_key_not_valid(make_stage: MakeStage, look: Look) -> None:
    stage = prepared(make_stage)
    assert stage.check().verify.equal
    connection = sqlite3.connect(stage.source, timeout=10)
    connection.execute("INSERT INTO carts VALUES (999999, 'nobody''s', 1)")
    connection.commit()
    connection.close()
    stage.cross()
    settled = settle(stage.pair)
    assert [(each.table, each.target_value) for each in settled.orphans] == [("carts", "1")]
    assert dict(look.rows(KEYS)) == {name: "carts" not in name for name, _ in look.rows(KEYS)}
    with pytest.raises(Exception, match=r"foreign key"):
        look.run("INSERT INTO carts VALUES (999998, 'another', 1)")
    stage.application.wait_for(FEW)
