"""How long a writing application stands still at a live crossing: `python -m bench.crossing --sizes 100,1000`.

Beside it, in the same run: stop-copy-start and the runbook's way. Goal: under 250 ms plus the application's own
restart, whatever the size. See docs/reference/online-speed.md, which `--write` brings up to date.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.crossing import offline, page
from bench.crossing.application import Load
from bench.crossing.measure import Cost, Stopped, measure_capture, measure_live, measure_stopped
from bench.crossing.stage import Stage
from controlplane.embedded import EmbeddedPostgres


def main() -> int:
    options = _options()
    load = Load(threads=options.threads, per_second=options.per_second)
    options.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="causeway-crossing-", dir=options.work) as name:
        work = Path(name)
        work.chmod(0o711)  # the server's user must pass through
        busy = os.getloadavg()[0]
        with EmbeddedPostgres(work / "postgres", bindir=options.postgres) as server:
            rounds = [_round(server, work, size, load, options) for size in options.sizes]
            version = server.execute("SHOW server_version")[0][0]
        text = page.section(rounds, _cost(work, load, options), load, server=version, busy=busy)
    print(text)
    if options.write:
        page.write(text)
    return 0 if all(each.live.ledger.right and each.live.equal for each in rounds) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.crossing", description=__doc__)
    parser.add_argument("--sizes", type=_sizes, default=(100.0, 1000.0), metavar="100,1000", help="in MB of SQLite")
    parser.add_argument("--per-second", type=int, default=300, help="transactions of the application")
    parser.add_argument("--threads", type=int, default=3, help="of the application")
    parser.add_argument("--rounds", type=int, default=3, help="of measuring capture's cost; 0 leaves it out")
    parser.add_argument("--no-peers", action="store_true", help="only the live crossing")
    parser.add_argument("--postgres", type=Path, metavar="DIR", help="programs of another PostgreSQL, 15 or newer")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), help="where files and server go")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/reference/online-speed.md")
    return parser.parse_args()


def _sizes(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _round(
    server: EmbeddedPostgres, work: Path, megabytes: float, load: Load, options: argparse.Namespace
) -> page.Round:
    _say(f"online, {megabytes:g} MB")
    live = measure_live(server, work, megabytes, load, _say)

    def stopped(name: str, way: Callable[[Stage], None]) -> Stopped | None:
        if options.no_peers:
            return None
        _say(f"{name}, {megabytes:g} MB")
        return measure_stopped(server, work, megabytes, load, way)

    return page.Round(live, stopped("stop, copy, start", offline.by_copy), stopped("runbook", offline.by_json))


def _cost(work: Path, load: Load, options: argparse.Namespace) -> Cost | None:
    if not options.rounds:
        return None
    _say("capture's cost")
    return measure_capture(work, load, rounds=options.rounds, seconds=4.0)


_BEGAN = time.monotonic()


def _say(what: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:7.1f} s] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
