"""The application's own word about its pool of connections: how large it is, and how many are in use."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from migrations_app.applications.description import ApplicationDescription, EndpointCheck, Pool
from migrations_app.applications.endpoints import fetch_json, field_of
from migrations_app.engine.errors import EngineError

_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class PoolWord:
    """size, used: as the application says; None where it has no word for it. problem: why it could not be asked."""

    size: int | None = None
    used: int | None = None
    problem: str = ""

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def described_pool(description: ApplicationDescription) -> Pool | None:
    return description.identity.pool if description.identity is not None else None


def read_pool(description: ApplicationDescription) -> PoolWord:
    """Ask it now. Never raises for what the application answers."""
    pool, identity = described_pool(description), description.identity
    if pool is None or identity is None or not pool.path or not (pool.size or pool.used):
        return PoolWord(problem="the application has no word for its pool")
    check = EndpointCheck("pool", pool.path, pool.process or identity.process)
    try:
        status, document = fetch_json(description, check)
    except EngineError as error:
        return PoolWord(problem=f"{pool.path}: {error.message}")
    if status != 200:
        return PoolWord(problem=f"{pool.path} answered {status}")
    size, used = (_number(document, name) for name in (pool.size, pool.used))
    missing = [name for name, value in ((pool.size, size), (pool.used, used)) if name and value is None]
    return PoolWord(size, used, f"{pool.path} has no number {' and no '.join(missing)}" if missing else "")


def read_pool_at_rest(description: ApplicationDescription, used_before: int | None, seconds: float) -> PoolWord:
    """Ask until no more connections are in use than before, at the most so long; the last answer."""
    end = time.monotonic() + seconds
    while True:
        word = read_pool(description)
        at_rest = word.used is None or used_before is None or word.used <= used_before
        if at_rest or time.monotonic() >= end:
            return word
        time.sleep(_PAUSE_SECONDS)


def _number(document: object, name: str) -> int | None:
    value = field_of(document, name) if name else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
