"""Monitoring's pages say what is true: nothing unmeasured looks well, who may act can, who may not is told who can."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.mail.models import MailState, OutgoingMail
from controlplane.registry.models import Application
from monitoring_app.models import Alert, AlertRule, Recipient, Round, Series, Target
from monitoring_app.services import markers
from monitoring_app.views import common
from tests import factories as make
from tests import scenes_monitoring as night

pytestmark = pytest.mark.django_db
SignIn = Callable[[object], Client]


@pytest.fixture(autouse=True)
def fresh_cache() -> None:
    cache.clear()


@pytest.fixture
def application() -> Application:
    return make.application()


@pytest.fixture
def who(application: Application) -> make.People:
    return make.people(application)


@pytest.fixture
def target(application: Application) -> Target:
    return night.watched(application, replicas=[], volumes=[{"name": "data", "path": "/srv"}])


def as_(person: object) -> Client:
    client = Client()
    client.force_login(person)  # type: ignore[arg-type]
    return client


def text(client: Client, name: str, *args: object, query: str = "") -> str:
    answer = client.get(reverse(name, args=args) + query)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def well(target: Target) -> None:
    night.measured(target, "query_time", lambda ago: 60, hours=0.1)
    night.measured(target, "pool_used", lambda ago: 22, hours=0.1)
    night.measured(target, "disk_used", lambda ago: 40, hours=0.1, volume="data")
    night.measured(target, "error_rate", lambda ago: 0.1, hours=0.1, source="access log")
    night.rounds(target)


def test_all_limits_that_hold_read_as_well(target: Target, who: make.People) -> None:
    well(target)
    page = text(as_(who.viewer), "target", "yukyu")
    assert "Within all limits" in page and "4 of 4 limits hold. Not watched: replication lag." in page


def test_a_limit_without_a_value_is_never_green(target: Target, who: make.People) -> None:
    well(target)
    Series.objects.filter(metric="pool_used").update(last_at=timezone.now() - timedelta(minutes=5))
    page = text(as_(who.viewer), "target", "yukyu")
    assert "Within limits, as far as is known" in page and "Unknown: Connection pool." in page


def test_a_partial_view_says_so(target: Target, who: make.People) -> None:
    well(target)
    Series.objects.filter(metric="pool_used").update(view="partial", note="the role is no member of pg_monitor")
    page = text(as_(who.viewer), "target", "yukyu")
    assert "Within limits, as far as can be seen" in page and "the role is no member of pg_monitor" in page


def test_a_silent_monitor_is_the_first_thing_that_is_said(target: Target, who: make.People) -> None:
    well(target)
    Round.objects.update(ended_at=timezone.now() - timedelta(minutes=3))
    for name in ("health", "target"):
        page = text(as_(who.viewer), name, *(["yukyu"] if name == "target" else []))
        assert "monitor is silent" in page and "Within all limits" not in page
    assert "nobody judges the values" in text(as_(who.viewer), "alerts")


def test_no_round_yet_is_not_well(target: Target, who: make.People) -> None:
    assert "Not measured yet" in text(as_(who.viewer), "target", "yukyu")


def firing(target: Target) -> Alert:
    series = night.measured(target, "query_time", lambda ago: 612, hours=0.1)
    night.rounds(target)
    return night.burning(target, "query-time", series, minutes=5, value=612, peak=688)


def test_an_alert_that_nobody_has_stands_on_every_page(target: Target, who: make.People) -> None:
    alert = firing(target)
    client = as_(who.ops)
    assert '1<span class="hidden-label"> that nobody has' in text(client, "runs")
    page = text(client, "alerts")
    assert "1 alert burns, nobody has it" in page and "612 ms now, 688 ms at its peak" in page
    client.post(reverse("alert_do", args=[alert.pk]), {"do": "acknowledge", "note": "on it"})
    page = text(client, "alerts")
    assert "1 alert burns; ana has it" in page and "“on it”" in page
    assert "that nobody has" not in page


def test_whom_a_mail_did_not_reach_is_said_at_the_alert(target: Target, who: make.People) -> None:
    alert = firing(target)
    OutgoingMail.objects.filter(about=f"alert:{alert.pk}", to_name="ben").update(state=MailState.FAILED)
    assert "did not reach ben" in text(as_(who.ops), "alert", alert.pk)


def test_who_may_not_act_is_told_who_can_and_the_attempt_is_kept(target: Target, who: make.People) -> None:
    alert = firing(target)
    client = as_(who.viewer)
    page = text(client, "alert", alert.pk)
    assert "Who can: <strong>ops (ana) or team lead (ben, emi)</strong>" in page
    answer = client.post(reverse("alert_do", args=[alert.pk]), {"do": "acknowledge"})
    assert answer.status_code == 403 and "Not done" in answer.content.decode()
    assert AuditEvent.objects.filter(action="permission.refused", object_id=str(alert.pk)).count() == 1


def test_a_live_part_is_sent_again_only_when_something_has_changed(
    target: Target, who: make.People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "FRESH_SECONDS", 10**9)  # the clock alone changes it as well
    alert = firing(target)
    client = as_(who.ops)
    addresses = (("alerts_live", []), ("health_live", []), ("target_live", ["yukyu"]))
    for number, (name, args) in enumerate(addresses):
        address = reverse(name, args=args)
        tag = client.get(address).headers["ETag"]
        assert client.get(address, headers={"If-None-Match": tag}).status_code == 304
        Alert.objects.filter(pk=alert.pk).update(value=900 + number)
        assert client.get(address, headers={"If-None-Match": tag}).status_code == 200
        assert Client().get(address).status_code == 401


def test_every_chart_shows_the_cut_over_and_has_its_numbers_as_a_table(target: Target, who: make.People) -> None:
    well(target)
    at = timezone.now() - timedelta(minutes=3)
    markers.mark(application=target.application, kind=markers.CUT_OVER, at=at, text="run 1 switched to PostgreSQL")
    page = text(as_(who.viewer), "target", "yukyu")
    charts = page.count('class="chart"')
    assert charts and page.count("cut-over ") >= charts
    assert page.count("As a table") >= charts // 2 and "on PostgreSQL since" in page


def test_what_a_rule_would_have_done_is_shown_before_it_is_saved(target: Target, who: make.People) -> None:
    night.measured(target, "query_time", lambda ago: 450, hours=1.0, step=15)
    client = as_(who.lead)
    rule = AlertRule.objects.get(target=target, code="query-time")
    address = reverse("target_rule", args=["yukyu", "query-time"])
    opened = client.get(address).content.decode()
    assert "would not have fired" not in opened and "1 alert," not in opened  # nothing is played unasked
    names = ("severity", "for_seconds", "keep_seconds", "window_seconds", "minimum_events", "minimum_bad", "no_data",
             "no_data_seconds", "repeat_seconds", "escalate_seconds", "first_thing")  # fmt: skip
    typed = {name: getattr(rule, name) for name in names} | {"enabled": "on", "threshold": 400, "clear_threshold": 300}
    tried = client.post(address, {**typed, "do": "preview"}).content.decode()
    assert "1 alert," in tried and "It would not have fired" in tried  # as typed, and as it is
    assert AlertRule.objects.get(pk=rule.pk).threshold == 500
    client.post(address, {**typed, "do": "save", "version": rule.version})
    assert AlertRule.objects.get(pk=rule.pk).threshold == 400


def test_times_of_a_rule_are_read_and_typed_in_words(target: Target, who: make.People) -> None:
    client, address = as_(who.lead), reverse("target_rule", args=["yukyu", "disk"])
    values = {"severity": "critical", "threshold": 90, "clear_threshold": 80, "for_seconds": "1 min 30 s",
              "keep_seconds": "90", "window_seconds": "0", "minimum_events": 0, "minimum_bad": 0, "no_data": "alert",
              "no_data_seconds": "3 min", "repeat_seconds": "1 h 30 min", "escalate_seconds": "1 d", "enabled": "on",
              "do": "save", "version": AlertRule.objects.get(target=target, code="disk").version}  # fmt: skip
    assert client.post(address, values).status_code == 302
    rule = AlertRule.objects.get(target=target, code="disk")
    assert (rule.for_seconds, rule.keep_seconds, rule.repeat_seconds, rule.escalate_seconds) == (90, 90, 5400, 86_400)
    page = client.get(address).content.decode()
    assert 'value="1 min 30 s"' in page and 'value="1 h 30 min"' in page and 'value="1 d"' in page
    for nonsense in ("soon", "10 parsecs", "-5", "2 d"):
        refused = client.post(address, {**values, "for_seconds": nonsense, "version": rule.version})
        assert refused.status_code == 400, nonsense
    assert AlertRule.objects.get(pk=rule.pk).for_seconds == 90


def test_a_rule_that_somebody_else_changed_meanwhile_is_not_overwritten(target: Target, who: make.People) -> None:
    rule = AlertRule.objects.get(target=target, code="disk")
    client = as_(who.lead)
    values = {"severity": "critical", "threshold": 90, "clear_threshold": 80, "for_seconds": 60, "keep_seconds": 60,
              "window_seconds": 0, "minimum_events": 0, "minimum_bad": 0, "no_data": "alert", "no_data_seconds": 180,
              "repeat_seconds": 1800, "escalate_seconds": 3600, "enabled": "on", "do": "save"}  # fmt: skip
    address = reverse("target_rule", args=["yukyu", "disk"])
    assert client.post(address, {**values, "version": rule.version}).status_code == 302
    assert client.post(address, {**values, "threshold": 95, "version": rule.version}).status_code == 409
    assert AlertRule.objects.get(pk=rule.pk).threshold == 90


def test_the_monitors_address_is_kept_and_never_shown(target: Target, who: make.People) -> None:
    client = as_(who.ops)
    address = reverse("target_settings", args=["yukyu"])
    url = "postgresql://monitor:very-secret-word@127.0.0.1:1/yukyu"
    assert client.post(address, {"enabled": "on", "monitor_url": url}).status_code == 302
    assert Target.objects.get(pk=target.pk).monitor_url.reveal() == url
    assert "very-secret-word" not in client.get(address).content.decode()
    assert client.post(address, {"enabled": "on", "volumes": "data = /srv"}).status_code == 302
    assert Target.objects.get(pk=target.pk).monitor_url.reveal() == url


@pytest.mark.parametrize("url", ["https://127.0.0.1/metrics", "http://ana:geheim@127.0.0.1:8010/metrics"])
def test_a_prometheus_address_that_cannot_be_asked_or_holds_a_password_is_refused(
    target: Target, who: make.People, url: str
) -> None:
    answer = as_(who.ops).post(reverse("target_settings", args=["yukyu"]), {"enabled": "on", "prometheus_url": url})
    assert answer.status_code == 400
    assert Target.objects.get(pk=target.pk).prometheus == {}


def test_a_volume_that_can_not_be_read_so_is_refused_at_its_field(target: Target, who: make.People) -> None:
    answer = as_(who.ops).post(reverse("target_settings", args=["yukyu"]), {"enabled": "on", "volumes": "data = srv"})
    assert answer.status_code == 400 and "must be absolute" in answer.content.decode()


def test_a_mail_that_failed_is_sent_again_by_ops_and_by_nobody_else(target: Target, who: make.People) -> None:
    alert = firing(target)
    mail = OutgoingMail.objects.filter(about=f"alert:{alert.pk}").first()
    assert mail is not None
    OutgoingMail.objects.filter(pk=mail.pk).update(state=MailState.FAILED, error="refused", error_code="SMTP_550")
    address = reverse("alert_mail_again", args=[mail.pk])
    assert "Send again" not in text(as_(who.viewer), "alert_mails")
    assert as_(who.viewer).post(address).status_code == 404
    assert as_(who.stranger).post(address).status_code == 404
    assert "1 mail was not delivered" in text(as_(who.ops), "alert_mails")
    as_(who.ops).post(address)
    assert OutgoingMail.objects.get(pk=mail.pk).state == MailState.WAITING


def test_what_a_recipient_hears_of_is_changed_in_its_row(target: Target, who: make.People) -> None:
    row = Recipient.objects.create(application=target.application, address="night@example.com", nonce="a" * 32)
    client = as_(who.ops)
    assert "all alerts, the daily verification" in text(client, "target_recipients", "yukyu")
    address = reverse("target_recipients", args=["yukyu"])
    typed = {"do": "change", "recipient": row.pk, "severity": "critical", "escalation": "on"}
    assert client.post(address, typed).status_code == 302
    row.refresh_from_db()
    assert (row.severity, row.escalation, row.digest) == ("critical", True, False)
    page = text(client, "target_recipients", "yukyu")
    assert "only critical alerts that nobody took charge of" in page and "all alerts, the" not in page
    assert "Save" not in text(as_(who.viewer), "target_recipients", "yukyu")
    assert as_(who.viewer).post(address, typed).status_code == 403


def test_strangers_see_nothing_of_it(target: Target, who: make.People) -> None:
    alert = firing(target)
    Recipient.objects.create(application=target.application, address="night@example.com", nonce="a" * 32)
    client = as_(who.stranger)
    for name in ("health", "alerts", "silences", "recipients", "alert_mails"):
        page = text(client, name)
        assert "yukyu" not in page and "night@example.com" not in page
    assert client.get(reverse("alert", args=[alert.pk])).status_code == 404


def test_no_page_asks_more_often_when_there_are_more_rows(who: make.People, target: Target) -> None:
    well(target)
    client = as_(who.ops)
    lists = [reverse(name) for name in ("health", "alerts", "silences", "recipients", "alert_mails")]
    pages = [*lists, reverse("target_rules", args=["yukyu"]), reverse("alerts_live")]

    def count() -> dict[str, int]:
        found = {}
        for page in pages:
            client.get(page)
            with CaptureQueriesContext(connection) as captured:
                client.get(page)
            found[page] = len(captured)
        return found

    def more(number: int) -> None:
        other = make.application(f"more-{number}")
        make.member(other, who.ops, "ops")
        one = night.watched(other, replicas=[], volumes=[])
        firing(one)
        Recipient.objects.create(application=other, address=f"night{number}@example.com", nonce="a" * 32)
        make.member(make.application(f"unwatched-{number}"), who.ops, "ops")

    more(1)
    small = count()
    for number in range(2, 6):
        more(number)
    assert count() == small
