"""record() and checkpoint(), on SQLite and on PostgreSQL."""

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import IntegrityError, OperationalError, connections, transaction

from controlplane.audit import trail as trail_module
from controlplane.audit.errors import KeyUnusable, OutsideTransaction, PayloadRefused, UnknownAction
from controlplane.audit.models import AuditCheckpoint, AuditEvent
from controlplane.audit.standalone import GENESIS
from controlplane.audit.trail import Subject, checkpoint, record
from controlplane.audit.verify import own_keys, verify_trail

Write = Callable[..., AuditEvent]


def events(alias: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.using(alias).order_by("sequence"))


def test_first_event_has_sequence_one_and_follows_nothing(write: Write, trail: str) -> None:
    event = write()
    assert (event.sequence, event.previous_hash, event.after_checkpoint) == (1, GENESIS, 0)
    assert verify_trail(keys=own_keys(), using=trail).ok


def test_event_comes_back_as_it_was_recorded(write: Write, trail: str) -> None:
    moment = datetime(2026, 3, 1, 12, 30, 15, 7, tzinfo=UTC)
    payload = {"text": "有給\x00\ud800", "float": 1e22, "one": 1.0, "big": 2**80, "list": [None, True], "when": moment}
    write(
        "plan.submitted",
        actor=User(username="ana"),
        role="lead",
        obj=Subject("migrations_app.run", "14", "run #14"),
        application="yukyu",
        payload=payload,
        at=moment,
    )
    event = AuditEvent.objects.using(trail).get(sequence=1)
    assert (event.at, event.actor, event.role, event.action) == (moment, "ana", "lead", "plan.submitted")
    assert (event.object_type, event.object_id, event.object) == ("migrations_app.run", "14", "run #14")
    assert event.application == "yukyu"
    assert event.payload == {**payload, "when": "2026-03-01T12:30:15.000007+00:00"}
    assert verify_trail(keys=own_keys(), using=trail).ok


def test_each_event_follows_the_one_before_it(write: Write, trail: str) -> None:
    for number in range(5):
        write(payload={"number": number})
    rows = events(trail)
    assert [row.sequence for row in rows] == [1, 2, 3, 4, 5]
    assert [row.previous_hash for row in rows[1:]] == [row.hash for row in rows[:-1]]


def test_model_instance_is_kept_as_text(write: Write) -> None:
    event = write(obj=User(pk=7, username="ana"), actor=AnonymousUser())
    assert (event.object_type, event.object_id, event.object) == ("auth.user", "7", "ana")
    assert event.actor == "anonymous"


def test_names_lose_credentials_and_what_a_database_cannot_hold(write: Write) -> None:
    event = write(obj="copy to postgres://u:hunter2@h/d\x00\ud800" + "x" * 400)
    assert "hunter2" not in event.object
    assert event.object.startswith("copy to postgres://u:***@h/d\\0\\ud800")
    assert len(event.object) == 300


def test_record_outside_a_transaction_is_refused(trail: str, audit_key: Path) -> None:
    with pytest.raises(OutsideTransaction):
        record(action="run.created", actor="system", using=trail)
    assert events(trail) == []


@pytest.mark.django_db
def test_transaction_of_the_test_case_does_not_count(audit_key: Path) -> None:
    with pytest.raises(OutsideTransaction):
        record(action="run.created", actor="system")
    with transaction.atomic():
        assert record(action="run.created", actor="system").sequence == 1


def test_rollback_leaves_no_event_and_no_gap(write: Write, trail: str) -> None:
    write()
    with pytest.raises(RuntimeError), transaction.atomic(using=trail):
        record(action="run.started", actor="system", checkpoint=True, using=trail)
        raise RuntimeError("the change failed")
    assert write("run.held").sequence == 2
    assert AuditCheckpoint.objects.using(trail).count() == 0
    assert verify_trail(keys=own_keys(), using=trail).ok


def test_rollback_to_a_savepoint_leaves_no_gap(trail: str, audit_key: Path) -> None:
    with transaction.atomic(using=trail):
        with pytest.raises(RuntimeError), transaction.atomic(using=trail):
            record(action="run.started", actor="system", using=trail)
            raise RuntimeError
        record(action="run.failed", actor="system", using=trail)
    assert [row.action for row in events(trail)] == ["run.failed"]


def test_unknown_action_is_refused(trail: str) -> None:
    with transaction.atomic(using=trail), pytest.raises(UnknownAction, match="crated"):
        record(action="run.crated", actor="system", using=trail)


@pytest.mark.parametrize(
    "arguments",
    [{"actor": " "}, {"at": datetime(2026, 1, 1)}, {"payload": {"x": object()}}, {"payload": {"x": "y" * 70_000}}],
)
def test_incomplete_or_unfit_call_is_refused(trail: str, arguments: dict[str, Any]) -> None:
    with transaction.atomic(using=trail), pytest.raises(PayloadRefused):
        record(**{"action": "run.created", "actor": "system", "using": trail, **arguments})


def test_gate_decision_is_signed_at_once(write: Write, trail: str) -> None:
    write()
    event = write("gate.passed", checkpoint=True)
    row = AuditCheckpoint.objects.using(trail).get()
    assert (row.number, row.sequence, row.hash, row.reason) == (1, 2, event.hash, "gate")
    assert write().after_checkpoint == 1
    assert verify_trail(keys=own_keys(), using=trail).chain.signed_through == 2


def test_hundredth_event_since_the_last_checkpoint_is_signed(write: Write, trail: str) -> None:
    for _ in range(10):
        write()
    write("gate.signed", checkpoint=True)
    with transaction.atomic(using=trail):
        for _ in range(205):
            record(action="step.started", actor="system", using=trail)
    signed = list(AuditCheckpoint.objects.using(trail).order_by("number").values_list("sequence", "reason"))
    assert signed == [(11, "gate"), (111, "count"), (211, "count")]
    assert verify_trail(keys=own_keys(), using=trail).ok


def test_checkpoint_of_a_signed_head_is_the_one_that_is_there(write: Write, trail: str) -> None:
    assert checkpoint(using=trail) is None
    write()
    first = checkpoint("hourly", using=trail)
    assert first is not None
    assert checkpoint("hourly", using=trail) == first


def test_missing_key_stops_a_gate_but_no_other_event(
    write: Write, trail: str, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PRODUCTION = True
    settings.CAUSEWAY_AUDIT_KEY_FILE = str(tmp_path / "no-such-key.pem")
    with transaction.atomic(using=trail):
        for _ in range(101):
            record(action="step.started", actor="system", using=trail)
    assert "unsigned since event 1" in caplog.text
    with pytest.raises(KeyUnusable, match="no-such-key"):
        write("gate.passed", checkpoint=True)
    assert len(events(trail)) == 101
    settings.PRODUCTION = False
    assert not verify_trail(keys=own_keys(), using=trail).ok, "101 events without a signature"
    write()
    assert AuditCheckpoint.objects.using(trail).get().reason == "count"
    assert verify_trail(keys=own_keys(), using=trail).ok


def _record_many(alias: str, thread: int, failures: list[Exception]) -> None:
    try:
        for number in range(25):
            with transaction.atomic(using=alias):
                AuditCheckpoint.objects.using(alias).count()  # the transaction reads before it records
                record(action="step.started", actor=f"thread {thread}", payload={"number": number}, using=alias)
    except (IntegrityError, OperationalError) as error:
        failures.append(error)
    finally:
        connections[alias].close()


def _race(alias: str) -> list[Exception]:
    failures: list[Exception] = []
    threads = [threading.Thread(target=_record_many, args=(alias, number, failures)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    return failures


def test_eight_writers_at_once_make_one_dense_chain(write: Write, trail: str) -> None:
    assert _race(trail) == []
    rows = events(trail)
    assert [row.sequence for row in rows] == list(range(1, 201))
    for thread in range(8):
        mine = [row.payload["number"] for row in rows if row.actor == f"thread {thread}"]
        assert mine == list(range(25))
    assert verify_trail(keys=own_keys(), using=trail).ok


def test_writers_collide_without_the_lock(write: Write, trail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # With IMMEDIATE, SQLite would serialise them without our lock.
    if connections[trail].vendor == "sqlite":
        connections.settings[trail]["OPTIONS"]["transaction_mode"] = "DEFERRED"
        connections[trail].close()
        with transaction.atomic(using=trail):
            record(action="run.created", actor="system", using=trail)
    original = trail_module.AuditEvent.save
    meet = threading.Barrier(2)

    def save_together(self: AuditEvent, **arguments: Any) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            meet.wait(5)
        original(self, **arguments)

    monkeypatch.setattr(trail_module, "_lock", lambda connection: None)
    monkeypatch.setattr(trail_module.AuditEvent, "save", save_together)
    failures: list[Exception] = []
    threads = [threading.Thread(target=_record_one, args=(trail, failures)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(failures) == 1


def _record_one(alias: str, failures: list[Exception]) -> None:
    try:
        with transaction.atomic(using=alias):
            record(action="step.started", actor="thread", using=alias)
    except (IntegrityError, OperationalError) as error:
        failures.append(error)
    finally:
        connections[alias].close()
