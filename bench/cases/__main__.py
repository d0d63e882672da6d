"""Every file of a folder through the product and, beside it, through pgloader: `python -m bench.cases DIR`.

See docs/reference/cases.md. No file is opened where it lies.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import psycopg2

from bench import peers
from bench.cases import page, source_facts, theirs
from bench.cases.arrival import Arrival, compare
from bench.cases.files import copy_case, find_files
from bench.cases.ours import Attempt, Mover
from bench.cases.page import Case
from bench.cases.source_facts import SourceFacts, Unreadable
from bench.child import PathFailed
from controlplane.embedded import EmbeddedError, EmbeddedPostgres


def main() -> int:
    options = _options()
    files = [path for folder in options.folders for path in find_files(folder)]
    if not files:
        print(f"No files in {', '.join(map(str, options.folders))}.", file=sys.stderr)
        return 1
    try:
        pgloader = peers.find_pgloader() if options.pgloader else None
        with tempfile.TemporaryDirectory(prefix="causeway-cases-") as name:
            work = Path(name)
            work.chmod(0o711)  # the server's user must pass through
            # Nothing is timed here, and a crash of the machine costs nothing: no need to sync.
            with EmbeddedPostgres(work / "postgres", bindir=options.postgres, options={"fsync": "off"}) as server:
                cases = _Cases(server, work, pgloader)
                done = cases.run_all(files)
                version = server.execute("SHOW server_version")[0][0]
    except (EmbeddedError, PathFailed) as error:
        print(f"bench.cases: {error}", file=sys.stderr)
        return 1
    text = page.render(done, server=version, pgloader=peers.pgloader_version(pgloader) if pgloader else "")
    if options.report:
        options.report.write_text(text)
    if options.write:
        page.write(text)
    if not (options.report or options.write):
        print(text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.cases", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="subfolders included")
    parser.add_argument("--pgloader", action="store_true", help="run pgloader beside it")
    parser.add_argument("--postgres", type=Path, metavar="DIR", help="programs of another PostgreSQL, 15 or newer")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table to this file")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reference/cases.md")
    return parser.parse_args()


class _Cases:
    def __init__(self, server: EmbeddedPostgres, work: Path, pgloader: Path | None) -> None:
        self._server, self._work, self._pgloader = server, work, pgloader
        self._begun = time.monotonic()

    def run_all(self, files: list[Path]) -> list[Case]:
        """All of them, or those until Ctrl-C; a fault in one is a case that died, and the others go on."""
        done: list[Case] = []
        try:
            for number, path in enumerate(files, 1):
                try:
                    case = self.run(path, self._work / f"case-{number}")
                except (psycopg2.Error, OSError, ValueError) as error:
                    died = Attempt({}, (), f"the measurement, not the product: {type(error).__name__}")
                    case = Case(path.name, None, died, None, None, None)
                done.append(case)
                outcome = case.first.outcome + (f", then {case.second.outcome}" if case.second else "")
                spent = time.monotonic() - self._begun
                print(
                    f"[{spent:5.0f} s] {number}/{len(files)} {path.name}: {outcome} {case.first.died}", file=sys.stderr
                )
        except KeyboardInterrupt:
            print(f"Stopped after {len(done)} of {len(files)} files.", file=sys.stderr)
        return done

    def run(self, path: Path, folder: Path) -> Case:
        """One file, of which every tool gets a copy of its own."""
        try:
            yardstick = copy_case(path, folder / "yardstick")
            facts = _read_facts(copy_case(path, folder / "facts"))
            first, second = Mover(self._server, folder).move(copy_case(path, folder / "ours"))
            arrival = self._our_arrival(first, second, yardstick)
            attempt = self._theirs(path, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return Case(path.name, facts, first, second, arrival, attempt)

    def _our_arrival(self, first: Attempt, second: Attempt | None, yardstick: Path) -> Arrival | None:
        if second is not None or first.outcome != "verified":
            return None
        try:
            return compare(self._server, Mover.database, yardstick, first.target_names, str)
        except (Unreadable, psycopg2.Error) as error:
            print(f"  the outside rule has nothing to say: {error}", file=sys.stderr)
            return None

    def _theirs(self, path: Path, folder: Path) -> theirs.TheirAttempt | None:
        if self._pgloader is None:
            return None
        source = copy_case(path, folder / "theirs")
        yardstick = copy_case(path, folder / "their-yardstick")
        return theirs.move(self._pgloader, self._server, source, yardstick, folder)


def _read_facts(path: Path) -> SourceFacts | None:
    try:
        with source_facts.opened(path) as connection:
            return source_facts.read_facts(connection)
    except Unreadable:
        return None


if __name__ == "__main__":
    sys.exit(main())
