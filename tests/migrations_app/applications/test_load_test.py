"""A stated load on a real server: what was sent, how fast it answered, who was refused and why."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from migrations_app.applications.description import ApplicationDescription
from migrations_app.applications.load_test import Load, at_once, press
from migrations_app.applications.refusal_words import in_words
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, Refused
from tests.migrations_app.applications.conftest import Tiny


class Counting(http.server.BaseHTTPRequestHandler):
    """Counts what it is asked, and how many ask at once; answers as `behaviour` says, by path."""

    lock: ClassVar[Any] = threading.Lock()
    asked: ClassVar[list[str]] = []
    now: ClassVar[int] = 0
    most: ClassVar[int] = 0
    seconds: ClassVar[float] = 0.0
    refuse: ClassVar[tuple[int, bytes]] = (0, b"")

    def do_GET(self) -> None:
        cls = type(self)
        with cls.lock:
            cls.asked.append(self.path)
            cls.now += 1
            cls.most = max(cls.most, cls.now)
        time.sleep(cls.seconds)
        status, body = cls.refuse if cls.refuse[0] and self.path == "/items" else (200, b"[1, 2]")
        with cls.lock:
            cls.now -= 1
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


@pytest.fixture
def handler(tiny: Tiny) -> Iterator[type[Counting]]:
    class Fresh(Counting):
        lock = threading.Lock()
        asked: ClassVar[list[str]] = []

    server = Server(("127.0.0.1", tiny.port), Fresh)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Fresh
    server.shutdown()
    server.server_close()


@pytest.fixture
def description(tiny: Tiny) -> ApplicationDescription:
    return tiny.describe()


def test_what_is_sent_is_what_was_stated(handler: type[Counting], description: ApplicationDescription) -> None:
    result = press(description, Load(3, 20, 1), Control())
    assert result.requests == len(handler.asked) == 20 and result.failures == 0
    assert result.is_reached and result.reached_per_second == 20
    assert sorted(set(handler.asked)) == ["/health", "/items"] and handler.asked.count("/items") == 10
    assert all(0 < one.p50_ms <= one.p95_ms <= one.max_ms for one in result.endpoints)
    assert handler.most <= 3


def test_an_application_that_cannot_keep_up_is_asked_less_often_and_the_rate_tells(
    handler: type[Counting], description: ApplicationDescription
) -> None:
    handler.seconds = 0.25
    result = press(description, Load(2, 100, 1), Control())
    assert handler.most <= 2 and len(handler.asked) < 30
    assert not result.is_reached and result.reached_per_second == len(handler.asked)
    assert min(one.p50_ms for one in result.endpoints) >= 250


def test_each_endpoint_is_asked_however_slow_the_others_are(
    handler: type[Counting], description: ApplicationDescription
) -> None:
    handler.seconds = 1.2
    result = press(description, Load(1, 100, 1), Control())
    assert [one.requests for one in result.endpoints] == [1, 1]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b'{"error": "QueuePool limit of size 5 overflow 10 reached, connection timed out"}', "pool_timeout"),
        (500, b"canceling statement due to statement timeout", "statement_timeout"),
        (500, b"(psycopg2.errors.LockNotAvailable) canceling statement due to lock timeout", "lock_timeout"),
        (500, b"FATAL: sorry, too many clients already", "too_many_connections"),
        (502, b"<html>Bad gateway</html>", "status 502"),
    ],
)
def test_a_refusal_is_counted_by_its_kind(
    handler: type[Counting], description: ApplicationDescription, status: int, body: bytes, kind: str
) -> None:
    handler.refuse = (status, body)
    result = press(description, Load(2, 10, 1), Control())
    health, items = result.endpoints
    assert (health.failures, items.failures, items.server_errors) == (0, 5, 5)
    assert result.refusals == {kind: 5}


def test_an_answer_that_does_not_come_in_time_is_a_timeout(
    handler: type[Counting], description: ApplicationDescription
) -> None:
    handler.seconds = 1.0
    hurried = replace(description, http_timeout_seconds=0.3)
    result = press(hurried, Load(2, 2, 1), Control())
    assert [one.timeouts for one in result.endpoints] == [1, 1] and result.refusals == {"no_answer_in_time": 2}


def test_nobody_there_is_a_result_and_no_error(description: ApplicationDescription) -> None:
    result = press(description, Load(2, 10, 1), Control())
    assert result.failures == result.requests and result.refusals == {"unreachable": result.requests}


def test_all_clients_ask_at_the_same_moment(handler: type[Counting], description: ApplicationDescription) -> None:
    handler.seconds = 0.3
    result = at_once(description, 12, Control())
    assert handler.most == 12
    assert [(one.requests, one.failures) for one in result.endpoints] == [(12, 0), (12, 0)]


def test_a_step_that_is_to_stop_ends_the_load(handler: type[Counting], description: ApplicationDescription) -> None:
    control = Control()
    timer = threading.Timer(0.3, control.stop.set)
    timer.start()
    with pytest.raises(Cancelled):
        press(description, Load(2, 5, 60), control)
    assert len(handler.asked) < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("client")], "a client goes on"


def test_no_load_leaves_this_machine(description: ApplicationDescription) -> None:
    with pytest.raises(Refused) as refused:
        press(replace(description, host="192.0.2.1"), Load(2, 10, 1), Control())
    assert refused.value.code == "HOST_NOT_ALLOWED"


def test_words_of_a_refusal_are_those_of_databases() -> None:
    assert in_words(500, b"sqlalchemy.exc.TimeoutError: QueuePool limit of size 5") == "pool_timeout"
    assert in_words(500, b"psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec") == "pool_timeout"
    assert in_words(404, b"") == "status 404"
    assert in_words(0, b"", "ENDPOINT_BROKEN") == "endpoint_broken"
