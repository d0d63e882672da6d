"""The daily verification: once a day, what it saw and what it could not, signed in the trail and mailed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from controlplane import doorbell
from controlplane.audit.models import AuditEvent
from controlplane.mail.models import OutgoingMail
from controlplane.registry.models import Role
from monitoring_app.models import Alert, Round, Series, Target, Verification
from monitoring_app.probes.measurement import Measurement
from monitoring_app.services import daily, loop, markers, samples, targets
from monitoring_app.services.daily_checks import Check, outcome_of
from tests import factories as make

DAY = date(2026, 11, 23)


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, 23, hour, minute, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    place = tmp_path / "srv"
    place.mkdir()
    operator = tmp_path / "operator.toml"
    operator.write_text(f'[roots]\nfiles = ["{place}"]\nhosts = []\n')
    operator.chmod(0o600)
    settings.CAUSEWAY_OPERATOR_FILE = str(operator)
    return place


@pytest.fixture
def target(transactional_db: None, target_url: str, folder: Path, settings: Any) -> Target:
    """On PostgreSQL since an hour before noon, with the file that was left; the day is 23 November, in UTC."""
    settings.TIME_ZONE = "UTC"
    settings.CAUSEWAY_DAILY_HOUR = 6
    with closing(sqlite3.connect(folder / "yukyu.db")) as left:
        left.execute("CREATE TABLE employees (id INTEGER PRIMARY KEY)")
        left.execute('CREATE TABLE "odd "" name" (id INTEGER)')
        left.executemany("INSERT INTO employees VALUES (?)", [(n,) for n in range(5)])
        left.commit()
    with closing(psycopg2.connect(target_url)) as moved, moved, moved.cursor() as cursor:
        cursor.execute('CREATE TABLE employees (id int); CREATE TABLE "odd "" name" (id int)')
        cursor.execute("INSERT INTO employees SELECT generate_series(1, 6)")
    written = at(10).timestamp()
    os.utime(folder / "yukyu.db", (written, written))
    made = targets.watch(application=make.application(target_url=target_url), actor="system")
    markers.mark(application=made.application, kind="cut_over", at=at(11), text="Run 1")
    Target.objects.filter(pk=made.pk).update(
        created_at=at(12) - timedelta(minutes=1), frozen_copy=str(folder / "yukyu.db")
    )
    made.refresh_from_db()
    return made


def measured(target: Target, now: datetime, *more: Measurement) -> None:
    values = {"postgresql_up": 1.0, "database_size": 5e6, "sequences_behind": 0.0}
    for one in more:
        values.pop(one.metric, None)
    found = [Measurement(name, value) for name, value in values.items()] + list(more)
    for seconds in range(0, 60, 15):
        samples.store(target=target, measurements=found, now=now - timedelta(seconds=seconds + 1))
    Round.objects.update_or_create(target=target, part=loop.HOST, defaults={"ended_at": now})


def verified(target: Target) -> dict[str, Any]:
    made = daily.verify(target_id=target.pk, on_host=True, clock=lambda: at(12))
    assert made is not None
    return {check["code"]: check for check in made.checks} | {"all": made}


def test_a_good_day_is_fine_signed_in_the_trail_and_mailed(target: Target) -> None:
    person = make.user("ana", email="ana@example.org")
    make.member(target.application, person, Role.OPS)
    measured(target, at(12), Measurement("error_rate", 0.1, {"source": "access log"}, count=1000))
    found = verified(target)
    made = found["all"]
    assert (made.day, made.outcome) == (DAY, "fine"), made.checks
    assert "0.10 %" in found["errors"]["said"]
    assert "5 " not in found["rows"]["said"] and "1 have more" in found["rows"]["said"]
    assert (found["backups"]["outcome"], found["backups"]["counted"]) == ("unknown", False)
    event = AuditEvent.objects.get(action="verification.recorded")
    assert event.payload["digest"] == made.digest == daily.digest_of("yukyu", DAY, "fine", made.checks)
    assert OutgoingMail.objects.filter(kind="digest", to_address="ana@example.org").count() == 1


def test_a_day_is_verified_once_however_often_it_is_woken(target: Target) -> None:
    measured(target, at(12))
    verified(target)
    assert daily.verify(target_id=target.pk, on_host=True, clock=lambda: at(13)) is None
    assert Verification.objects.count() == 1


def test_before_the_hour_nothing_is_due_and_after_a_pause_it_is_made_late(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[Any] = []
    monkeypatch.setattr(doorbell, "send_all", lambda rings, **more: rung.extend(rings))
    assert daily.verify_due(now=at(5, 59)) == 0 and rung == []
    Round.objects.create(target=target, part=loop.HOST, ended_at=at(22))
    assert daily.verify_due(now=at(22)) == 1
    assert rung == [("monitoring_app.verify_target", target.pk, "host.apphost")]
    assert not Verification.objects.exists()  # the host answers, so it does it


def test_a_host_that_does_not_answer_gets_its_verification_without_its_files(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "send_all", lambda rings, **more: None)
    assert daily.verify_due(now=at(6, 20)) == 1 and not Verification.objects.exists()  # it may still answer
    daily.verify_due(now=at(12, 30))
    rows = next(check for check in Verification.objects.get().checks if check["code"] == "rows")
    assert rows["outcome"] == "unknown" and "did not answer" in rows["said"] and rows["counted"]


def test_values_that_are_missing_are_unknown_and_the_day_is_not_fine(target: Target) -> None:
    measured(target, at(12), Measurement.unknown("sequences_behind", "the role may not read it"))
    found = verified(target)
    assert found["sequences"]["outcome"] == "unknown" and "may not read" in found["sequences"]["said"]
    assert found["all"].outcome == "unknown"


def test_a_value_of_yesterday_is_not_taken_for_todays(target: Target) -> None:
    measured(target, at(12) - timedelta(hours=3))
    found = verified(target)
    assert found["health"]["outcome"] == found["size"]["outcome"] == "unknown"
    assert found["watched"]["outcome"] == "warning" or found["all"].outcome == "unknown"


def test_a_sequence_behind_and_a_critical_alert_are_critical(target: Target) -> None:
    measured(target, at(12), Measurement("sequences_behind", 2.0))
    series = Series.objects.get(metric="sequences_behind")
    rule = target.rules.filter(severity="critical").first()
    assert rule is not None
    Alert.objects.create(rule=rule, series=series, state="firing", began_at=at(11), threshold=0)
    found = verified(target)
    assert found["sequences"]["outcome"] == found["health"]["outcome"] == found["all"].outcome == "critical"


@pytest.mark.parametrize(("rate", "outcome"), [(0.2, "fine"), (0.6, "warning"), (1.2, "critical")])
def test_failed_requests_are_judged_by_the_runbooks_limit(target: Target, rate: float, outcome: str) -> None:
    measured(target, at(12), Measurement("error_rate", rate, {"source": "Prometheus"}, count=500))
    assert verified(target)["errors"]["outcome"] == outcome


@pytest.fixture
def rows(target: Target, target_url: str, folder: Path) -> Iterator[Any]:
    measured(target, at(12))
    with closing(psycopg2.connect(target_url)) as moved:
        moved.autocommit = True
        yield moved.cursor()


@pytest.mark.parametrize(
    ("statement", "outcome", "said"),
    [
        ("DELETE FROM employees WHERE id > 3", "warning", "employees had 5, has 3"),
        ("TRUNCATE employees", "critical", "empty or gone: employees"),
        ("DROP TABLE employees", "critical", "empty or gone: employees"),
        ("ALTER TABLE employees OWNER TO CURRENT_USER", "fine", "none has fewer"),
    ],
)
def test_rows_that_the_cut_over_brought_are_still_there_or_it_is_said(
    target: Target, rows: Any, statement: str, outcome: str, said: str
) -> None:
    rows.execute(statement)
    found = verified(target)["rows"]
    assert (found["outcome"], said in found["said"]) == (outcome, True), found


def test_a_file_that_is_written_after_the_cut_over_is_critical(target: Target, rows: Any, folder: Path) -> None:
    os.utime(folder / "yukyu.db", (at(11, 30).timestamp(), at(11, 30).timestamp()))
    found = verified(target)["rows"]
    assert found["outcome"] == "critical" and "still writes to SQLite" in found["said"]


def test_the_frozen_file_is_read_without_a_trace(target: Target, rows: Any, folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir()), (folder / "yukyu.db").read_bytes()
    verified(target)
    assert (sorted(path.name for path in folder.iterdir()), (folder / "yukyu.db").read_bytes()) == before


def test_tables_that_a_live_crossing_keeps_in_the_file_are_none_of_the_applications(
    target: Target, rows: Any, folder: Path
) -> None:
    file = folder / "yukyu.db"
    times = file.stat().st_atime, file.stat().st_mtime
    with closing(sqlite3.connect(file)) as left:
        left.execute("CREATE TABLE causeway_changes (position INTEGER)")
        left.execute("INSERT INTO causeway_changes VALUES (1)")
        left.commit()
    os.utime(file, times)
    found = verified(target)["rows"]
    assert found["outcome"] == "fine" and "2 tables" in found["said"], found


@pytest.mark.parametrize("change", [{"frozen_copy": ""}, {"frozen_copy": "/etc/passwd"}])
def test_without_a_file_that_may_be_read_the_counts_are_unknown_and_say_why(
    target: Target, rows: Any, change: dict[str, str]
) -> None:
    Target.objects.filter(pk=target.pk).update(**change)
    found = verified(target)
    assert found["rows"]["outcome"] == "unknown" and found["rows"]["said"]
    assert found["all"].outcome == "fine"


def test_a_verification_that_breaks_is_tried_again(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*unheard: object, **more: object) -> None:
        raise RuntimeError("a bug")

    measured(target, at(12))
    monkeypatch.setattr(daily, "look", broken)
    assert daily.verify(target_id=target.pk, on_host=True, clock=lambda: at(12)) is None
    monkeypatch.undo()
    assert daily.verify(target_id=target.pk, on_host=True, clock=lambda: at(12, 10)) is not None


def test_the_day_is_as_bad_as_its_worst_check_that_counts() -> None:
    def check(outcome: str, counted: bool = True) -> Check:
        return Check("x", "X", outcome, "", counted=counted)

    assert outcome_of([check("fine"), check("unknown", counted=False)]) == "fine"
    assert outcome_of([check("warning"), check("fine")]) == "warning"
    assert outcome_of([check("warning"), check("unknown")]) == "unknown"
    assert outcome_of([check("unknown"), check("critical")]) == "critical"
