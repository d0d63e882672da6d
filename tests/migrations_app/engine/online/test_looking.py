"""Looking at both sides locks nothing, and is right all the same while others go on."""

from __future__ import annotations

from typing import Any

import pytest

from migrations_app.engine.online import looking
from migrations_app.engine.online.decisions import FOLLOW, decide
from migrations_app.engine.online.facts import SQLITE
from migrations_app.engine.replay.forward import Follower
from tests.migrations_app.engine.online.conftest import MakeStage
from tests.migrations_app.engine.online.test_kills import prepared


def test_what_is_written_and_followed_between_two_looks_puts_nothing_in_doubt(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = prepared(make_stage)
    ask = looking._postgresql

    def after_others_went_on(*given: Any) -> Any:
        with Follower(stage.pair) as follower:
            while not follower.catch_up().rows:
                pass
        return ask(*given)

    monkeypatch.setattr(looking, "_postgresql", after_others_went_on)
    assert decide(looking.look(stage.pair, SQLITE)).action == FOLLOW
