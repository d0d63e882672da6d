"""Speed against the floor and against peers, as ratios in one run: `python -m bench`.

Seconds depend on the machine; ratios between paths that took turns on it hardly do. `--memory` asks instead whether
memory grows with the data. See docs/reference/speed.md, which `--write` brings up to date.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from bench import page
from bench.child import PathFailed
from bench.contest import Contest
from bench.generate import generate
from bench.memory import measure_memory, memory_table
from controlplane.embedded import EmbeddedError, EmbeddedPostgres


def main() -> int:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="causeway-bench-", dir=options.work) as name:
        work = Path(name)
        work.chmod(0o711)  # the server's user must pass through
        try:
            with EmbeddedPostgres(work / "postgres", bindir=options.postgres) as server:
                _measure_memory(server, work, options) if options.memory else _measure_speed(server, work, options)
        except (EmbeddedError, PathFailed) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the generated database; 1 is 400 MB")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; their median counts")
    parser.add_argument("--source", type=Path, help="measure with this SQLite file instead; it is only read")
    parser.add_argument("--postgres", type=Path, metavar="DIR", help="programs of another PostgreSQL, 15 or newer")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), help="where files and server go")
    parser.add_argument("--no-peers", action="store_true", help="only ours and the floor; nothing is installed")
    parser.add_argument("--memory", action="store_true", help="peak memory at each of --scales instead of speed")
    parser.add_argument("--scales", type=_scales, default=(1.0, 10.0), metavar="1,10", help="for --memory")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/reference/speed.md")
    return parser.parse_args()


def _scales(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _measure_speed(server: EmbeddedPostgres, work: Path, options: argparse.Namespace) -> None:
    source = options.source.resolve() if options.source else work / "source.db"
    if options.source is None:
        _say(f"generating at scale {options.scale:g}")
        generate(source, options.scale)
    busy = os.getloadavg()[0]
    contest = Contest(server, source, work, _say)
    contest.prepare(with_peers=not options.no_peers)
    for number in range(options.rounds):
        _say(f"round {number + 1} of {options.rounds}")
        contest.round(number)
    if not options.no_peers:
        contest.samples()
    version = server.execute("SHOW server_version")[0][0]
    text = page.ratios_section(contest.results, rounds=options.rounds, server=version, busy=busy)
    _conclude("ratios", text, options)


def _measure_memory(server: EmbeddedPostgres, work: Path, options: argparse.Namespace) -> None:
    found = measure_memory(server, work, options.scales, _say)
    _conclude("memory", f"{memory_table(found)}\n\n{page.machine()}.", options)


def _conclude(section: str, text: str, options: argparse.Namespace) -> None:
    print(text)
    if options.write:
        page.write_section(section, text)
        _say(f"written to {page.PAGE}")


_BEGUN = time.monotonic()


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGUN:6.0f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
