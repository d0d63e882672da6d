"""A connection that never waits longer than it may, and the one connection to each server that is kept between rounds.

A frozen server hears neither statement_timeout nor connect_timeout (measured: 6 s late), so the waiting is done here:
libpq in its asynchronous mode, with a deadline of our own. The server's statement_timeout is set too, somewhat
shorter, so that a server that is only slow stops working for us by itself.

One connection stays open while rounds come, since a server that is out of connections can be looked into only by who
is in already. It is one for each server, role and machine: the process that holds a file's lock keeps it, others
connect for their round. It closes when no round came for a minute, and never outlives a fork.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import select
import socket
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg2
from psycopg2 import extensions, sql

from monitoring_app.probes.postgresql.refusals import Refusal, meaning

APPLICATION: Final = "causeway monitor"
MARK: Final = "causeway monitor's own"  # in every statement, so that the probes can tell theirs from the application's
KEEP_SECONDS: Final = 60.0
_OPTIONS: Final = " ".join(
    f"-c {setting}"
    for setting in (
        "statement_timeout=1800",  # milliseconds; below every probe's deadline
        "lock_timeout=400",
        "default_transaction_read_only=on",
        "search_path=pg_catalog",  # nobody's function may stand in for PostgreSQL's
        "jit=off",
    )
)


class NoAnswer(Exception):
    """The server did not answer in time: nothing is known of it."""


class CannotConnect(Exception):
    """refusal: what the server meant, as far as it is understood."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Session:
    """One connection, read-only, each statement by itself. `until`: time.monotonic() by which answers must be there."""

    def __init__(self, connection: Any, until: float, place: tuple[Any, ...], lock: int | None = None) -> None:
        self.until = until
        self.place = place
        self._connection = connection
        self._lock = lock

    def rows(self, statement: str | sql.Composable, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Raises NoAnswer (and the session is of no use any more), psycopg2.Error."""
        if self._connection.closed:
            raise psycopg2.OperationalError("the connection is closed")
        cursor = self._connection.cursor()
        marked = sql.Composed(
            [sql.SQL(statement) if isinstance(statement, str) else statement, sql.SQL(f" /* {MARK} */")]
        )
        try:
            cursor.execute(marked, tuple(values) or None)
            _wait(self._connection, self.until)
        except NoAnswer:
            self.close()
            raise
        return cursor.fetchall() if cursor.description else []

    @property
    def usable(self) -> bool:
        return not self._connection.closed

    def close(self) -> None:
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def forget(self) -> None:
        """In a forked child: the connection is the parent's (psycopg2 closes nothing that another process opened)."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def claim_keeping(self) -> bool:
        """Whether this process is the one that keeps the connection to this place."""
        if self._lock is None:
            self._lock = _try_lock(self.place)
        return self._lock is not None


def open_session(
    dsn: Mapping[str, Any], until: float, *, application: str = APPLICATION, options: str = _OPTIONS
) -> Session:
    """A new connection. dsn: libpq keywords. Raises NoAnswer, CannotConnect."""
    ours = {"options": options, "application_name": application, "client_encoding": "UTF8"}
    keywords = {**dsn, **_addresses(dsn, until), **ours}
    connection = None
    try:
        connection = psycopg2.connect(**keywords, async_=True)
        _wait(connection, until)
    except psycopg2.OperationalError as error:
        raise CannotConnect(meaning(str(error))) from None
    except NoAnswer:
        if connection is not None:
            connection.close()
        raise
    return Session(connection, until, place_of(dsn))


def place_of(dsn: Mapping[str, Any]) -> tuple[Any, ...]:
    """Which server, database and role: never the password."""
    return tuple(dsn.get(name) for name in ("host", "port", "dbname", "user"))


# --- the kept connection -------------------------------------------------------------------------

_kept: dict[tuple[Any, ...], tuple[Session, str, threading.Timer]] = {}
_guard = threading.Lock()


def borrow(dsn: Mapping[str, Any], until: float) -> Session:
    """The kept connection where this process has one, else a new one. Raises NoAnswer, CannotConnect."""
    with _guard:
        found = _kept.pop(place_of(dsn), None)
    if found is not None:
        session, secret, timer = found
        timer.cancel()
        if secret == _digest(dsn) and session.usable:
            session.until = until
            return session
        session.close()
    return open_session(dsn, until)


def give_back(session: Session, dsn: Mapping[str, Any]) -> None:
    """After a round: kept for the next, if this process is the one that keeps; else closed."""
    if not session.usable or not session.claim_keeping():
        session.close()
        return
    timer = threading.Timer(KEEP_SECONDS, _close_kept, [session.place])
    timer.daemon = True
    with _guard:
        older = _kept.pop(session.place, None)
        _kept[session.place] = (session, _digest(dsn), timer)
    timer.start()
    if older is not None:
        older[2].cancel()
        older[0].close()


def close_all() -> None:
    """Let go of every kept connection."""
    for place in list(_kept):
        _close_kept(place)


def _close_kept(place: tuple[Any, ...]) -> None:
    with _guard:
        found = _kept.pop(place, None)
    if found is not None:
        found[2].cancel()
        found[0].close()


def _forget_in_child() -> None:
    global _guard
    _guard = threading.Lock()
    for session, _, _ in _kept.values():
        session.forget()
    _kept.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _digest(dsn: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(dsn.items(), key=lambda item: item[0])).encode()).hexdigest()


def _try_lock(place: tuple[Any, ...]) -> int | None:
    """The descriptor that holds the lock of this place; None where another process of ours has it."""
    folder = Path(tempfile.gettempdir()) / f"causeway-monitor-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid != os.getuid():
            return None
        name = hashlib.sha256(repr(place).encode()).hexdigest()[:32]
        lock = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


# --- waiting -------------------------------------------------------------------------------------


def _wait(connection: Any, until: float) -> None:
    """Until the connection has done what it was asked; raises NoAnswer at the deadline, psycopg2.Error."""
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        left = until - time.monotonic()
        if left <= 0:
            raise NoAnswer
        poller = select.poll()  # unlike select() it takes descriptors above 1024
        poller.register(connection.fileno(), select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
        poller.poll(max(1.0, left * 1000))


def _addresses(dsn: Mapping[str, Any], until: float) -> dict[str, str]:
    """libpq looks names up without a deadline; so they are looked up here, in a thread that may be left behind."""
    host = str(dsn.get("host") or "")
    if not host or host.startswith("/") or "hostaddr" in dsn:
        return {}
    found: list[list[str]] = []

    def look_up() -> None:
        try:
            known = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            found.append([])
        else:
            found.append(list(dict.fromkeys(str(address[4][0]) for address in known)))

    thread = threading.Thread(target=look_up, name="look-up", daemon=True)
    thread.start()
    thread.join(max(0.0, until - time.monotonic()))
    if not found:
        raise NoAnswer
    if not found[0]:
        raise CannotConnect(Refusal.UNREACHABLE)
    return {"host": ",".join([host] * len(found[0])), "hostaddr": ",".join(found[0])}
