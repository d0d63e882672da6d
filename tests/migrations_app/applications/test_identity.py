"""An application that lies about its database, or says nothing, is caught; an honest one is proved."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest

from migrations_app.applications import configuration
from migrations_app.applications.canary import same_value
from migrations_app.applications.connections import Connections, Target
from migrations_app.applications.description import Canary, Identity, PointingValues
from migrations_app.applications.identity import IdentityProof, prove_identity
from migrations_app.engine.errors import Refused
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.target.target_url import parse_target_url
from tests.migrations_app.applications.conftest import Tiny, until
from tests.migrations_app.applications.test_rollback_script import make_tables

CANARY = Canary("/items", "items", "id", "id", {"id": "id", "name": "name"})
Prove = Callable[..., IdentityProof]


@pytest.fixture
def prove(tiny: Tiny, target_url: str) -> Prove:
    """Switch, start with a fault, and prove."""
    make_tables(target_url)
    url = parse_target_url(target_url)

    def run(dialect: str = "postgresql", *, disturb: Callable[[], object] = lambda: None, **more) -> IdentityProof:
        more.setdefault("identity", Identity(process="web", watch_seconds=0.6, canary=CANARY))
        description = tiny.describe(**more)
        values = PointingValues.of(url, tiny.sqlite)
        driver = tiny.driver(description)
        baseline = fingerprint(tiny.sqlite)
        configuration.switch(description.pointing, dialect, values)
        driver.start(dialect, values)
        disturb()
        return prove_identity(description, dialect, url, state_dir=driver.state_dir, baseline=baseline)

    return run


def outcomes(proof: IdentityProof) -> dict[str, str]:
    return {item.name: item.outcome for item in proof.proofs}


@pytest.mark.parametrize("mechanism", ["file", "environment"])
def test_an_honest_application_is_proved_by_all_four(prove: Prove, mechanism: str) -> None:
    proof = prove(mechanism=mechanism, writes=True)
    assert outcomes(proof) == dict.fromkeys(("own_word", "connections", "canary", "sqlite_still"), "passed")
    assert proof.proved and "as backends" in next(item.reason for item in proof.proofs if item.name == "connections")


def test_one_that_says_sqlite_although_it_was_switched_is_caught(prove: Prove) -> None:
    proof = prove(fault="stays")
    assert not proof.proved
    assert outcomes(proof)["own_word"] == outcomes(proof)["connections"] == "failed"
    assert "'sqlite'" in proof.reasons[0]


def test_one_that_says_nothing_and_writes_to_sqlite_is_caught(prove: Prove) -> None:
    proof = prove(fault="stays_silently", writes=True)
    assert outcomes(proof) == {
        "own_word": "inconclusive",
        "connections": "failed",
        "canary": "passed",
        "sqlite_still": "failed",
    }
    assert not proof.proved and any("written to" in reason for reason in proof.reasons)


def test_one_that_says_postgresql_and_stays_on_sqlite_is_caught(prove: Prove) -> None:
    proof = prove(fault="stays_and_lies")
    assert outcomes(proof)["own_word"] == "passed" and outcomes(proof)["canary"] == "passed"
    assert outcomes(proof)["connections"] == outcomes(proof)["sqlite_still"] == "failed"
    assert not proof.proved


def test_a_write_between_stop_and_watch_is_noticed(prove: Prove, tiny: Tiny) -> None:
    def write() -> None:
        with closing(sqlite3.connect(tiny.sqlite)) as connection:
            connection.execute("INSERT INTO items VALUES (99, 'late')")
            connection.commit()

    proof = prove(disturb=write)
    assert outcomes(proof)["sqlite_still"] == "failed" and not proof.proved


def test_a_stranger_that_may_write_the_file_is_named(prove: Prove, tiny: Tiny, python: str) -> None:
    def hold() -> None:
        code = "import sys,time; f=open(sys.argv[1],'r+b'); open('held','w').close(); time.sleep(600)"
        tiny.by_hand(python, "-c", code, str(tiny.sqlite))
        until(lambda: (tiny.folder / "held").exists())

    proof = prove(disturb=hold)
    assert outcomes(proof)["sqlite_still"] == "failed" and "open for writing" in proof.reasons[0]


def test_a_mere_reader_of_the_file_is_no_failure(prove: Prove, tiny: Tiny, python: str) -> None:
    def hold() -> None:
        code = "import sys,time; f=open(sys.argv[1],'rb'); open('held','w').close(); time.sleep(600)"
        tiny.by_hand(python, "-c", code, str(tiny.sqlite))
        until(lambda: (tiny.folder / "held").exists())

    assert prove(disturb=hold).proved


def test_rows_that_differ_are_noticed(prove: Prove, target_url: str) -> None:
    def change() -> None:
        with closing(psycopg2.connect(target_url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("ALTER TABLE items RENAME TO other")
            cursor.execute("CREATE TABLE items AS SELECT id, 'secret ' || name AS name FROM other")

    canary = replace(CANARY, path="/items")
    proof = prove(
        identity=Identity(process="web", watch_seconds=0.2, canary=canary), fault="stays_and_lies", disturb=change
    )
    assert outcomes(proof)["canary"] == "failed"
    reason = next(item.reason for item in proof.proofs if item.name == "canary")
    assert "field name" in reason and "secret" not in reason


def test_an_application_that_is_down_is_not_proved(prove: Prove, tiny: Tiny) -> None:
    proof = prove(disturb=lambda: tiny.drivers[-1].stop())
    assert not proof.proved
    assert outcomes(proof)["own_word"] == outcomes(proof)["connections"] == "failed"


def test_without_any_word_the_connections_prove_it(prove: Prove) -> None:
    proof = prove(identity=Identity(process="web", field="", watch_seconds=0.3))
    assert outcomes(proof) == {
        "own_word": "inconclusive",
        "connections": "passed",
        "canary": "inconclusive",
        "sqlite_still": "passed",
    }
    assert proof.proved


def test_one_that_connects_for_each_request_only_is_proved(prove: Prove) -> None:
    identity = Identity(process="web", watch_seconds=3.0, canary=CANARY)
    assert outcomes(prove(identity=identity, fault="connects_for_each_request"))["connections"] == "passed"


def test_where_sessions_come_and_go_unseen_it_looks_longer(prove: Prove, monkeypatch: pytest.MonkeyPatch) -> None:
    look, begun = Target.connections_of, []

    def late(target: Target, pids: set[int]) -> Connections:
        begun.append(time.monotonic())
        return look(target, pids) if begun[-1] - begun[0] > 0.5 else Connections(new_sessions=1)

    monkeypatch.setattr(Target, "connections_of", late)
    identity = Identity(process="web", watch_seconds=0.3, canary=CANARY)
    assert outcomes(prove(identity=identity))["connections"] == "passed"


def test_back_on_sqlite_the_open_file_proves_it(prove: Prove) -> None:
    proof = prove("sqlite")
    assert proof.proved and outcomes(proof)["sqlite_in_use"] == outcomes(proof)["own_word"] == "passed"


def test_an_unreachable_target_is_a_failed_proof(tiny: Tiny, target_url: str) -> None:
    make_tables(target_url)
    driver = tiny.driver()
    driver.start("sqlite")
    nowhere = parse_target_url("postgresql://nobody:nothing@127.0.0.1:1/none")
    proof = prove_identity(driver.description, "postgresql", nowhere, state_dir=driver.state_dir)
    assert not proof.proved and outcomes(proof)["connections"] == "failed"


def test_an_application_without_an_identity_check_is_refused(tiny: Tiny, target_url: str) -> None:
    description = tiny.describe(identity=None)
    with pytest.raises(Refused) as error:
        prove_identity(description, "postgresql", parse_target_url(target_url), state_dir=tiny.folder / "state")
    assert error.value.code == "NO_IDENTITY"


@pytest.mark.parametrize(
    ("shown", "stored", "same"),
    [
        (1.5, "1.5", True),
        ("1.50", __import__("decimal").Decimal("1.5"), True),
        (None, None, True),
        (None, "", False),
        (True, 1, True),
        (True, 0, False),
        ("x", "y", False),
        ("2025-01-02T03:04:05", __import__("datetime").datetime(2025, 1, 2, 3, 4, 5), True),
    ],
)
def test_values_are_compared_as_json_shows_them(shown: object, stored: object, same: bool) -> None:
    assert same_value(shown, stored) is same
