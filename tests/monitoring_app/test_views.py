"""Liveness and readiness: true, quick, and silent about details."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from controlplane.embedded import EmbeddedBroker


def test_healthz_touches_nothing(client: Client) -> None:
    """Without the fixture of the database any query would fail the test."""
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_readyz_is_ready_when_database_and_broker_answer(client: Client, settings: Any, broker: EmbeddedBroker) -> None:
    settings.CELERY_BROKER_URL = broker.url
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content) == (200, b"ready\n")


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://:word-not-to-be-seen@127.0.0.1:1/0"])
def test_readyz_without_a_broker_is_not_ready_and_says_no_more(client: Client, settings: Any, url: str) -> None:
    settings.CELERY_BROKER_URL = url
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content) == (503, b"not ready\n")


@pytest.mark.django_db
def test_readyz_with_a_frozen_broker_answers_not_ready(client: Client, settings: Any, broker: EmbeddedBroker) -> None:
    settings.CELERY_BROKER_URL = broker.url
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        assert client.get("/readyz").status_code == 503
    finally:
        os.kill(broker.pid, signal.SIGCONT)


@pytest.mark.django_db
def test_readyz_without_the_control_database_is_not_ready(
    client: Client, settings: Any, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*args: object) -> None:
        raise OperationalError("could not connect to postgresql://causeway:word-not-to-be-seen@db/causeway")

    settings.CELERY_BROKER_URL = broker.url
    monkeypatch.setattr(connection, "cursor", gone)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content) == (503, b"not ready\n")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_read_only(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
