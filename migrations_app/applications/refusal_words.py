"""Why did an application refuse a request? By the words that databases and pools use, in the answer's own body.

The words are those of PostgreSQL (errcodes-appendix.html), psycopg, SQLAlchemy, Django, asyncpg and HikariCP. Only the
kind is kept: an error page may hold values.
"""

from __future__ import annotations

import re
from typing import Final

STATEMENT_TIMEOUT, LOCK_TIMEOUT, POOL_TIMEOUT = "statement_timeout", "lock_timeout", "pool_timeout"
TOO_MANY, DEADLOCK, NO_ANSWER, UNREACHABLE = "too_many_connections", "deadlock", "no_answer_in_time", "unreachable"
_KINDS: Final = (
    (
        POOL_TIMEOUT,
        rb"QueuePool limit|PoolTimeout|pool timeout|couldn't get a connection|pool exhausted|"
        rb"Connection is not available, request timed out",
    ),
    (STATEMENT_TIMEOUT, rb"57014|QueryCanceled|due to statement timeout"),
    (LOCK_TIMEOUT, rb"55P03|LockNotAvailable|due to lock timeout|database is locked"),
    (TOO_MANY, rb"53300|TooManyConnections|too many clients|too many connections|remaining connection slots"),
    (DEADLOCK, rb"40P01|DeadlockDetected|deadlock detected"),
)
_PATTERNS: Final = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _KINDS)
# What a criterion “no database time-outs” counts.
TIMEOUTS: Final = frozenset({STATEMENT_TIMEOUT, LOCK_TIMEOUT, POOL_TIMEOUT, NO_ANSWER})
EXHAUSTED: Final = frozenset({POOL_TIMEOUT, TOO_MANY})


def in_words(status: int, body: bytes, code: str = "") -> str:
    """The kind of a refusal: one of the above, else 'status 503' or the error's own code in small letters."""
    if code == "ENDPOINT_TIMEOUT":
        return NO_ANSWER
    if code:
        return UNREACHABLE if code == "ENDPOINT_UNREACHABLE" else code.lower()
    return next((kind for kind, pattern in _PATTERNS if pattern.search(body)), f"status {status}")
