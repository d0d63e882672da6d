"""Writes figures down as Markdown: on the terminal, and as sections of docs/reference/speed.md."""

from __future__ import annotations

import datetime
import os
import platform
import sqlite3
from pathlib import Path

from bench import figures
from bench.contest import Results
from bench.figures import GOALS, NOT_MEASURED
from bench.peers import SAMPLE_ROWS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "speed.md"

# Path, its phases ('' is the whole process), and what it is called in the table.
_ROWS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("**floor**: ready-made text, COPY and indexes on two connections", "floor", ("floor",)),
    ("its rows alone", "floor", ("floor.load",)),
    ("plan", "ours", ("plan",)),
    ("backup, restored and compared", "ours", ("backup",)),
    ("export to JSON Lines", "ours", ("export",)),
    ("load of JSON Lines with keys and indexes", "ours", ("load",)),
    ("verify: every cell and object", "ours", ("verify",)),
    ("**export, load**", "ours", ("export", "load")),
    ("**export, load, verify**", "ours", ("export", "load", "verify")),
    ("the same load without lease and progress", "bare-load", ("bare-load",)),
    ("the command `move_database`, start to end", "whole", ()),
    ("pgloader, default options, start to end", "pgloader", ()),
    ("DuckDB's rows, then keys and indexes on two connections", "duckdb", ("load", "objects")),
)


def paths_table(results: Results) -> str:
    lines = [
        "| path | seconds | fastest and slowest | x floor | CPU client s | CPU server s | peak client MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, path, phases in _ROWS:
        if path not in results.runs:
            lines.append(f"| {name} | {_why_not(results, path)} | | | | | |")
            continue
        took = figures.seconds(results, path, *phases)
        cells = [
            _number(took, 1),
            figures.spread(results, path, *phases),
            _number(figures.divided(took, figures.seconds(results, "floor", "floor")), 2),
            _number(figures.client_cpu(results, path, *phases), 1),
            _number(figures.server_cpu(results, path, *phases), 1),
            _number(figures.peak_mb(results, path, *phases), 0),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def goals_table(results: Results) -> str:
    lines = ["| ratio | goal | measured |", "|---|---|---|"]
    for goal in GOALS:
        found = goal.ratio(results)
        limit = f"{goal.limit:.0%}" if goal.as_percent else f"{goal.limit:g}"
        lines.append(f"| {goal.name} | {limit} | {_ratio(found, goal.as_percent)} |")
    peak = figures.peak_mb(results, "ours", "plan", "export", "load", "verify")
    lines.append(f"| client memory of plan, export, load, verify | 150 MB | {_number(peak, 0, ' MB')} |")
    return "\n".join(lines)


def samples_table(results: Results) -> str:
    """Seconds for 100,000 rows of one table, reckoned from a sample."""
    share = 100_000 / SAMPLE_ROWS
    lines = [f"| on {SAMPLE_ROWS:,} rows of one table, without indexes | seconds per 100,000 rows |", "|---|---|"]
    ways = (("Django `dumpdata`", "loaddata", "dump_seconds"), ("Django `loaddata`", "loaddata", "load_seconds"))
    for name, path, fact in ways:
        runs = results.runs.get(path)
        found = runs[0].facts[fact] * share if runs else None
        lines.append(f"| {name} | {_number(found, 0) if runs else _why_not(results, path)} |")
    runs = results.runs.get("dump")
    dump = _number(runs[0].whole.seconds * share, 0) if runs else _why_not(results, "dump")
    lines.append(f"| SQLite's `.dump` through `psql` | {dump} |")
    return "\n".join(lines)


def failures(results: Results) -> str:
    """Every time that a path could not be measured, also when other rounds could."""
    return "\n".join(f"- {path}: {why}" for path, found in results.failures.items() for why in found)


def _why_not(results: Results, path: str) -> str:
    return f"{NOT_MEASURED}: {results.failures.get(path, ['it was left out'])[0]}"


def _number(value: float | None, digits: int, unit: str = "") -> str:
    return NOT_MEASURED if value is None else f"{value:,.{digits}f}{unit}"


def _ratio(value: float | None, as_percent: bool) -> str:
    if value is None:
        return NOT_MEASURED
    return f"{value:+.1%}" if as_percent else f"{value:.2f}"


def machine() -> str:
    """The machine and the versions that the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GB of memory, {_system()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)


def ratios_section(results: Results, *, rounds: int, server: str, busy: float) -> str:
    """`server`: PostgreSQL's version. `busy`: the machine's load average when the first round began."""
    peers = [
        f"{name} {results.facts[key]}"
        for name, key in (("pgloader", "pgloader"), ("DuckDB", "duckdb"))
        if key in results.facts
    ]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    failed = failures(results)
    return "\n".join(
        [
            f"Measured {today}: {machine()}; PostgreSQL {server} with its defaults, on the same machine"
            f"{'; ' + ', '.join(peers) if peers else ''}. "
            f"{results.source_bytes / 1e6:,.0f} MB of SQLite, {results.rows:,} rows, "
            f"{results.export_bytes / 1e6:,.0f} MB of JSON Lines; median of {rounds} rounds. "
            f"Load average at the start: {busy:.1f}.",
            *([f"\nChosen for findings: {results.facts['choices']}."] if "choices" in results.facts else []),
            "",
            goals_table(results),
            "",
            paths_table(results),
            "",
            samples_table(results),
            *(["", "What could not be measured:", "", failed] if failed else []),
        ]
    )


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Put the text between the page's marks of that name; the rest of the page stays as it is."""
    before, begin, rest = page.read_text().partition(f"<!-- {name}: begin -->")
    _old, end, after = rest.partition(f"<!-- {name}: end -->")
    if not begin or not end:
        raise ValueError(f"{page} has no marks of a section {name}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
