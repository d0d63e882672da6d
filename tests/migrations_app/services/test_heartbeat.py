"""The heartbeat: whoever can't prove that the lease is held must stop; a short outage is survived."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import OperationalError

from migrations_app.engine.control import Control
from migrations_app.services.heartbeat import Heartbeat

pytestmark = pytest.mark.django_db


def gone() -> str:
    raise OperationalError("could not connect to postgresql://causeway:word-not-to-be-seen@db/causeway")


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.CAUSEWAY_HEARTBEAT_SECONDS = 0.05
    settings.CAUSEWAY_LEASE_SECONDS = 0.5


def test_work_stops_when_the_lease_could_not_be_renewed_for_as_long_as_it_lasts() -> None:
    control = Control()
    with Heartbeat(control, gone):
        assert control.stop.wait(20)
    assert "control database was out of reach" in control.stop_reason
    assert "word-not-to-be-seen" not in control.stop_reason


def test_work_goes_on_through_an_outage_that_ends_in_time(settings: Any) -> None:
    settings.CAUSEWAY_LEASE_SECONDS = 60
    control = Control()
    beats = iter([gone, gone, gone])
    renewed = threading.Event()

    def renew() -> str:
        next(beats, lambda: (renewed.set(), "")[1])()
        return ""

    with Heartbeat(control, renew):
        assert renewed.wait(20)
    assert not control.stop.is_set()


def test_work_stops_with_the_reason_of_whoever_took_it_over() -> None:
    control = Control()
    with Heartbeat(control, lambda: "Another worker has taken this step over."):
        assert control.stop.wait(20)
    assert control.stop_reason == "Another worker has taken this step over."


def test_nothing_beats_after_the_work_ended() -> None:
    heartbeat = Heartbeat(Control(), lambda: "")
    with heartbeat:
        pass
    assert not heartbeat._thread.is_alive()
