"""Does the server archive its write-ahead log? pg_stat_archiver counts for ever; what matters is since the success."""

from __future__ import annotations

from monitoring_app.probes.measurement import Measurement
from monitoring_app.probes.postgresql.asking import Answer, Asked, Probe

_ARCHIVER = """
SELECT current_setting('archive_mode'), current_setting('archive_command'),
       coalesce(current_setting('archive_library', true), ''),
       archived_count, failed_count,
       coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL),
       extract(epoch FROM clock_timestamp() - last_archived_time)::float8
  FROM pg_stat_archiver
"""
METRICS = ("archiver_failing", "archive_age")


def _ask(asked: Asked) -> Answer:
    ((mode, command, library, archived, failed, failing, age),) = asked.session.rows(_ARCHIVER)
    if mode == "off" or (asked.server.in_recovery and mode != "always"):
        why = "archive_mode is off: nothing is archived" if mode == "off" else "a standby that doesn't archive"
        return Answer([Measurement.unknown(metric, why) for metric in METRICS], {})
    since = _since(asked, archived, failed, failing)
    note = ""
    if not command and not library:
        since, note = max(since, 1), "archive_mode is on but archive_command is empty: the log piles up"
    elif failing:
        note = "the archiver fails since its last success: look at archive_command and the archive's disk"
    if age is None:
        age_now = Measurement.unknown("archive_age", "no segment was archived yet")
    else:
        age_now = Measurement("archive_age", max(0.0, age))
    memory = {"archived": archived, "base": failed - since if failing else failed}
    return Answer([Measurement("archiver_failing", float(since), note=note), age_now], memory)


def _since(asked: Asked, archived: int, failed: int, failing: bool) -> int:
    """Failures since the last success: 0 while it archives; at least 1 while it fails."""
    if not failing:
        return 0
    base = int(asked.memory.get("base", failed - 1))
    if asked.memory.get("archived") != archived or base > failed:  # a success in between, or the statistics were reset
        base = failed - 1
    return max(1, failed - base)


ARCHIVER = Probe("archiver", _ask, METRICS)
