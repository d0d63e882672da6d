"""What to do next is decided by three durable facts, for every combination of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from migrations_app.engine.online.decisions import (
    ASK,
    COPY,
    END,
    FINISH_CROSSING,
    FLOW_BACK,
    FOLLOW,
    IN_DOUBT,
    LIFT_FENCE,
    NOBODY,
    NOTHING,
    RENAME_BACK,
    REVERT,
    WAIT,
    decide,
)
from migrations_app.engine.online.facts import (
    CAPTURE,
    FENCED,
    FOLLOWING,
    GIVEN_BACK,
    NONE,
    POSTGRESQL,
    SQLITE,
    TAKEN_OVER,
    UNKNOWN,
    Facts,
)

# (SQLite, PostgreSQL, configuration): (action, who is live, what the configuration must name)
TABLE = {
    (CAPTURE, FOLLOWING, SQLITE): (FOLLOW, SQLITE, SQLITE),
    (CAPTURE, TAKEN_OVER, SQLITE): (REVERT, SQLITE, SQLITE),
    (CAPTURE, GIVEN_BACK, SQLITE): (REVERT, SQLITE, SQLITE),
    (FENCED, TAKEN_OVER, SQLITE): (FINISH_CROSSING, NOBODY, POSTGRESQL),
    (FENCED, TAKEN_OVER, POSTGRESQL): (FLOW_BACK, POSTGRESQL, POSTGRESQL),
    (FENCED, GIVEN_BACK, POSTGRESQL): (LIFT_FENCE, NOBODY, SQLITE),
    (FENCED, GIVEN_BACK, SQLITE): (LIFT_FENCE, NOBODY, SQLITE),
    (CAPTURE, GIVEN_BACK, POSTGRESQL): (RENAME_BACK, NOBODY, SQLITE),
    # Before a copy, after an end, and between the two halves of an end.
    (NONE, NONE, SQLITE): (NOTHING, SQLITE, SQLITE),
    (NONE, NONE, POSTGRESQL): (NOTHING, POSTGRESQL, POSTGRESQL),
    (CAPTURE, NONE, SQLITE): (COPY, SQLITE, SQLITE),
    (FENCED, NONE, POSTGRESQL): (END, POSTGRESQL, POSTGRESQL),
    (NONE, FOLLOWING, SQLITE): (END, SQLITE, SQLITE),
    (NONE, TAKEN_OVER, POSTGRESQL): (END, POSTGRESQL, POSTGRESQL),
    # One side can't be asked: who is live is known where the other side says enough.
    (CAPTURE, UNKNOWN, SQLITE): (WAIT, SQLITE, SQLITE),
    (UNKNOWN, TAKEN_OVER, POSTGRESQL): (WAIT, POSTGRESQL, POSTGRESQL),
}
MODES = (NONE, CAPTURE, FENCED, UNKNOWN)
PHASES = (NONE, FOLLOWING, TAKEN_OVER, GIVEN_BACK, UNKNOWN)
EVERY = list(product(MODES, PHASES, (SQLITE, POSTGRESQL)))
DANGEROUS = (REVERT, FINISH_CROSSING, LIFT_FENCE)


def facts(state: tuple[str, str, str], **more: object) -> Facts:
    sqlite, postgresql, configuration = state
    return replace(Facts(sqlite, postgresql, configuration, head=7, position=7), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", EVERY, ids="-".join)
def test_each_combination_of_facts_has_one_answer_and_what_no_crash_leaves_is_in_doubt(
    state: tuple[str, str, str],
) -> None:
    found = decide(facts(state))
    if state in TABLE:
        assert (found.action, found.live, found.configuration) == TABLE[state]
    else:
        assert found.action == (WAIT if UNKNOWN in state else ASK)
        assert found.live == IN_DOUBT
        assert found.configuration == state[2], "in doubt nothing is changed"


@pytest.mark.parametrize("state", [s for s in EVERY if UNKNOWN not in s and NONE not in s], ids="-".join)
def test_sides_that_do_not_belong_together_are_in_doubt_whatever_else_they_say(state: tuple[str, str, str]) -> None:
    assert decide(facts(state, same=False)).action == ASK


@pytest.mark.parametrize("state", [s for s in EVERY if UNKNOWN not in s and NONE not in s], ids="-".join)
def test_a_log_that_ends_before_the_position_is_in_doubt_whatever_else_is_said(state: tuple[str, str, str]) -> None:
    assert decide(facts(state, head=6)).action == ASK


@pytest.mark.parametrize("state", [s for s, answer in TABLE.items() if answer[0] in (REVERT, LIFT_FENCE)], ids="-".join)
def test_sqlite_is_not_opened_over_changes_that_still_wait_on_postgresql(state: tuple[str, str, str]) -> None:
    assert decide(facts(state, queue_waiting=True)).action == ASK


def test_the_configuration_is_not_renamed_while_postgresql_lacks_changes_of_sqlite() -> None:
    assert decide(facts((FENCED, TAKEN_OVER, SQLITE), head=8)).action == ASK
    assert decide(facts((FENCED, TAKEN_OVER, SQLITE), head=7)).action == FINISH_CROSSING


def test_sqlite_may_have_gone_on_after_a_freeze_that_died() -> None:
    assert decide(facts((CAPTURE, TAKEN_OVER, SQLITE), head=20)).action == REVERT


def test_what_waits_on_postgresql_while_it_is_live_is_nobodys_concern() -> None:
    assert decide(facts((FENCED, TAKEN_OVER, POSTGRESQL), queue_waiting=True)).action == FLOW_BACK


def test_the_sentence_of_doubt_says_what_was_found_and_that_nothing_was_done() -> None:
    said = decide(facts((FENCED, FOLLOWING, SQLITE))).why
    assert "SQLite: fenced" in said and "PostgreSQL: following" in said and "Nothing was done" in said
