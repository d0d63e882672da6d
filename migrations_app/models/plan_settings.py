"""A plan's settings: their names, defaults and bounds. A plan that was made before a setting existed has its default.

They are signed with the plan: a signature lapses when one changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# name: (default, lowest, highest)
NUMBERS: dict[str, tuple[int, int, int]] = {
    "jobs": (2, 1, 8),
    "soak_seconds": (3600, 0, 30 * 86400),
    "soak_interval_seconds": (60, 1, 3600),
    # The load under which answers are timed, on SQLite before and on PostgreSQL after: clients at the same time,
    # requests a second over all endpoints, seconds.
    "parallel_clients": (10, 1, 100),
    "load_per_second": (10, 1, 200),
    "load_seconds": (10, 1, 300),
    "endpoint_limit_ms": (500, 1, 60000),
    # The 95th percentile at most this part of what it was on SQLite, in percent; 0: it is compared, not judged.
    "baseline_limit_percent": (0, 0, 10_000),
    # Failed checks this long after the switch lead back by themselves, where nothing is lost; 0: a person decides.
    "auto_rollback_seconds": (0, 0, 7 * 86400),
    "backup_days": (30, 1, 3650),
}
FLAGS: dict[str, bool] = {"small_team": False}


def setting_of(stored: Mapping[str, Any], name: str) -> int:
    """The number of that name, or its default. Raises KeyError for a name that is none."""
    return int(stored.get(name, NUMBERS[name][0]))
