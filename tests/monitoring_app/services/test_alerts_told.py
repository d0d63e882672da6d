"""From stored measurements to a letter in somebody's postbox: once, in time, and to those whom it concerns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.mail import sending
from controlplane.mail.models import MailPreference, MailState, MailTopic, OutgoingMail
from controlplane.mail.sending import send_due
from controlplane.registry.models import Role
from monitoring_app.models import Alert, AlertEvent, AlertState, Marker, Series, Target
from monitoring_app.probes.measurement import Measurement
from monitoring_app.services import alerts, silences
from monitoring_app.services.evaluation import evaluate
from monitoring_app.services.rules import follow_database
from tests.monitoring_app.arranged import STEP, at, live, measured, on_call, person, recipient, rule, value, watched
from tests.smtp import Postbox, postbox, text_of

ANA = "ana@example.org"


@pytest.fixture
def box(db: None, settings: Any) -> Iterator[Postbox]:
    settings.CAUSEWAY_BASE_URL = "https://causeway.example.org"
    with postbox(settings) as made:
        yield made


@pytest.fixture
def target(db: None) -> Target:
    return watched()


@pytest.fixture
def ana(target: Target) -> User:
    return on_call(target)


def subjects(box: Postbox, address: str = ANA) -> list[str]:
    send_due()
    return [str(letter["Subject"]) for letter in box.to(address)]


FIVE = [
    ("pool", "pool_used", {}, 92.0, 60.0, None, "Connection pool nearly used up"),
    ("query-time", "query_time", {}, 612.0, 40.0, None, "Queries are slow"),
    ("errors", "error_rate", {"source": "access log"}, 7.0, 0.0, 400, "Requests fail (access log)"),
    ("disk", "disk_used", {"volume": "wal"}, 91.0, 40.0, None, "Disk nearly full (wal)"),
    ("replication", "replication_lag", {"replica": "b"}, 140e6, 1e6, None, "A replica lags behind (b)"),
]


@pytest.mark.parametrize(
    ("code", "metric", "labels", "bad", "good", "count", "title"), FIVE, ids=[one[0] for one in FIVE]
)
def test_each_of_the_five_fires_arrives_and_resolves(
    code: str,
    metric: str,
    labels: dict[str, str],
    bad: float,
    good: float,
    count: int | None,
    title: str,
    target: Target,
    ana: User,
    box: Postbox,
) -> None:
    next_round = live(target, metric, [good, *[bad] * 25], labels=labels, count=count)
    word = rule(target, code).severity.upper()
    assert subjects(box) == [f"[{word}] yukyu: {title}"]
    alert = Alert.objects.get()
    assert (alert.state, alert.peak) == (AlertState.FIRING, bad)
    assert at(15) <= alert.began_at <= at(120)  # the rate of errors rises over its window
    live(target, metric, [good] * 30, start=next_round, labels=labels, count=count)
    assert subjects(box)[1:] == [f"[RESOLVED] yukyu: {title}"]
    assert Alert.objects.get().state == AlertState.RESOLVED
    assert [event.what for event in alert.events.all()] == ["began", "fired", "told", "resolved", "told_over"]
    assert [event.action for event in AuditEvent.objects.filter(action__startswith="alert.").order_by("sequence")] == [
        "alert.fired",
        "alert.resolved",
    ]


def test_a_mail_says_what_it_is_since_when_what_changed_and_what_to_do(
    target: Target, ana: User, box: Postbox, settings: Any
) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    person(target, "ben", Role.LEAD)
    Marker.objects.create(application=target.application, at=at(-600), kind="cut_over", text="Switched to PostgreSQL")
    live(target, "pool_used", [92, 97, 92, 90, 84])
    send_due()
    (letter,) = box.to(ANA)
    for kind in ("plain", "html"):
        said = " ".join(text_of(letter, kind).split())
        for words in (
            "84%, over the limit of 80%",
            "84%, worst 97%",
            "80%; it ends at 70% or less",
            "22 Nov 21:00:00 JST (12:00:00 UTC)",
            "Switched to PostgreSQL, 22 Nov 20:50:00 JST",
            "DB_POOL_SIZE",
            "https://causeway.example.org/told/acknowledge/",
            "ben",
        ):
            assert words in said, words


def test_sixty_crossings_in_ten_minutes_send_one_mail(target: Target, ana: User, box: Postbox) -> None:
    rule(target, "pool", for_seconds=5, keep_seconds=60)
    for second in range(0, 600, 5):
        measured(target, second, value("pool_used", 85 if second % 10 == 0 or second < 15 else 60))
        if second % 15 == 0:
            evaluate(now=at(second))
    assert subjects(box) == ["[CRITICAL] yukyu: Connection pool nearly used up"]


def test_a_value_that_was_over_for_a_moment_tells_nobody(target: Target, ana: User, box: Postbox) -> None:
    live(target, "pool_used", [90, 90, 90, 50, 50])
    assert subjects(box) == [] and not Alert.objects.exists()


def test_a_round_that_is_late_skips_nothing(target: Target, ana: User, box: Postbox) -> None:
    for number, used in enumerate([50, *[95] * 8, *[20] * 8]):
        measured(target, number * 15, value("pool_used", used))
    evaluate(now=at(300))
    evaluate(now=at(315))
    assert subjects(box) == ["[RESOLVED] yukyu: Connection pool nearly used up"]
    (letter,) = box.to(ANA)
    assert "while Causeway did not look" in " ".join(text_of(letter).split())
    alert = Alert.objects.get()
    assert (alert.began_at, alert.fired_at, alert.resolved_at) == (at(15), at(75), at(195))


def test_no_data_is_an_alert_of_its_own(target: Target, ana: User, box: Postbox) -> None:
    next_round = live(target, "replication_lag", [1e6] * 2, labels={"replica": "b"})
    next_round = live(target, "replication_lag", [None] * 15, start=next_round, labels={"replica": "b"})
    assert subjects(box) == ["[CRITICAL] yukyu: No data: Replication lag, b"]
    live(target, "replication_lag", [1e6] * 6, start=next_round, labels={"replica": "b"})
    assert len(subjects(box)) == 2


def test_a_replica_that_never_was_seen_is_no_data_too(target: Target, ana: User, box: Postbox) -> None:
    live(target, "replication_lag", [None] * 15, labels={"replica": "b"})
    assert subjects(box) == ["[CRITICAL] yukyu: No data: Replication lag, b"]


def test_that_the_monitor_itself_was_down_is_not_told_of_what_it_watches(
    target: Target, ana: User, box: Postbox
) -> None:
    from monitoring_app.models import Round

    live(target, "replication_lag", [1e6] * 2, labels={"replica": "b"})
    Round.objects.create(target=None, part="evaluate", ended_at=at(15))
    live(target, "replication_lag", [None, 1e6, 1e6], start=7200, labels={"replica": "b"})
    assert subjects(box) == []


def test_a_server_that_refuses_the_monitor_is_told_and_explains_nothing_else(
    target: Target, ana: User, box: Postbox
) -> None:
    for second in range(0, 300, 15):
        measured(
            target,
            second,
            Measurement.unknown("postgresql_up", "the password is refused"),
            value("endpoint_up", 0, {"endpoint": "health"}),
        )
        evaluate(now=at(second))
    assert subjects(box) == [
        "[CRITICAL] yukyu: An endpoint does not answer (health)",
        "[CRITICAL] yukyu: No data: PostgreSQL answers",
    ]


def test_postgresql_down_holds_the_others_back(target: Target, ana: User, box: Postbox) -> None:
    second = 0
    for second in range(0, 300, 15):
        broken = second >= 30
        measured(
            target,
            second,
            value("postgresql_up", 0 if broken else 1),
            value("endpoint_up", 0 if broken else 1, {"endpoint": "health"}),
            value("disk_used", 90 if broken else 20, {"volume": "data"}),
        )
        evaluate(now=at(second))
    rule(target, "disk", for_seconds=0)
    measured(target, 300, value("disk_used", 90, {"volume": "data"}))
    evaluate(now=at(300))
    assert sorted(subjects(box)) == [
        "[CRITICAL] yukyu: Disk nearly full (data)",
        "[CRITICAL] yukyu: PostgreSQL does not answer",
    ]
    assert Alert.objects.get(rule__code="endpoint-down").held_back
    for second in range(315, 800, 15):  # the server is back, the endpoint is not
        measured(target, second, value("postgresql_up", 1), value("endpoint_up", 0, {"endpoint": "health"}))
        evaluate(now=at(second))
    assert "[CRITICAL] yukyu: An endpoint does not answer (health)" in subjects(box)


def test_it_is_told_again_until_somebody_has_it(target: Target, ana: User, box: Postbox) -> None:
    rule(target, "pool", repeat_seconds=600, escalate_seconds=0)
    next_round = live(target, "pool_used", [95] * 25, every=60)
    assert [subject.split(": ", 1)[1] for subject in subjects(box)] == [
        "Connection pool nearly used up",
        "still: Connection pool nearly used up",
        "still: Connection pool nearly used up",
    ]
    first, second, *_ = box.to(ANA)
    assert second["References"] == first["Message-ID"]
    alerts.acknowledge(alert=Alert.objects.get(), who=ana, note="on it", now=at(next_round))
    next_round = live(target, "pool_used", [95] * 20, start=next_round, every=60)
    assert len(subjects(box)) == 3
    measured(target, next_round + 8 * 3600, value("pool_used", 95))
    evaluate(now=at(next_round + 8 * 3600))
    assert len(subjects(box)) == 4 and Alert.objects.get().owner == ""


def test_what_nobody_takes_goes_to_leads_and_to_those_marked_for_it(target: Target, ana: User, box: Postbox) -> None:
    ben = person(target, "ben", Role.LEAD)
    MailPreference.objects.create(user=ben, topic=MailTopic.ALERT, wanted=False, changed_at=timezone.now())
    recipient(target, "boss@example.org", escalation=True)
    recipient(target, "night@example.org")
    rule(target, "pool", repeat_seconds=0, escalate_seconds=600)
    live(target, "pool_used", [95] * 30)
    assert [len(subjects(box, who)) for who in (ANA, "night@example.org", "ben@example.org", "boss@example.org")] == [
        1, 1, 0, 0,
    ]  # fmt: skip
    live(target, "pool_used", [95] * 15, start=450, every=60)
    assert subjects(box, "ben@example.org") == ["[CRITICAL] yukyu: nobody has it: Connection pool nearly used up"]
    assert [len(subjects(box, who)) for who in (ANA, "night@example.org", "boss@example.org")] == [1, 1, 1]


def test_who_took_it_keeps_it_from_going_higher(target: Target, ana: User, box: Postbox) -> None:
    person(target, "ben", Role.LEAD)
    recipient(target, "boss@example.org", escalation=True)
    rule(target, "pool", escalate_seconds=600)
    next_round = live(target, "pool_used", [95] * 10)
    alerts.acknowledge(alert=Alert.objects.get(), who=ana, now=at(next_round))
    live(target, "pool_used", [95] * 20, start=next_round, every=60)
    assert subjects(box, "boss@example.org") == []


def test_a_recipient_hears_of_the_severity_they_chose_and_of_nothing_unconfirmed(target: Target, box: Postbox) -> None:
    recipient(target, "all@example.org")
    recipient(target, "critical@example.org", severity="critical")
    recipient(target, "later@example.org", confirmed_at=None)
    recipient(target, "gone@example.org", unsubscribed_at=at(0))
    live(target, "query_time", [900] * 12)
    live(target, "pool_used", [95] * 12, start=180)
    assert [
        len(subjects(box, f"{who}@example.org")) for who in ("all", "critical", "later", "gone")
    ] == [2, 1, 0, 0]  # fmt: skip
    (letter, _) = box.to("all@example.org")
    assert "/told/unsubscribe/" in str(letter["List-Unsubscribe"])
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_one_address_gets_one_mail(target: Target, ana: User, box: Postbox) -> None:
    recipient(target, "Ana@example.org")
    live(target, "pool_used", [95] * 8)
    assert len(subjects(box)) == 1 and box.to("Ana@example.org") == []


def test_that_it_is_over_is_told_to_those_who_were_told_and_to_nobody_else(
    target: Target, ana: User, box: Postbox
) -> None:
    next_round = live(target, "pool_used", [95] * 8)
    recipient(target, "late@example.org")
    live(target, "pool_used", [10] * 8, start=next_round)
    assert len(subjects(box)) == 2 and subjects(box, "late@example.org") == []


def test_a_silence_hides_mails_and_what_burns_at_its_end_is_told(target: Target, ana: User, box: Postbox) -> None:
    silence = silences.open_silence(
        application=target.application, rule=None, ends_at=at(900), reason="move", by=ana, now=at(0)
    )
    next_round = live(target, "pool_used", [95] * 20)
    live(target, "query_time", [900] * 12 + [10] * 8)
    assert subjects(box) == []
    assert Alert.objects.get(rule__code="pool").state == AlertState.FIRING
    assert Alert.objects.get(rule__code="query-time").state == AlertState.RESOLVED
    silences.end_silence(silence=silence, by=ana, now=at(next_round))
    live(target, "pool_used", [95] * 3, start=next_round)
    assert subjects(box) == ["[CRITICAL] yukyu: Connection pool nearly used up"]


def test_what_was_told_before_a_silence_is_told_anew_when_it_ends(target: Target, ana: User, box: Postbox) -> None:
    next_round = live(target, "pool_used", [95] * 8)
    silences.open_silence(
        application=target.application,
        rule=rule(target, "pool"),
        ends_at=at(next_round + 60),
        reason="I know",
        by="system",
        about="run:14",
        now=at(next_round),
    )
    live(target, "pool_used", [95] * 8, start=next_round)
    assert len(subjects(box)) == 2 and "still" in subjects(box)[1]


def test_the_mails_and_the_change_are_written_together(
    target: Target, ana: User, box: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies on its way leaves neither; the next round finds both."""
    from monitoring_app.services import telling
    from monitoring_app.services.evaluation import EvaluationFailed

    live(target, "pool_used", [95] * 4)
    measured(target, 60, value("pool_used", 95))
    with monkeypatch.context() as broken:
        broken.setattr(telling.doorbell, "ring", lambda *ring: 1 / 0)
        with pytest.raises(EvaluationFailed):
            evaluate(now=at(60))
    assert Alert.objects.get().state == AlertState.PENDING and not OutgoingMail.objects.exists()
    evaluate(now=at(75))
    assert len(subjects(box)) == 1
    assert Alert.objects.get().fired_at == at(60)


def test_a_mail_server_that_is_down_loses_nothing_and_doubles_nothing(target: Target, ana: User, settings: Any) -> None:
    with postbox(settings) as first:
        port = first.port
    next_round = live(target, "pool_used", [95] * 8)
    assert send_due().later == 1
    live(target, "pool_used", [10] * 8, start=next_round)
    assert send_due(clock=lambda: timezone.now() + timedelta(seconds=40)).sent == 0
    with postbox(settings, port) as again:
        for minutes in (5, 10, 15):
            send_due(clock=lambda minutes=minutes: timezone.now() + timedelta(minutes=minutes))
        assert [str(letter["Subject"]).split("]")[0] for letter in again.to(ANA)] == ["[CRITICAL", "[RESOLVED"]


def test_a_sender_killed_after_the_servers_250_sends_one_copy_more_at_most_under_the_same_id(
    target: Target, ana: User, box: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(target, "pool_used", [95] * 8)

    class Killed(BaseException):
        """Nothing after it runs, as after SIGKILL."""

    def die(*unheard: Any) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(sending, "_record", die)
        with pytest.raises(Killed):
            send_due()
    assert OutgoingMail.objects.get().state == MailState.SENDING
    for minutes in (1, 6, 12, 18):
        send_due(clock=lambda minutes=minutes: timezone.now() + timedelta(minutes=minutes))
    assert [letter["Message-ID"] for letter in box.to(ANA)] == [box.to(ANA)[0]["Message-ID"]] * 2


def test_a_rule_that_is_switched_off_ends_its_alert(target: Target, ana: User, box: Postbox) -> None:
    next_round = live(target, "pool_used", [95] * 8)
    rule(target, "pool", enabled=False)
    evaluate(now=at(next_round))
    assert subjects(box)[1].startswith("[RESOLVED]")
    assert Alert.objects.get().events.get(what="resolved").text == "The rule was switched off."


def test_an_alerts_history_can_not_be_changed(target: Target, ana: User, box: Postbox) -> None:
    live(target, "pool_used", [95] * 8)
    for tried in (AlertEvent.objects.all().delete, lambda: AlertEvent.objects.update(text="never mind")):
        with pytest.raises(DatabaseError), transaction.atomic():
            tried()
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM monitoring_app_alertevent")


def test_judging_a_target_asks_no_more_of_the_database_when_it_has_more_series(
    target: Target, ana: User, django_assert_max_num_queries: Any
) -> None:
    for volume in range(60):
        live(target, "disk_used", [20], labels={"volume": str(volume)})
    for volume in range(60):
        measured(target, 30, value("disk_used", 20, {"volume": str(volume)}))
    assert Series.objects.count() == 60
    with django_assert_max_num_queries(25):
        evaluate(now=at(30))


def test_a_rule_that_the_cut_over_switches_on_says_nothing_about_the_time_before(target: Target, db: None) -> None:
    def look(second: float, number: float) -> None:
        measured(target, second, value("application_on_postgresql", number))
        evaluate(now=at(second))

    for second in range(0, 300, STEP):
        look(second, 0.0)
    follow_database(application=target.application, on_postgresql=True)
    look(300, 0.0)
    assert not Alert.objects.filter(state=AlertState.FIRING).exists()
    for second in range(315, 400, STEP):
        look(second, 0.0)
    assert Alert.objects.get(state=AlertState.FIRING).rule.code == "wrong-database"


@contextmanager
def stopped(target: Target, second: float, seconds: float) -> Iterator[None]:
    """A run keeps the application down for so long, from then on."""
    application, about = target.application, "run:14"
    silences.open_silence(
        application=application, rule=None, ends_at=at(21_600), reason="down", by="system", about=about, now=at(second)
    )
    yield
    silences.end_silences(application=application, about=about, now=at(second + seconds))


CHECKS = {"source": "endpoint checks"}


def test_failures_of_a_planned_stop_are_no_alarm_once_the_application_is_up_again(
    target: Target, ana: User, box: Postbox
) -> None:
    next_round = live(target, "error_rate", [0.0] * 20, labels=CHECKS, count=5)
    with stopped(target, next_round - 5, 30):
        next_round = live(target, "error_rate", [100.0] * 2, labels=CHECKS, count=5, start=next_round)
    live(target, "error_rate", [0.0] * 25, labels=CHECKS, count=5, start=next_round)
    assert subjects(box) == []


def test_an_application_that_fails_after_a_planned_stop_is_told_of_by_what_came_after(
    target: Target, ana: User, box: Postbox
) -> None:
    with stopped(target, -5, 30):
        next_round = live(target, "error_rate", [100.0] * 2, labels=CHECKS, count=10)
    live(target, "error_rate", [20.0] * 30, labels=CHECKS, count=10, start=next_round)
    assert subjects(box) == ["[CRITICAL] yukyu: Requests fail (endpoint checks)"]
    assert Alert.objects.get().peak == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("well", "told"), [(True, []), (False, ["[CRITICAL] yukyu: An endpoint does not answer (health)"])]
)
def test_what_fired_in_a_planned_stop_is_told_only_when_it_lasts_beyond_it(
    target: Target, ana: User, box: Postbox, well: bool, told: list[str]
) -> None:
    with stopped(target, -5, 300):
        next_round = live(target, "endpoint_up", [0.0] * 20, labels={"endpoint": "health"})
    live(target, "endpoint_up", [float(well)] * 12, labels={"endpoint": "health"}, start=next_round)
    assert subjects(box) == told
