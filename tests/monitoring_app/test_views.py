"""Liveness, readiness and the numbers for Prometheus: true, quick, and silent to whoever has no token."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from controlplane.embedded import EmbeddedBroker
from controlplane.mail.outbox import Recipient, put_mail
from monitoring_app.models import Round, Target
from monitoring_app.probes.measurement import Measurement
from monitoring_app.services import loop, samples
from tests import factories as make

TOKEN = "token-not-to-be-seen"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def ticking(transactional_db: None, settings: Any, broker: EmbeddedBroker) -> None:
    """A broker that answers and a loop that woke just now."""
    settings.CELERY_BROKER_URL = broker.url
    settings.CAUSEWAY_METRICS_TOKEN = TOKEN
    Round.objects.create(part=loop.TICK, began_at=timezone.now())


def test_healthz_touches_nothing(client: Client) -> None:
    """Without the fixture of the database any query would fail the test."""
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_readyz_is_ready_when_database_broker_and_loop_answer(client: Client, ticking: None) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content) == (200, b"ready\n")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://:word-not-to-be-seen@127.0.0.1:1/0"])
def test_readyz_without_a_broker_is_not_ready_and_says_no_more(
    client: Client, ticking: None, settings: Any, url: str
) -> None:
    settings.CELERY_BROKER_URL = url
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content) == (503, b"not ready\n")
    assert b"word-not-to-be-seen" not in client.get("/readyz", headers=BEARER).content


def test_readyz_with_a_frozen_broker_answers_not_ready(
    client: Client, ticking: None, settings: Any, broker: EmbeddedBroker
) -> None:
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        assert client.get("/readyz").status_code == 503
    finally:
        os.kill(broker.pid, signal.SIGCONT)


def test_readyz_without_the_control_database_is_not_ready_and_shows_no_secret(
    client: Client, ticking: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise OperationalError("could not connect to postgresql://causeway:word-not-to-be-seen@db/causeway")

    monkeypatch.setattr(loop, "last_tick", gone)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content) == (503, b"not ready\n")
    assert b"word-not-to-be-seen" not in client.get("/readyz", headers=BEARER).content


@pytest.mark.parametrize("seconds", [None, 46, 3600])
def test_readyz_with_a_silent_loop_is_not_ready_and_tells_the_token_why(
    client: Client, ticking: None, seconds: int | None
) -> None:
    Round.objects.update(began_at=None if seconds is None else timezone.now() - timedelta(seconds=seconds))
    assert client.get("/readyz").status_code == 503
    details = client.get("/readyz", headers=BEARER).json()
    assert details["ready"] is False
    assert {name: check["well"] for name, check in details["checks"].items()} == {
        "database": True,
        "broker": True,
        "loop": False,
    }


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_are_read_only(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


@pytest.mark.parametrize(
    ("token", "header", "status"),
    [
        ("", f"Bearer {TOKEN}", 404),
        (TOKEN, "", 401),
        (TOKEN, "Bearer wrong", 401),
        (TOKEN, f"Basic {TOKEN}", 401),
        (TOKEN, f"Bearer {TOKEN}", 200),
    ],
)
@pytest.mark.django_db
def test_metrics_are_for_whoever_has_the_token(
    client: Client, settings: Any, token: str, header: str, status: int
) -> None:
    settings.CAUSEWAY_METRICS_TOKEN = token
    answer = client.get("/metrics", headers={"Authorization": header} if header else {})
    assert answer.status_code == status


@pytest.mark.django_db
def test_metrics_say_what_is_known_and_leave_out_what_is_not(client: Client, settings: Any) -> None:
    settings.CAUSEWAY_METRICS_TOKEN = TOKEN
    target = Target.objects.create(application=make.application("yukyu"))
    now = timezone.now()
    odd = 'a "quoted" \\ name\nwith a line'
    samples.store(
        target=target,
        measurements=[
            Measurement("pool_used", 41.5),
            Measurement("disk_used", 12.0, {"volume": "data"}),
            Measurement("connections", 3.0, {"application": odd, "state": "idle"}),
            Measurement.unknown("database_size", "the role may not read it"),
        ],
        now=now,
    )
    samples.store(target=target, measurements=[Measurement("wraparound", 5.0)], now=now - timedelta(hours=2))
    put_mail(key="k", to=Recipient("r", "", "a@example.org"), kind="x", subject="s", template="event", context={})
    answer = client.get("/metrics", headers=BEARER)
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }
    yukyu = ("target", "yukyu")
    assert found[("causeway_pool_used_percent", (yukyu,))] == 41.5
    assert found[("causeway_disk_used_percent", (yukyu, ("volume", "data")))] == 12.0
    assert found[("causeway_connections", (("application", odd), ("state", "idle"), yukyu))] == 3.0
    assert found[("causeway_series_unknown", (yukyu,))] == 2  # the size, and the wraparound of two hours ago
    assert found[("causeway_outbox_mails", (("state", "waiting"),))] == 1
    names = {name for name, _ in found}
    assert "causeway_round_age_seconds" in names
    assert not names & {"causeway_database_size_bytes", "causeway_wraparound_percent"}
