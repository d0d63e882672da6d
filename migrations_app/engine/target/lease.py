"""The lease: one run per target, whoever starts it, and no zombie that commits.

One row in `causeway.lease` (an advisory lock would end with its session; runs wait for days). The token is the row's
key on purpose: renewing touches only the expiry, which passes a chunk's FOR KEY SHARE; a new claim changes the key
and so waits until no transaction of an older token is open, and ends those it finds first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2

from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError, Failed, Fenced, Refused
from migrations_app.engine.target.target import Connection, Cursor, application_name, connect, rows, transaction
from migrations_app.engine.target.target_url import TargetUrl

LEASE_SECONDS = 15.0
OUTAGE_SECONDS = 60.0  # how long the target may be out of reach before the work on it is given up
CLAIM_LOCK = 7_311_942_001  # advisory lock that guards the claim alone
_NEW_HOLDER_WAITS = 10.0  # seconds for the backends of older tokens to be gone

_CREATE = """
CREATE SCHEMA IF NOT EXISTS causeway;
CREATE TABLE IF NOT EXISTS causeway.lease (
    token bigint PRIMARY KEY,
    single boolean NOT NULL DEFAULT true UNIQUE CHECK (single),
    run_key text NOT NULL,
    holder text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
"""


@dataclass(frozen=True)
class Lease:
    """A claim that succeeded. `token` grows with every claim, also across a removal of the schema."""

    run_key: str
    holder: str
    token: int
    seconds: float = LEASE_SECONDS

    @property
    def application_name(self) -> str:
        return application_name(self.run_key, self.token)


def claim(
    url: TargetUrl,
    run_key: str,
    holder: str,
    seconds: float = LEASE_SECONDS,
    *,
    wait_seconds: float = 0.0,
    control: Control | None = None,
) -> Lease:
    """Take the lease of the target, or raise Refused TARGET_LEASED naming who has it and for how long.

    A lapsed lease is taken over: the backends of older tokens are ended (our own role's need no right; another
    role's need pg_signal_backend) before the token changes. The holder itself may claim again at any time.
    `wait_seconds` waits that long for a holder that may be dead. Raises Failed OLD_HOLDER_STILL_THERE.
    """
    control = control or Control()
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return _claim_once(url, run_key, holder, seconds)
        except Refused as refused:
            if refused.code != "TARGET_LEASED" or time.monotonic() >= deadline:
                raise
        control.stop.wait(min(0.5, max(0.0, deadline - time.monotonic())))
        control.checkpoint()


def _claim_once(url: TargetUrl, run_key: str, holder: str, seconds: float) -> Lease:
    connection = connect(url, application_name=application_name(run_key, 0))
    try:
        with transaction(connection, "claiming the target's lease") as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (CLAIM_LOCK,))
            cursor.execute(_CREATE)
            _refuse_held(cursor, run_key, holder)
            _end_older_backends(cursor)
            token = _write_claim(cursor, run_key, holder, seconds)
        return Lease(run_key, holder, token, seconds)
    finally:
        connection.close()


def _refuse_held(cursor: Cursor, run_key: str, holder: str) -> None:
    found = rows(
        cursor,
        "SELECT run_key, holder, ceil(extract(epoch FROM expires_at - clock_timestamp()))::int"
        " FROM causeway.lease WHERE expires_at > clock_timestamp()",
    )
    if found and (found[0][0], found[0][1]) != (run_key, holder):
        other_run, other_holder, left = found[0]
        raise Refused(
            "TARGET_LEASED",
            f"{other_holder} works on the target (run {other_run}); its lease ends in {left} s unless it is renewed.",
            "Wait for it, or stop it; a dead holder's lease lapses by itself.",
        )


def _write_claim(cursor: Cursor, run_key: str, holder: str, seconds: float) -> int:
    """The clock is in the token: a zombie from before a removal of the schema must not match a new token."""
    found = rows(
        cursor,
        """INSERT INTO causeway.lease (token, run_key, holder, expires_at)
           VALUES ((extract(epoch FROM clock_timestamp()) * 1000)::bigint, %s, %s,
                   clock_timestamp() + %s * interval '1 s')
           ON CONFLICT (single) DO UPDATE SET token = greatest(lease.token + 1, excluded.token),
               run_key = excluded.run_key, holder = excluded.holder,
               claimed_at = clock_timestamp(), expires_at = excluded.expires_at
           RETURNING token""",
        (run_key, holder, seconds),
    )
    return int(found[0][0])


# Our names end in ':<token>'; token 0 are looks and claims, which hold nothing.
_OLDER = """SELECT pid FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND application_name ~ '^causeway:[^:]*:[1-9][0-9]*$'"""


def _end_older_backends(cursor: Cursor) -> None:
    """End every backend that works under an earlier token; we are under the claim's lock, so none is newer."""
    deadline = time.monotonic() + _NEW_HOLDER_WAITS
    while older := rows(cursor, _OLDER):
        try:
            cursor.execute("SAVEPOINT ending")
            for (pid,) in older:
                cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
        except psycopg2.errors.InsufficientPrivilege:
            cursor.execute("ROLLBACK TO SAVEPOINT ending")
            raise Failed(
                "OLD_HOLDER_STILL_THERE",
                "An earlier holder's session is still open under another role, and this role may not end it.",
                "GRANT pg_signal_backend TO CURRENT_USER; (by an administrator), or end that session by hand.",
            ) from None
        if time.monotonic() > deadline:
            raise Failed("OLD_HOLDER_STILL_THERE", "An earlier holder's session doesn't end.", "End it by hand.")
        cursor.execute("SELECT pg_sleep(0.05), pg_stat_clear_snapshot()")


def renew(url_or_connection: TargetUrl | Connection, lease: Lease) -> None:
    """Move the expiry on. Raises Fenced LEASE_LOST when another holder has it, else what connect() raises."""
    if isinstance(url_or_connection, TargetUrl):
        connection = connect(url_or_connection, application_name="", lease=lease)
        try:
            renew(connection, lease)
        finally:
            connection.close()
        return
    with transaction(url_or_connection, "renewing the lease") as cursor:
        cursor.execute(
            "UPDATE causeway.lease SET expires_at = clock_timestamp() + %s * interval '1 s' WHERE token = %s",
            (lease.seconds, lease.token),
        )
        if cursor.rowcount != 1:
            raise _lost(lease)


def release(url: TargetUrl, lease: Lease) -> None:
    """Let others in now. Nothing happens when the lease is already another's, or the schema is gone."""
    connection = connect(url, application_name=application_name(lease.run_key, 0))
    try:
        with transaction(connection, "releasing the lease") as cursor:
            if rows(cursor, "SELECT to_regclass('causeway.lease')")[0][0] is not None:
                cursor.execute(
                    "UPDATE causeway.lease SET expires_at = clock_timestamp() WHERE token = %s", (lease.token,)
                )
    finally:
        connection.close()


def assert_held(cursor: Cursor, lease: Lease) -> None:
    """The fence, inside the transaction that writes: raises Fenced unless the token is still the newest.

    FOR KEY SHARE keeps the token as it is until this transaction ends: a new holder waits for our commit or ends us,
    so that nothing of an older token can commit after a new claim.
    """
    try:
        cursor.execute("SELECT 1 FROM causeway.lease WHERE token = %s FOR KEY SHARE", (lease.token,))
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
        raise _lost(lease) from None
    if cursor.fetchone() is None:
        raise _lost(lease)


def _lost(lease: Lease) -> Fenced:
    return Fenced(f"The lease of run {lease.run_key} (token {lease.token}) is no longer ours.")


@contextmanager
def kept(url: TargetUrl, lease: Lease, control: Control) -> Iterator[None]:
    """Renew the lease from a thread while inside; when that fails for good, `control.stop` is set.

    Renewed every third of its time. While the target can't be reached it is tried again for OUTAGE_SECONDS, longer
    than the lease itself: an expiry that has passed harms nobody, since the fence is in the target, where others claim
    too. Whoever claims first wins, and we learn it from the renewal (Fenced).
    """
    done = threading.Event()
    keeper = threading.Thread(target=_keep, args=(url, lease, control, done), name="causeway-lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()


def _keep(url: TargetUrl, lease: Lease, control: Control, done: threading.Event) -> None:
    connection: Connection | None = None
    patience = max(lease.seconds, OUTAGE_SECONDS)
    good_until = time.monotonic() + patience
    pause = lease.seconds / 3
    while not done.wait(pause):
        started = time.monotonic()
        try:
            connection = (
                connection if connection and not connection.closed else connect(url, application_name="", lease=lease)
            )
            renew(connection, lease)
            good_until, pause = started + patience, lease.seconds / 3
        except EngineError as error:
            if connection is not None:
                connection.close()
            pause = 0.5
            if isinstance(error, Fenced) or time.monotonic() > good_until:
                control.stop_reason = error.message
                control.stop.set()
                break
    if connection is not None:
        connection.close()
