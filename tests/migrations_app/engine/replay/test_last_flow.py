"""The last flow of a fall-back, under PostgreSQL's locks, keeps nobody waiting for longer than was said."""

from __future__ import annotations

import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, Failed
from migrations_app.engine.online.fall_back import fall_back
from tests.migrations_app.engine.replay.returning import Cross, Crossed, flow

MANY = "INSERT INTO item SELECT i, repeat('x', 100) FROM generate_series(2, 60000) i"


@pytest.fixture
def crossed(cross: Cross) -> Crossed:
    return cross("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO item VALUES (1, 'a')")


def _back(crossed: Crossed, control: Control, *, stop: bool) -> None:
    def milestone(name: str) -> None:
        if name == "flowed":
            crossed.look.run(MANY)
        if name == "locked" and stop:
            control.stop.set()

    fall_back(
        crossed.pair,
        crossed.forms,
        busy_timeout_ms=250,
        signal_stop=lambda: pytest.fail("the application was told to stop"),
        milestone=milestone,
        control=control,
    )


def test_one_that_takes_too_long_is_given_up_and_postgresql_goes_on(crossed: Crossed) -> None:
    with pytest.raises(Failed) as given_up:
        _back(crossed, Control(), stop=False)
    assert given_up.value.code == "FALL_BACK_GAVE_UP"
    crossed.look.run("UPDATE item SET name = 'still open' WHERE id = 1")
    assert flow(crossed.pair, crossed.forms).rows == 60_000
    assert crossed.file("SELECT count(*) FROM item") == [(60_000,)]


def test_one_that_is_stopped_says_that_it_was(crossed: Crossed) -> None:
    with pytest.raises(Cancelled):
        _back(crossed, Control(), stop=True)
    crossed.look.run("UPDATE item SET name = 'still open' WHERE id = 1")
