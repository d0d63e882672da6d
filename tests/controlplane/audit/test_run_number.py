"""The events of a run are found by what their payload says, through an index, on both databases."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connections

from controlplane.audit import guards
from controlplane.audit.models import AuditEvent

Write = Callable[..., AuditEvent]


def _of_run(trail: str, number: int) -> list[int]:
    return [event.sequence for event in AuditEvent.objects.using(trail).of_run(number).before(None, 50)]


def test_a_runs_events_are_found_and_no_neighbours(trail: str, write: Write) -> None:
    write(payload={"run": 2, "reason": "first"})
    write(payload={"run": 20})
    write(payload={"reason": "no run"})
    write(payload={"at": "begin", "run": 2})
    assert _of_run(trail, 2) == [4, 1]
    assert _of_run(trail, 20) == [2]
    assert _of_run(trail, 3) == []


@pytest.mark.parametrize("typed", ['"run":2,', '{"run":2}', ',"run":2}', '\\"run\\":2,', "\x00", '\x00","run":2,"'])
def test_what_a_person_typed_is_no_run(trail: str, write: Write, typed: str) -> None:
    write(payload={"run": 7, "reason": typed})
    assert _of_run(trail, 2) == []
    assert _of_run(trail, 7) == [1]


def test_a_number_beyond_any_run_is_not_found_and_does_not_fail(trail: str, write: Write) -> None:
    write(payload={"run": 10**30})
    assert _of_run(trail, 1) == []


def test_a_payload_that_someone_damaged_does_not_break_the_list(trail: str, write: Write) -> None:
    write(payload={"run": 2})
    write(payload={"run": 2})
    connection = connections[trail]
    guards.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE audit_auditevent SET payload = 'not json' WHERE sequence = 1")
    guards.install(connection)
    assert _of_run(trail, 2) == [2]


def test_the_index_is_what_finds_them(trail: str, write: Write) -> None:
    for number in range(300):
        write(payload={"run": number})
    connection = connections[trail]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE audit_auditevent")
    plan = AuditEvent.objects.using(trail).of_run(250).before(None, 50).explain()
    assert "audit_event_run" in plan


def test_the_guards_stand_after_the_index_was_made(trail: str) -> None:
    assert guards.missing(connections[trail]) == []
