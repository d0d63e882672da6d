"""All paths on one server, in rounds, so that what slows the machine for a while slows them all."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from psycopg2 import sql

from bench import peers
from bench.child import ROOT, Measured, PathFailed, run_child
from bench.common import URL_VARIABLE
from controlplane.embedded import EmbeddedPostgres

OURS = ("plan", "backup", "export", "load", "verify")


@dataclass
class Results:
    """Runs by path, one a round; a path that could not be measured stands in `failures` with the reason."""

    runs: dict[str, list[Measured]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    source_bytes: int = 0
    export_bytes: int = 0


class Contest:
    """`work` must be passable for the server's user. `say` is told what is under way."""

    def __init__(self, server: EmbeddedPostgres, source: Path, work: Path, say: Callable[[str], None]) -> None:
        self.server, self.source, self.work, self.say = server, source, work, say
        self.results = Results(source_bytes=source.stat().st_size)

    def prepare(self, *, with_peers: bool) -> None:
        """Untimed: a first, verified move, which warms caches and from which the floor's ready-made text is taken."""
        self.say("preparing: a first move, and the floor's text")
        with self._database("reference") as database:
            moved = self._path(database, self.work, "plan", "export", "load", "verify")
            self.results.rows = moved.facts["rows"]
            self.results.export_bytes = moved.facts["export_bytes"]
            if "choices" in moved.facts:
                self.results.facts["choices"] = ", ".join(moved.facts["choices"])
            self._module("bench.floor", database, "prepare", "--work", self.work, "--bindir", self.server.bindir)
        self.contenders: dict[str, Callable[[str, Path], Measured]] = {
            "floor": self._floor,
            "ours": self._ours,
            "load": lambda database, folder: self._path(database, self.work, "load"),
            "bare-load": lambda database, folder: self._path(database, self.work, "bare-load"),
            "whole": self._whole,
        }
        if with_peers:
            self._find_peer("pgloader", self._prepare_pgloader)
            self._find_peer("duckdb", self._prepare_duckdb)

    def _find_peer(self, name: str, find: Callable[[], None]) -> None:
        try:
            find()
        except PathFailed as why:
            self._failed(name, str(why))

    def _failed(self, name: str, why: str) -> None:
        self.say(f"  {name}: not measured: {why}")
        self.results.failures.setdefault(name, []).append(why)

    def _prepare_pgloader(self) -> None:
        self.say("looking for pgloader")
        program = peers.find_pgloader()
        self.results.facts["pgloader"] = peers.pgloader_version(program)
        self.contenders["pgloader"] = lambda database, folder: self._pgloader(program, database, folder)

    def _prepare_duckdb(self) -> None:
        self.say("installing DuckDB into an environment of its own")
        python = peers.install_duckdb(self.work / "duckdb")
        self.results.facts["duckdb"] = peers.DUCKDB
        self.contenders["duckdb"] = lambda database, folder: peers.run_duckdb(
            python, self.server, self.source, database, self.work
        )

    def round(self, number: int) -> None:
        """Every path once, each on an empty database; where it begins moves on with each round."""
        names = list(self.contenders)
        start = number % len(names)
        for name in names[start:] + names[:start]:
            folder = self.work / f"round-{number}-{name}"
            folder.mkdir()
            try:
                with self._database("contest") as database:
                    measured = self.contenders[name](database, folder)
            except PathFailed as why:
                self._failed(name, str(why))
                continue
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            self.results.runs.setdefault(name, []).append(measured)
            self.say(f"  {name}: {measured.whole.seconds:.1f} s")

    def samples(self) -> None:
        """Peers too slow for the whole file, once, on a sample of one table."""
        self.say("a sample for Django's loaddata and for .dump")
        for name, run in (("loaddata", peers.run_loaddata), ("dump", peers.run_dump)):
            folder = self.work / name
            folder.mkdir()
            try:
                table = peers.make_sample(self.source, folder / "sample.db")
                with self._database("contest") as database:
                    measured = run(self.server, folder / "sample.db", table, database, folder)
            except PathFailed as why:
                self._failed(name, str(why))
                continue
            self.results.runs[name] = [measured]
            self.say(f"  {name}: {measured.whole.seconds:.1f} s for {peers.SAMPLE_ROWS:,} rows")

    # --- paths ---------------------------------------------------------------------------------------------

    def _floor(self, database: str, folder: Path) -> Measured:
        return self._module("bench.floor", database, "run", "--work", self.work, "--postmaster", str(self.server.pid))

    def _ours(self, database: str, folder: Path) -> Measured:
        return self._path(database, folder, *OURS)

    def _whole(self, database: str, folder: Path) -> Measured:
        return run_whole(self.server, self.source, database, folder)

    def _path(self, database: str, folder: Path, *phases: str) -> Measured:
        return run_phases(self.server, self.source, database, folder, *phases)

    def _module(self, module: str, database: str, *arguments: str | Path) -> Measured:
        environment = {URL_VARIABLE: self.server.url(database)}
        command: list[str | Path] = [sys.executable, "-m", module, *arguments]
        return run_child(command, postmaster=self.server.pid, environment=environment)

    def _pgloader(self, program: Path, database: str, folder: Path) -> Measured:
        measured = peers.run_pgloader(program, self.server, self.source, database, folder)
        arrived = self._count(database)
        if measured.exit_status or arrived < self.results.rows:
            raise PathFailed(f"exit status {measured.exit_status}, {arrived:,} of {self.results.rows:,} rows arrived")
        return measured

    def _count(self, database: str) -> int:
        """Rows of all tables but SQLite's own statistics, which pgloader moves, too."""
        found = self.server.execute(
            "SELECT schemaname, relname FROM pg_stat_user_tables WHERE relname NOT LIKE 'sqlite_stat_'",
            database=database,
        )
        counting = sql.SQL("SELECT count(*) FROM {}")
        return sum(
            self.server.execute(counting.format(sql.Identifier(*name)), database=database)[0][0] for name in found
        )

    @contextlib.contextmanager
    def _database(self, name: str) -> Iterator[str]:
        """An empty one, dropped afterwards, the server's dirty pages written before anything is timed."""
        self.server.drop_database(name)
        self.server.create_database(name)
        self.server.execute("CHECKPOINT")
        try:
            yield name
        finally:
            self.server.drop_database(name)


def run_phases(server: EmbeddedPostgres, source: Path, database: str, folder: Path, *phases: str) -> Measured:
    """Phases of ours in one process; see bench/path.py."""
    command: list[str | Path] = [sys.executable, "-m", "bench.path", *phases, "--source", source, "--work", folder]
    environment = {URL_VARIABLE: server.url(database), "TMPDIR": str(folder)}
    return run_child(
        [*command, "--postmaster", str(server.pid)], postmaster=server.pid, environment=environment, timeout=7200
    )


def run_whole(server: EmbeddedPostgres, source: Path, database: str, folder: Path) -> Measured:
    """The command as a user gives it, from its start to its end: fingerprint, integrity check, plan … verify."""
    environment = headless_environment(server.url(database), folder)
    command: list[str | Path] = [sys.executable, ROOT / "manage.py", "move_database", "--source", source]
    return run_child(command, postmaster=server.pid, environment=environment, timeout=7200)


def headless_environment(url: str, folder: Path) -> dict[str, str]:
    """Nothing of this checkout's own configuration or state."""
    return {
        "TARGET_DATABASE_URL": url,
        "CAUSEWAY_READ_DOTENV": "0",
        "CAUSEWAY_STATE_DIR": str(folder),
        "TMPDIR": str(folder),
    }
