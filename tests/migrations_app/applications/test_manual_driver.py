"""A person stops and starts; what counts is what kernel, file and application say."""

import sys
from dataclasses import replace

import pytest

from migrations_app.applications.description import PointingValues
from migrations_app.applications.drivers.choosing import make_driver
from migrations_app.applications.drivers.interface import Driver, PersonNeeded
from migrations_app.applications.drivers.specs import ByPerson
from migrations_app.engine.errors import Refused
from tests.migrations_app.applications.conftest import TINY, Tiny, until


@pytest.fixture
def by_hand(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Driver:
    monkeypatch.setenv("TINY_SQLITE", str(tiny.sqlite))
    return make_driver(
        replace(tiny.describe(), driver=ByPerson("Ask the night shift, phone 4711.")), tiny.folder / "state"
    )


def start_by_hand(tiny: Tiny, *, worker: bool = True) -> list[object]:
    roles = [("web", str(tiny.port))] + ([("worker",)] if worker else [])
    return [tiny.by_hand(sys.executable, str(TINY), *arguments) for arguments in roles]


def test_the_stop_is_asked_for_until_the_kernel_confirms_it(tiny: Tiny, by_hand: Driver) -> None:
    web, worker = start_by_hand(tiny)
    until(lambda: tiny.port in by_hand.status().open_ports)
    with pytest.raises(PersonNeeded) as asked:
        by_hand.stop()
    assert asked.value.message.startswith("Stop web, worker of tiny now.")
    assert f"port {tiny.port} still answers" in asked.value.message and "phone 4711" in asked.value.hint
    web.terminate()
    web.wait(5)
    with pytest.raises(PersonNeeded) as asked:  # the person says that it is done; the worker was forgotten
        by_hand.stop()
    assert "tiny_app.py worker" in asked.value.message and "port" not in asked.value.message
    worker.terminate()
    worker.wait(5)
    by_hand.stop()
    assert by_hand.prove_stopped().stopped


def test_the_start_is_asked_for_until_the_application_answers(tiny: Tiny, by_hand: Driver) -> None:
    for _ in range(2):
        with pytest.raises(PersonNeeded) as asked:
            by_hand.start("sqlite")
        assert f"nothing listens on port {tiny.port} yet" in asked.value.message
    start_by_hand(tiny)
    until(lambda: tiny.port in by_hand.status().open_ports)
    reality = by_hand.start("sqlite")
    assert reality.state == "running" and reality.launched_for == "sqlite"


def test_an_application_that_was_never_stopped_is_not_taken_for_a_start(tiny: Tiny, by_hand: Driver) -> None:
    start_by_hand(tiny, worker=False)
    until(lambda: tiny.port in by_hand.status().open_ports)
    with pytest.raises(Refused) as error:
        by_hand.start("sqlite")
    assert error.value.code == "ALREADY_RUNNING"


def test_an_application_that_names_the_other_database_is_not_accepted(
    tiny: Tiny, by_hand: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = PointingValues(tiny.sqlite, "127.0.0.1", 5432, "tiny", "word", "tiny")
    by_hand.point("postgresql", values)
    with pytest.raises(PersonNeeded):
        by_hand.start("postgresql")
    monkeypatch.setenv("TINY_FAULT", "stays_on_sqlite")
    start_by_hand(tiny, worker=False)
    until(lambda: tiny.port in by_hand.status().open_ports)
    with pytest.raises(PersonNeeded) as asked:
        by_hand.start("postgresql")
    assert "says that it uses sqlite, not postgresql" in asked.value.message


def test_the_online_way_is_closed_to_it_with_the_reason(by_hand: Driver) -> None:
    assert "writes would fail" in by_hand.online_problem
