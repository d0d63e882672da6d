"""A fall-back that ended in an error: what both sides say decides where the application goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from migrations_app.engine.errors import Failed
from migrations_app.engine.online.facts import CAPTURE, FENCED, GIVEN_BACK, POSTGRESQL, TAKEN_OVER, UNKNOWN, Facts
from migrations_app.steps import online_back
from migrations_app.steps.base import StepContext
from migrations_app.steps.crossing import Moments


def fallen(monkeypatch: pytest.MonkeyPatch, facts: Facts, *, told: bool) -> tuple[Mock, dict[str, Any]]:
    """The driver and the answer, where the engine lost PostgreSQL. told: the application was told to stop before."""
    driver, noted = Mock(), {}

    def lost(*_: object, signal_stop: Any, **__: object) -> None:
        if told:
            signal_stop()
        raise Failed("TARGET_LOST", "The target is gone.", "Bring it back.")

    monkeypatch.setattr(online_back, "fall_back", lost)
    monkeypatch.setattr(online_back.recovery, "look", lambda *_: facts)
    monkeypatch.setattr(online_back, "word_of", lambda _: facts.configuration)
    monkeypatch.setattr(online_back, "forms_of", Mock())
    monkeypatch.setattr(online_back.workplace, "pointing_values", Mock())
    moments = Mock(spec=Moments)
    moments.note.side_effect = lambda name, *_: noted.__setitem__(name, True)
    moments.at.side_effect = moments.value.side_effect = noted.get
    run = Mock()
    run.application.busy_timeout_ms = 5000
    try:
        online_back.take_back_rows(
            Mock(spec=StepContext, run=run, control=None), Mock(source=Path("x")), driver, moments
        )
    except Failed as error:
        noted["raised"] = error.code
    return driver, noted


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize(
    "facts",
    [
        Facts(FENCED, UNKNOWN, POSTGRESQL, problem="TARGET_UNREACHABLE"),
        Facts(FENCED, GIVEN_BACK, POSTGRESQL, same=False),
    ],
)
def test_an_application_is_not_started_on_a_database_that_may_lack_rows(
    monkeypatch: pytest.MonkeyPatch, facts: Facts, told: bool
) -> None:
    driver, noted = fallen(monkeypatch, facts, told=told)
    assert noted.get("raised") == "TARGET_LOST"
    driver.start.assert_not_called()
    driver.stop.assert_not_called()


@pytest.mark.parametrize("facts", [Facts(FENCED, GIVEN_BACK, POSTGRESQL), Facts(CAPTURE, GIVEN_BACK, POSTGRESQL)])
def test_a_commit_whose_answer_was_lost_counts_as_one(monkeypatch: pytest.MonkeyPatch, facts: Facts) -> None:
    _driver, noted = fallen(monkeypatch, facts, told=True)
    assert "raised" not in noted


def test_an_application_that_was_told_to_stop_for_nothing_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, noted = fallen(monkeypatch, Facts(FENCED, TAKEN_OVER, POSTGRESQL), told=True)
    assert noted["raised"] == "TARGET_LOST"
    assert driver.start.call_args.args[0] == "postgresql"
