"""What the tests of the server's probes share: a round against a real server, and its numbers by name."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2

from monitoring_app.probes.measurement import Measurement
from monitoring_app.probes.server import ServerRound, measure_server


def dsn_of(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "host": parts.hostname,
        "port": parts.port,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "dbname": parts.path[1:],
    }


def measure(url: str, memory: Mapping[str, Any] | None = None, **options: Any) -> ServerRound:
    return measure_server(
        dsn_of(url),
        schema=options.pop("schema", "public"),
        replicas=options.pop("replicas", []),
        memory=memory or {},
        **options,
    )


def one(round_: ServerRound, metric: str, **labels: str) -> Measurement:
    """The only measurement of this name (and of these labels, where some are given)."""
    found = [m for m in round_.measurements if m.metric == metric and (not labels or dict(m.labels) == labels)]
    assert len(found) == 1, (metric, labels, found)
    return found[0]


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Statements in one autocommit session; the rows of the last."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What the condition gives once it is true; fails when that takes too long."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return answer


@contextmanager
def running(url: str, statement: str, name: str = "shop") -> Iterator[Any]:
    """A session that runs the statement meanwhile; it is ended with the block."""
    connection = psycopg2.connect(url, application_name=name)
    connection.autocommit = True

    def run() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        except psycopg2.Error:
            return  # ended from outside

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield connection
    finally:
        connection.cancel()
        thread.join(20)
        connection.close()
