"""Server time of every page, with 200 runs, 100,000 audit events and six watched applications: `python -m bench.pages`.

A private control database is filled, every page is asked for as each of several people, and the table says the median
and the slowest of the rounds, in ms of wall-clock and of CPU time, with the number of queries. Exit status 1 where a
page's time is above the limit: of CPU where the control database is SQLite (its queries run in this process, and
neighbours on the machine don't count), else by the clock. No network: Django's own test client, with all middleware.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LIMIT_MS = 100.0
# Ops see the most of a run; superusers all of the admin.
PEOPLE = ("ops", "boss")


@dataclass(frozen=True)
class Timing:
    page: str
    person: str
    first_ms: float  # nothing cached, templates not yet parsed where it is the first page of all
    median_ms: float
    slowest_ms: float
    cpu_ms: float
    queries: int
    kilobytes: float


def main() -> int:
    options = _options()
    if options.postgresql:
        os.environ["CAUSEWAY_TEST_CONTROL"] = "postgresql"
    _prepare()
    from bench.pages_rows import fill

    who, run = fill(runs=options.runs, events=options.events, say=_say)
    timings = [
        _measure(page, name, getattr(who, name), options.rounds)
        for name in PEOPLE
        for page in _pages(run, name)
        if options.only in page
    ]
    print(_table(timings))
    slow = [row for row in timings if (row.median_ms if options.postgresql else row.cpu_ms) > options.limit]
    for row in slow:
        print(f"slower than {options.limit:g} ms: {row.page} as {row.person}", file=sys.stderr)
    return 1 if slow else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--events", type=int, default=100_000, help="of the audit trail")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", metavar="PART", help="of an address; all pages without it")
    parser.add_argument("--limit", type=float, default=LIMIT_MS, metavar="MS")
    parser.add_argument("--postgresql", action="store_true", help="the control database is PostgreSQL, not SQLite")
    return parser.parse_args()


def _prepare() -> None:
    """A private installation: tests.servers sets the environment that the settings are read from."""
    import tests.servers  # noqa: F401

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    import django
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    django.setup()
    setup_test_environment(debug=False)
    logging.disable(logging.WARNING)
    call_command("migrate", verbosity=0)


def _pages(run: Any, person: str) -> list[str]:
    """Every page that people open, with the admin's lists for superusers."""
    from django.contrib import admin
    from django.urls import reverse

    from tests.migrations_app.views import addresses

    if person != "boss":
        watched = addresses.of_watching(run.application.name, _alert_of(run))
        return [*addresses.of_everyone(), *addresses.of_run(run), *watched, "/audit/?family=run", "/audit/?actor=ana"]
    lists = (f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist" for model in admin.site._registry)
    change = reverse("admin:migrations_app_migrationrun_change", args=[run.pk])
    return ["/", "/audit/", "/admin/", change, *(reverse(name) for name in lists)]


def _alert_of(run: Any) -> int:
    from monitoring_app.models import Alert

    return int(Alert.objects.filter(rule__target__application=run.application).earliest("pk").pk)


def _measure(page: str, name: str, person: Any, rounds: int) -> Timing:
    from django.core.cache import cache
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client()
    client.force_login(person)
    cache.clear()
    first, _, _ = _ask(client, page)
    taken = [_ask(client, page) for _ in range(rounds)]
    with CaptureQueriesContext(connection) as captured:
        _, _, size = _ask(client, page)
    walls = [wall for wall, _, _ in taken]
    cpu = statistics.median(cpu for _, cpu, _ in taken)
    _say(f"{statistics.median(walls):6.0f} ms, {cpu:4.0f} of CPU  {page} as {name}")
    return Timing(
        page=page,
        person=name,
        first_ms=first,
        median_ms=statistics.median(walls),
        slowest_ms=max(walls),
        cpu_ms=cpu,
        queries=len(captured),
        kilobytes=size / 1000,
    )


def _ask(client: Any, page: str) -> tuple[float, float, int]:
    """Milliseconds by the clock and of CPU, and the bytes of the answer."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = client.get(page)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if answer.status_code != 200:
        raise SystemExit(f"{page} answered {answer.status_code}")
    return wall * 1000, cpu * 1000, len(answer.content)


def _table(timings: Sequence[Timing]) -> str:
    """Markdown, the slowest page first."""
    lines = [
        "| page | as | median ms | CPU ms | slowest ms | first ms | queries | kB |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.page} | {row.person} | {row.median_ms:.0f} | {row.cpu_ms:.0f} | {row.slowest_ms:.0f} "
        f"| {row.first_ms:.0f} | {row.queries} | {row.kilobytes:.0f} |"
        for row in sorted(timings, key=lambda row: -row.cpu_ms)
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
