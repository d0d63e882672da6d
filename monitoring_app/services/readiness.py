"""Is Causeway itself ready: its database, its broker, its loop, each asked with a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from monitoring_app.probes.deadline import run_all
from monitoring_app.services import loop

SECONDS = 3.0


@dataclass(frozen=True)
class Ready:
    """One thing that readiness stands on. said: why it is not well, in words without a secret."""

    name: str
    well: bool
    said: str


def readiness(*, now: datetime) -> list[Ready]:
    """Database, broker and loop. None takes longer than three seconds, and never raises."""
    jobs: dict[str, Callable[[], Any]] = {"database": _database, "broker": _broker}
    answers = run_all(jobs, SECONDS, key="readiness")
    last = answers["database"]
    well = not isinstance(last, str)
    found = [Ready("database", well, "answers" if well else str(last)), _of("broker", answers["broker"])]
    if not well:
        return [*found, Ready("loop", False, "not known without the database")]
    moment = last[0] if isinstance(last, tuple) else None
    if moment is None:
        return [*found, Ready("loop", False, "has never run: is beat running?")]
    age = (now - moment).total_seconds()
    silent = now - moment > loop.SILENT_INTERVALS * loop.interval()
    return [*found, Ready("loop", not silent, f"last tick {max(0.0, age):.0f} s ago")]


def _of(name: str, answer: Any) -> Ready:
    return Ready(name, answer is True, "answers" if answer is True else str(answer))


def _database() -> Any:
    """(the last tick,), or the sentence why it can't be asked. In a thread of its own, with its own connection."""
    try:
        return (loop.last_tick(),)
    except DatabaseError as error:
        return f"can't be asked ({type(error).__name__})"
    finally:
        connection.close()


def _broker() -> Any:
    try:
        with Redis.from_url(
            settings.CELERY_BROKER_URL, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
        ) as client:
            client.ping()
            return True
    except RedisError as error:
        return f"does not answer ({type(error).__name__})"
