"""Every metric that is measured: its name, unit and title. One list is what rules, charts and /metrics can name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Unit(StrEnum):
    PERCENT = "%"
    MILLISECONDS = "ms"
    BYTES = "bytes"
    SECONDS = "s"
    COUNT = ""
    PER_SECOND = "/s"
    STATE = "state"  # 1 well, 0 not


@dataclass(frozen=True)
class Metric:
    """from_host: measured where the application lives (queue host.<name>), not from where its server is reached."""

    name: str
    title: str
    unit: Unit
    from_host: bool = False


def _all(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS: Final = _all(
    Metric("postgresql_up", "PostgreSQL answers", Unit.STATE),
    Metric("pool_used", "Connections in use", Unit.PERCENT),
    Metric("connections", "Client connections", Unit.COUNT),  # labels: application, state
    Metric("query_mean", "Mean query time of the interval", Unit.MILLISECONDS),
    Metric("query_slowest_mean", "Slowest statement's mean of the interval", Unit.MILLISECONDS),
    Metric("query_running", "Longest running query", Unit.MILLISECONDS),
    Metric("query_time", "Query time", Unit.MILLISECONDS),  # the greater of slowest mean and longest running
    Metric("idle_in_transaction", "Longest idle in transaction", Unit.SECONDS),
    Metric("transaction_age", "Longest transaction", Unit.SECONDS),
    Metric("blocked_sessions", "Sessions that wait for a lock", Unit.COUNT),
    Metric("replication_lag", "Replication lag", Unit.BYTES),  # labels: replica
    Metric("database_size", "Database size", Unit.BYTES),
    Metric("archiver_failing", "Archiver's failures since its last success", Unit.COUNT),
    Metric("archive_age", "Since the last archived segment", Unit.SECONDS),
    Metric("sequences_behind", "Sequences behind their column", Unit.COUNT),
    Metric("wraparound", "Of the way to transaction wraparound", Unit.PERCENT),
    Metric("cache_hits", "Cache hits of the interval", Unit.PERCENT),
    Metric("dead_rows", "Dead rows, worst table", Unit.PERCENT),
    Metric("backup_age", "Age of the newest backup", Unit.SECONDS),
    Metric("restore_test_age", "Age of the newest restore test", Unit.SECONDS),
    Metric("disk_used", "Disk in use", Unit.PERCENT, from_host=True),  # labels: volume
    Metric("disk_free", "Disk free", Unit.BYTES, from_host=True),  # labels: volume
    Metric("error_rate", "Requests that failed", Unit.PERCENT, from_host=True),  # labels: source
    Metric("requests", "Requests", Unit.PER_SECOND, from_host=True),  # labels: source
    Metric("endpoint_up", "Endpoint answers", Unit.STATE, from_host=True),  # labels: endpoint
    Metric("endpoint_time", "Endpoint's time", Unit.MILLISECONDS, from_host=True),  # labels: endpoint
    Metric("application_on_postgresql", "The application says PostgreSQL", Unit.STATE, from_host=True),
    Metric("application_pool_used", "Application's own pool in use", Unit.PERCENT, from_host=True),
    Metric("log_lines", "Lines in the application's log", Unit.COUNT, from_host=True),  # labels: level
    # Of a live crossing; its follower measures them (labels: direction). There are none where nothing follows.
    Metric("crossing_follows", "The two sides of a live crossing follow", Unit.STATE),
    Metric("crossing_lag", "Live crossing: behind by time", Unit.SECONDS),
    Metric("crossing_rows", "Live crossing: rows that wait", Unit.COUNT),
    Metric("loop_age", "Since the monitor's last round", Unit.SECONDS),
)
