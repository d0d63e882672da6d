"""Speed as ratios in one run, on a generated database of the sample application: `python -m bench [--employees N]`.

The floor is PostgreSQL's own way with ready-made text: pg_restore of an uncompressed dump on two connections, indexes
included, then ANALYZE. Seconds depend on the machine and stand beside the ratios only to be read with them.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.compare import verify
from migrations_app.engine.control import Control
from migrations_app.engine.export import export_source
from migrations_app.engine.export_reader import open_export
from migrations_app.engine.fingerprint import fingerprint
from migrations_app.engine.load import load_export
from migrations_app.engine.plan import MODE_CREATE, MovePlan
from migrations_app.engine.planning import make_plan
from migrations_app.engine.sqlite_source import open_source
from migrations_app.engine.target_url import parse_target_url

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server's user must pass through
        source = _generate(folder, options.employees)
        with EmbeddedPostgres(folder / "postgres") as server:
            rounds = [_round(server, source, folder, number) for number in range(options.rounds)]
    print(_table(source_bytes=rounds[0]["bytes"], rounds=rounds))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--employees", type=int, default=20_000, help="size of the generated database")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the median counts")
    return parser.parse_args()


def _generate(folder: Path, employees: int) -> Path:
    source = folder / "source.db"
    size = ["--employees", str(employees), "--requests", str(employees * 3), "--details", str(employees * 12)]
    subprocess.run([sys.executable, str(ROOT / "demo" / "generate.py"), str(source), *size], check=True)
    return source


def _round(server: EmbeddedPostgres, source: Path, folder: Path, number: int) -> dict[str, float]:
    """Seconds of each phase in one round: ours first, then the floor from a dump of what we loaded."""
    ours, floor = f"ours_{number}", f"floor_{number}"
    for database in (ours, floor):
        server.create_database(database)
    seconds: dict[str, float] = {"bytes": source.stat().st_size}
    url, control = parse_target_url(server.url(ours)), Control()
    directory = folder / f"export-{number}"
    with open_source(source, control) as opened:
        plan: MovePlan = _timed(seconds, "plan", lambda: make_plan(opened, mode=MODE_CREATE, control=control))
        taken = fingerprint(source, control)
        _timed(seconds, "export", lambda: export_source(opened, plan, directory, control, taken))
        key = secrets.token_hex(4)
        _timed(
            seconds,
            "load",
            lambda: load_export(open_export(directory), plan, url, run_key=key, lease=None, jobs=2, control=control),
        )
        result = _timed(seconds, "verify", lambda: verify(opened, plan, url, control=control))
        if not result.equal:
            raise SystemExit(f"{result.difference_count} differences: these seconds would mean nothing")
    _floor(server, ours, floor, folder / f"dump-{number}", seconds)
    for database in (ours, floor):
        server.drop_database(database)
    return seconds


def _floor(server: EmbeddedPostgres, loaded: str, empty: str, dump: Path, seconds: dict[str, float]) -> None:
    tool, password = server.bindir, {**os.environ, "PGPASSWORD": _password(server.url(loaded))}
    where = ["--host", "127.0.0.1", "--port", str(server.port), "--username", "postgres"]
    dumping = [str(tool / "pg_dump"), *where, "-Fd", "-j2", "-Z0", "--schema", "public", "-f", str(dump), loaded]
    subprocess.run(dumping, env=password, check=True)
    restoring = [str(tool / "pg_restore"), *where, "-j2", "--clean", "--if-exists", "-d", empty, str(dump)]
    begun = time.monotonic()
    subprocess.run(restoring, env=password, check=True)
    server.execute("ANALYZE", database=empty)
    seconds["floor"] = time.monotonic() - begun


def _password(url: str) -> str:
    return parse_target_url(url).password


def _timed(seconds: dict[str, float], phase: str, work: Callable[[], Any]) -> Any:
    begun = time.monotonic()
    answer = work()
    seconds[phase] = time.monotonic() - begun
    return answer


def _table(source_bytes: float, rounds: list[dict[str, float]]) -> str:
    def median(*phases: str) -> float:
        return statistics.median(sum(one[phase] for phase in phases) for one in rounds)

    floor = median("floor")
    rows = [
        ("floor: pg_restore -j 2 and ANALYZE", ("floor",)),
        ("load of JSON Lines with indexes", ("load",)),
        ("export and load with indexes", ("export", "load")),
        ("plan, export, load, every cell verified", ("plan", "export", "load", "verify")),
    ]
    lines = [
        f"{source_bytes / 1e6:,.0f} MB of SQLite, median of {len(rounds)}",
        "",
        "| path | s | x floor |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {median(*phases):.1f} | {median(*phases) / floor:.2f} |" for name, phases in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
