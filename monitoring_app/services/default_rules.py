"""The rules that a target begins with: the runbook's five, and what else goes wrong after a move. Plain data.

Limits of the five: runbook, phase 6, "Alerts to Configure". That clear limits lie below them and that values must stay
there is what makes sixty crossings one mail (docs/reference/monitoring.md).
"""

from __future__ import annotations

from typing import Any, Final

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 24 * HOUR
MB: Final = 1_000_000
POSTGRESQL_DOWN: Final = "postgresql-down"
WRONG_DATABASE: Final = "wrong-database"
BEFORE_CUT_OVER: Final = "Off until the cut-over, which switches it on: before it, the application is on SQLite."
_NOT_BUILT: Final = "Causeway makes no backups of the new database yet, so there is nothing to measure."

_CRITICAL: Final[dict[str, Any]] = {"severity": "critical"}
DEFAULTS: Final[tuple[dict[str, Any], ...]] = (
    # The runbook's five.
    {
        "code": "pool",
        "title": "Connection pool nearly used up",
        "metric": "pool_used",
        "threshold": 80,
        "clear_threshold": 70,
        "for_seconds": MINUTE,
        **_CRITICAL,
        "first_thing": "Look which application and state holds the connections; then DB_POOL_SIZE and DB_MAX_OVERFLOW.",
    },
    {
        "code": "query-time",
        "title": "Queries are slow",
        "metric": "query_time",
        "threshold": 500,
        "clear_threshold": 300,
        "for_seconds": 2 * MINUTE,
        "first_thing": "Open the slow queries: look at the one with the most time in the interval, and at who blocks.",
    },
    {
        "code": "errors",
        "title": "Requests fail",
        "metric": "error_rate",
        "threshold": 1,
        "clear_threshold": 0.5,
        "for_seconds": MINUTE,
        "window_seconds": 5 * MINUTE,
        "minimum_events": 100,
        "minimum_bad": 5,
        **_CRITICAL,
        "first_thing": "Read the newest ERROR lines of the application's log; Advice groups them since the cut-over.",
    },
    {
        "code": "disk",
        "title": "Disk nearly full",
        "metric": "disk_used",
        "threshold": 80,
        "clear_threshold": 75,
        "for_seconds": 5 * MINUTE,
        "no_data": "alert",
        "no_data_seconds": 10 * MINUTE,
        **_CRITICAL,
        "first_thing": "Find what grew: WAL held by a lost replica, archives, logs. At 100% even TRUNCATE fails.",
    },
    {
        "code": "replication",
        "title": "A replica lags behind",
        "metric": "replication_lag",
        "threshold": 100 * MB,
        "clear_threshold": 50 * MB,
        "for_seconds": MINUTE,
        "no_data": "alert",
        "no_data_seconds": 3 * MINUTE,
        **_CRITICAL,
        "first_thing": "Is the replica running, and does it reach this server? Its slot keeps WAL here meanwhile.",
    },
    # A live crossing, while it follows: PostgreSQL SQLite before the switch, SQLite PostgreSQL after it.
    {
        "code": "crossing",
        "title": "The two sides of the live crossing no longer follow",
        "metric": "crossing_follows",
        "below": True,
        "threshold": 1,
        "clear_threshold": 1,
        "for_seconds": 0,
        "keep_seconds": 0,
        **_CRITICAL,
        "first_thing": "Its page says why. While it lasts, going back may lose what was written since.",
    },
    {
        "code": "crossing-lag",
        "title": "The live crossing falls behind",
        "metric": "crossing_lag",
        "threshold": 60,
        "clear_threshold": 20,
        "for_seconds": MINUTE,
        "first_thing": "Does a worker of the application's host run? Does either side have more to write than it can?",
    },
    # PostgreSQL and the application answer at all.
    {
        "code": POSTGRESQL_DOWN,
        "title": "PostgreSQL does not answer",
        "metric": "postgresql_up",
        "below": True,
        "threshold": 1,
        "clear_threshold": 1,
        "for_seconds": 30,
        # A server that refuses the monitor's role is neither up nor down, and every number of it is missing.
        "no_data": "alert",
        "no_data_seconds": 3 * MINUTE,
        **_CRITICAL,
        "first_thing": "Is the server's process running? Its own log says why it stopped. Other alerts wait meanwhile.",
    },
    {
        "code": "endpoint-down",
        "title": "An endpoint does not answer",
        "metric": "endpoint_up",
        "below": True,
        "threshold": 1,
        "clear_threshold": 1,
        "for_seconds": MINUTE,
        **_CRITICAL,
        "first_thing": "Is the application's process running? Its log says why it stopped.",
    },
    {
        "code": WRONG_DATABASE,
        "title": "The application is not on PostgreSQL",
        "metric": "application_on_postgresql",
        "below": True,
        "threshold": 1,
        "clear_threshold": 1,
        "for_seconds": MINUTE,
        "enabled": False,
        "why_off": BEFORE_CUT_OVER,
        **_CRITICAL,
        "first_thing": "Stop its writes: what it writes to SQLite now is missing in PostgreSQL.",
    },
    {
        "code": "application-pool",
        "title": "The application's own pool is nearly used up",
        "metric": "application_pool_used",
        "threshold": 80,
        "clear_threshold": 70,
        "for_seconds": MINUTE,
        "first_thing": "Raise DB_POOL_SIZE or DB_MAX_OVERFLOW, and look for requests that hold a connection too long.",
    },
    # What usually goes wrong after a move.
    {
        "code": "sequences",
        "title": "A sequence is behind its column",
        "metric": "sequences_behind",
        "threshold": 0,
        "clear_threshold": 0,
        "for_seconds": 0,
        "keep_seconds": 0,
        **_CRITICAL,
        "first_thing": "Inserts fail with 23505 until it is set: SELECT setval(the sequence, max of the column).",
    },
    {
        "code": "idle-in-transaction",
        "title": "A session idles in a transaction",
        "metric": "idle_in_transaction",
        "threshold": 5 * MINUTE,
        "clear_threshold": MINUTE,
        "for_seconds": 0,
        "first_thing": "Find the code that opens a transaction and waits: PostgreSQL keeps its locks all the while.",
    },
    {
        "code": "long-transaction",
        "title": "A transaction lasts too long",
        "metric": "transaction_age",
        "threshold": HOUR,
        "clear_threshold": 10 * MINUTE,
        "for_seconds": 0,
        "first_thing": "Look what it does and whether it may be ended: dead rows can't be cleaned up meanwhile.",
    },
    {
        "code": "blocked",
        "title": "Sessions wait for a lock",
        "metric": "blocked_sessions",
        "threshold": 0,
        "clear_threshold": 0,
        "for_seconds": MINUTE,
        "first_thing": "Look who blocks: the session at the head of the queue, and what it waits for itself.",
    },
    {
        "code": "wraparound",
        "title": "Transaction numbers run out",
        "metric": "wraparound",
        "threshold": 50,
        "clear_threshold": 40,
        "for_seconds": 5 * MINUTE,
        **_CRITICAL,
        "first_thing": "Find what keeps VACUUM from freezing: old or prepared transactions, abandoned slots.",
    },
    {
        "code": "archiver",
        "title": "WAL is not archived",
        "metric": "archiver_failing",
        "threshold": 0,
        "clear_threshold": 0,
        "for_seconds": MINUTE,
        **_CRITICAL,
        "first_thing": "The server's log has the command's error; until it is mended, WAL fills the disk.",
    },
    # The monitor itself.
    {
        "code": "loop",
        "title": "The monitor is silent",
        "metric": "loop_age",
        "threshold": 45,
        "clear_threshold": 30,
        "for_seconds": 30,
        **_CRITICAL,
        "first_thing": "Is that part's worker running (systemctl status causeway-worker)? What it measures is old.",
    },
    # Not built yet.
    {
        "code": "backup",
        "title": "The newest backup is old",
        "metric": "backup_age",
        "threshold": DAY + HOUR,
        "clear_threshold": DAY,
        "for_seconds": 0,
        "enabled": False,
        "why_off": _NOT_BUILT,
        **_CRITICAL,
        "first_thing": "Look why the last backup failed, and take one now.",
    },
    {
        "code": "restore-test",
        "title": "No restore was tried for more than a week",
        "metric": "restore_test_age",
        "threshold": 8 * DAY,
        "clear_threshold": 7 * DAY,
        "for_seconds": 0,
        "enabled": False,
        "why_off": _NOT_BUILT,
        "first_thing": "Try one: a backup that was never restored is a hope.",
    },
)
