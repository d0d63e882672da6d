"""Charts and roll-up with a week of samples for 60 series: `python -m bench.monitoring [--postgresql] [--page FILE]`.

A private control database gets two days of raw samples, every 15 seconds, and a week of five-minute rows of each
series. Measured is what a chart costs the server (reading, joining, drawing), and what a roll-up does: of what came in
the last five minutes, and of a whole day that was left lying. ms of CPU of this process where the control database is
SQLite, whose queries run in it; by the clock where it is PostgreSQL. Exit status 1 where a chart takes over 50 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.pages import _prepare as prepare

SERIES = 60
LIMIT_MS = 50.0
RANGES = {"3 h": timedelta(hours=3), "24 h": timedelta(hours=24), "7 days": timedelta(days=7)}
FILL = {
    "sqlite": """
        WITH RECURSIVE moment(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM moment WHERE n + 1 < %s)
        INSERT INTO monitoring_app_sample (series_id, resolution, at, minimum, average, maximum, n)
        SELECT %s, %s, strftime('%%Y-%%m-%%d %%H:%%M:%%S', %s, '+' || (n * %s) || ' seconds'), 40 + n %% 7, 42 + n %% 7,
               45 + n %% 7, 1 FROM moment
    """,
    "postgresql": """
        WITH given(count, series, resolution, begin, step) AS
             (VALUES (%s::int, %s::bigint, %s::int, %s::timestamptz, %s::int))
        INSERT INTO monitoring_app_sample (series_id, resolution, at, minimum, average, maximum, n)
        SELECT series, resolution, begin + n * step * interval '1 second', 40 + n %% 7, 42 + n %% 7, 45 + n %% 7, 1
          FROM given, generate_series(0, count - 1) AS n
    """,
}
Row = tuple[str, float, float]  # what, median, slowest: ms


def main() -> int:
    options = _options()
    if options.postgresql:
        os.environ["CAUSEWAY_TEST_CONTROL"] = "postgresql"
    prepare()
    now, target, rows = _week()
    clock = time.perf_counter if options.postgresql else time.process_time
    charts = [*_charts(target, rows, now, clock, options.rounds)]
    rolled = _roll_ups(now, clock)
    table = _table([*charts, *rolled])
    print(table)
    if options.page:
        _write(options.page, "PostgreSQL" if options.postgresql else "SQLite", table)
    slow = [what for what, median, _ in charts if median > LIMIT_MS]
    for what in slow:
        print(f"slower than {LIMIT_MS:g} ms: {what}", file=sys.stderr)
    return 1 if slow else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.monitoring", description=__doc__)
    parser.add_argument("--postgresql", action="store_true", help="the control database is PostgreSQL, not SQLite")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into this page, between its marks")
    return parser.parse_args()


def _week() -> tuple[datetime, Any, list[Any]]:
    """(now, the target, its series); now: a whole five minutes, and a little for rounds that are late."""
    from django.db import connection
    from django.utils import timezone

    from monitoring_app.models import Resolution, Sample, Series
    from monitoring_app.services import samples
    from tests import factories as make
    from tests import scenes_monitoring as night

    target = night.watched(make.application("yukyu"), volumes=[], replicas=[])
    end = samples.floor(timezone.now() - timedelta(minutes=3), 300)
    rows = [
        Series.objects.create(
            target=target, metric="connections", labels={"state": f"s{number}"}, labels_key=f"state=s{number}",
            view="full", last_at=end, last_value=42.0, checked_at=end, expected_from=end - timedelta(days=8),
        )
        for number in range(SERIES)
    ]  # fmt: skip
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        for row in rows:
            for resolution, step, length in ((Resolution.RAW, 15, 2), (Resolution.FIVE_MINUTES, 300, 7)):
                count = length * 86_400 // step
                begin = adapt(end - timedelta(days=length))
                cursor.execute(FILL[connection.vendor], [count, row.pk, int(resolution), begin, step])
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE monitoring_app_sample")
    print(f"{Sample.objects.count():,} samples", file=sys.stderr)
    return end + timedelta(minutes=2), target, rows


def _charts(target: Any, rows: list[Any], now: datetime, clock: Callable[[], float], rounds: int) -> list[Row]:
    from monitoring_app.views import pictures

    found = []
    for words, length in RANGES.items():
        for count in (1, 4):
            shown = rows[:count]

            def draw(shown: list[Any] = shown, length: timedelta = length) -> None:
                drawn = pictures.chart_of(target, "connections", shown, now - length, now, marks=[], rules=[])
                assert not drawn.is_empty

            taken = [_timed(draw, clock) for _ in range(rounds)]
            lines = "one line" if count == 1 else f"{count} lines"
            found.append((f"chart of {words}, {lines}", statistics.median(taken), max(taken)))
    return found


def _roll_ups(now: datetime, clock: Callable[[], float]) -> list[Row]:
    from monitoring_app.models import Resolution, Sample
    from monitoring_app.services.rollup import roll_up

    def whole() -> None:
        while not roll_up(now=now):
            pass

    whole()  # hours and days of the week, once
    found = []
    lying = ((f"roll-up of five minutes of {SERIES} series", 5, 3), (f"roll-up of a day of {SERIES} series", 1440, 1))
    for words, minutes, rounds in lying:
        taken = []
        for _ in range(rounds):
            coarse = Sample.objects.exclude(resolution=Resolution.RAW)
            coarse.filter(at__gte=now - timedelta(minutes=minutes + 2)).delete()
            taken.append(_timed(whole, clock))
        found.append((words, statistics.median(taken), max(taken)))
    return found


def _timed(what: Callable[[], None], clock: Callable[[], float]) -> float:
    begun = clock()
    what()
    return (clock() - begun) * 1000


def _table(rows: list[Row]) -> str:
    lines = ["| | median ms | slowest ms |", "|---|--:|--:|"]
    return "\n".join([*lines, *(f"| {what} | {median:,.0f} | {slowest:,.0f} |" for what, median, slowest in rows)])


def _write(page: Path, database: str, table: str) -> None:
    """Between the page's marks of that database."""
    begin, end = f"<!-- {database} -->", f"<!-- /{database} -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{table}\n{end}{after}")


if __name__ == "__main__":
    raise SystemExit(main())
