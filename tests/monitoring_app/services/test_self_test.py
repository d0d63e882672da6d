"""The weekly self-test: it finds a rule that can't fire and a mail server that takes nothing, and leaves one mail."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from controlplane.mail.models import OutgoingMail
from controlplane.registry.models import Application
from monitoring_app.models import Alert, Series
from monitoring_app.services import evaluation, self_test
from tests.monitoring_app.arranged import on_call, rule, watched
from tests.smtp import postbox

pytestmark = pytest.mark.django_db


def run(**options: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        call_command("alert_self_test", **options)
    return int(ended.value.code or 0)


def test_every_rule_fires_and_ends_and_the_mail_arrives(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    target = watched()
    on_call(target)
    with postbox(settings) as box:
        assert run() == 0
    (letter,) = box.to("ana@example.org")
    on = target.rules.filter(enabled=True).count()
    assert str(letter["Subject"]) == f"[yukyu] weekly self-test of alerts: {on} rules work"
    assert "mail to ana: handed to the mail server" in capsys.readouterr().out
    assert not Alert.objects.exists() and not Series.objects.exists() and Application.objects.count() == 1
    assert OutgoingMail.objects.count() == 1


def test_a_rule_that_can_not_fire_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    target = watched()
    monkeypatch.setattr(evaluation, "_points", lambda *unread: {})
    found = {one.code: one.problem for one in self_test.try_rules(target, now=timezone.now())}
    assert "did not fire" in found["disk"]


def test_a_mail_server_that_is_away_fails_the_test(settings: Any) -> None:
    on_call(watched())
    with postbox(settings):
        pass
    assert run() == 1


def test_it_is_run_once_a_week() -> None:
    target = watched()
    rule(target, "disk", for_seconds=7200)
    assert self_test.run_due(now=timezone.now()) == 0  # nobody would get its mail
    on_call(target)
    assert [self_test.run_due(now=timezone.now()) for _ in range(2)] == [1, 0]
    assert "longer than an hour" in str(OutgoingMail.objects.get().context)
