"""VACUUM ANALYZE as somebody asks for it: done on a real server, audited, never twice at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from unittest.mock import patch

import psycopg2
import pytest
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.refusals import Forbidden, ServiceRefused
from monitoring_app.models import Maintenance, MaintenanceState, Marker, Silence, Target
from monitoring_app.services.maintenance import newest, ring_again, start_vacuum, work_on_vacuum
from tests import factories as make
from tests.monitoring_app.probes.measuring import execute

pytestmark = pytest.mark.django_db


@pytest.fixture
def target(target_url: str) -> Target:
    return Target.objects.create(application=make.application(target_url=target_url))


@pytest.fixture
def people(target: Target) -> make.People:
    return make.people(target.application)


@pytest.fixture(autouse=True)
def bells() -> Iterator[list[tuple[str, int, str]]]:
    rung: list[tuple[str, int, str]] = []
    with (
        patch("controlplane.doorbell.ring", lambda *ring: rung.append(ring)),
        patch("controlplane.doorbell.send_all", rung.extend),
    ):
        yield rung


def tables(url: str, *names: str) -> None:
    for name in names:
        execute(url, f"CREATE TABLE {name} (n int)", f"INSERT INTO {name} SELECT generate_series(1, 100)")


def analysed(url: str) -> set[str]:
    return {row[0] for row in execute(url, "SELECT relname FROM pg_stat_user_tables WHERE last_analyze IS NOT NULL")}


def test_all_tables_are_vacuumed_and_analysed_and_the_trail_says_who_asked(
    target: Target, people: make.People, target_url: str, bells: list[tuple[str, int, str]]
) -> None:
    tables(target_url, "one", "two")
    row = start_vacuum(target=target, actor=people.ops)
    assert bells == [("monitoring_app.vacuum", row.pk, "common")]
    assert work_on_vacuum(maintenance_id=row.pk)
    row.refresh_from_db()
    assert (row.state, row.tables, row.done, row.skipped, row.problem) == ("done", 2, 2, [], "")
    assert analysed(target_url) == {"one", "two"}
    events = AuditEvent.objects.filter(action__startswith="maintenance.").order_by("sequence")
    assert [(event.action, event.actor) for event in events] == [
        ("maintenance.asked", "ana"),
        ("maintenance.ended", "system"),
    ]
    assert "ana" in Marker.objects.get().text
    assert not work_on_vacuum(maintenance_id=row.pk)  # the bell rang twice


def test_locked_table_is_left_out_and_said_and_the_others_are_done(
    target: Target, people: make.People, target_url: str
) -> None:
    tables(target_url, "one", "two")
    row = start_vacuum(target=target, actor=people.lead)
    with closing(psycopg2.connect(target_url)) as other:
        other.cursor().execute("LOCK TABLE one IN ACCESS EXCLUSIVE MODE")
        work_on_vacuum(maintenance_id=row.pk)
    row.refresh_from_db()
    assert (row.state, row.skipped) == ("done", [{"table": "one", "why": "locked by another session"}])
    assert analysed(target_url) == {"two"}


def test_those_who_may_not_change_may_not_start_it(target: Target, people: make.People) -> None:
    for person in (people.viewer, people.qa, people.boss, people.stranger):
        with pytest.raises(Forbidden):
            start_vacuum(target=target, actor=person)
    assert not Maintenance.objects.exists()


def test_second_wish_waits_for_the_first_and_a_run_for_none(
    target: Target, people: make.People, bells: list[tuple[str, int, str]]
) -> None:
    row = start_vacuum(target=target, actor=people.ops)
    assert start_vacuum(target=target, actor=people.lead) == row and len(bells) == 2  # no worker came: rung again
    now = timezone.now()
    Maintenance.objects.update(state=MaintenanceState.RUNNING, claimed_until=now + timedelta(minutes=5))
    with pytest.raises(ServiceRefused) as refused:
        start_vacuum(target=target, actor=people.lead)
    assert refused.value.code == "MAINTENANCE_RUNNING" and "ana" in refused.value.message
    later = now + timedelta(minutes=6)  # its worker is gone
    lapsed = newest(target, later)
    assert lapsed is not None and lapsed.state == MaintenanceState.FAILED and "gone" in lapsed.problem
    assert start_vacuum(target=target, actor=people.lead, now=later) != row
    row.refresh_from_db()
    assert row.state == MaintenanceState.FAILED
    Maintenance.objects.all().delete()
    Silence.objects.create(
        application=target.application,
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        reason="run 14",
        about="run:14",
        by="system",
    )
    with pytest.raises(ServiceRefused) as refused:
        start_vacuum(target=target, actor=people.ops)
    assert refused.value.code == "MAINTENANCE_DURING_RUN" and "Run 14" in refused.value.message


def test_bell_that_nobody_heard_is_rung_again_until_a_worker_comes(
    target: Target, people: make.People, bells: list[tuple[str, int, str]]
) -> None:
    row = start_vacuum(target=target, actor=people.ops)
    assert ring_again(now=row.asked_at + timedelta(seconds=5)) == 0
    assert ring_again(now=row.asked_at + timedelta(seconds=30)) == 1
    assert bells == [("monitoring_app.vacuum", row.pk, "common")] * 2
    work_on_vacuum(maintenance_id=row.pk)
    assert ring_again(now=row.asked_at + timedelta(seconds=60)) == 0


def test_server_that_is_away_fails_it_with_a_reason_and_without_a_secret(people: make.People, target: Target) -> None:
    row = start_vacuum(target=target, actor=people.ops)
    target.application.target_url = "postgresql://shop:word-not-to-be-seen@127.0.0.1:1/shop"
    target.application.save()
    work_on_vacuum(maintenance_id=row.pk)
    row.refresh_from_db()
    assert (row.state, row.problem) == ("failed", "PostgreSQL can't be reached")
    assert AuditEvent.objects.get(action="maintenance.ended").payload["state"] == "failed"


def test_worker_that_was_given_up_stops_and_writes_nothing(
    target: Target, people: make.People, target_url: str
) -> None:
    tables(target_url, "one", "two")
    row = start_vacuum(target=target, actor=people.ops)

    def given_up(*args: object, **options: object) -> object:
        Maintenance.objects.update(state=MaintenanceState.FAILED, problem="given up")
        return timezone.now()

    assert not work_on_vacuum(maintenance_id=row.pk, clock=iter_clock(given_up))
    row.refresh_from_db()
    assert (row.state, row.problem) == ("failed", "given up")
    assert not AuditEvent.objects.filter(action="maintenance.ended").exists()


def iter_clock(second: object) -> object:
    """A clock whose second reading is when somebody else acts."""
    calls = iter([timezone.now])

    def clock() -> object:
        return next(calls, second)()  # type: ignore[operator]

    return clock
