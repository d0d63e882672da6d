"""Other tools on the same file and server. What can't be had, or fails, is a PathFailed with its reason."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from bench.child import Measured, PathFailed, run_child
from bench.common import URL_VARIABLE
from controlplane.embedded import EmbeddedPostgres

DUCKDB = "1.5.5"
SAMPLE_ROWS = 5_000
_PGLOADER_SECONDS = 300


# --- pgloader ----------------------------------------------------------------------------------------------


def find_pgloader(*, install: bool = True) -> Path:
    """pgloader on PATH, else (as root on Debian) installed. Raises PathFailed."""
    found = shutil.which("pgloader")
    if found is None and install and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "pgloader"]):
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            if done.returncode:
                raise PathFailed(f"{' '.join(command)} failed")
        found = shutil.which("pgloader")
    if found is None:
        raise PathFailed("pgloader is not installed, and only root on Debian can have it installed here")
    return Path(found)


def pgloader_version(program: Path) -> str:
    """What it calls itself, and Debian's number beside it where that is the packager."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    version = re.search(r'"([^"]+)"', said)
    packaged = ""
    if shutil.which("dpkg-query"):
        query = ["dpkg-query", "-W", "-f", "${Version}", "pgloader"]
        packaged = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return f"{version[1] if version else 'unknown'}{f' (Debian {packaged})' if packaged else ''}"


def run_pgloader(
    program: Path,
    server: EmbeddedPostgres,
    source: Path,
    database: str,
    work: Path,
    *,
    timeout: float = _PGLOADER_SECONDS,
) -> Measured:
    """Its default way: LOAD DATABASE, nothing else said. Its own status is in the answer; never raised."""
    script = work / "pgloader.load"  # a file, since arguments can be seen by all
    script.touch(mode=0o600)
    script.write_text(f"LOAD DATABASE FROM sqlite://{source}\n INTO {server.url(database)};\n")
    logs = work / "pgloader"
    command: list[str | Path] = [program, "--root-dir", logs, "--logfile", work / "pgloader.log", script]
    return run_child(command, postmaster=server.pid, timeout=timeout, strict=False)


# --- DuckDB ------------------------------------------------------------------------------------------------


def install_duckdb(folder: Path) -> Path:
    """A Python with DuckDB and its two extensions, from PyPI, in an environment of its own. Raises PathFailed."""
    python = folder / "bin" / "python"
    if python.exists():
        return python
    packages = ("duckdb", "duckdb-extension-sqlite-scanner", "duckdb-extension-postgres-scanner")
    pinned = [f"{package}=={DUCKDB}" for package in packages]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", *pinned],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise PathFailed(
                f"DuckDB {DUCKDB} with its sqlite and postgres extensions could not be installed from PyPI"
            )
    return python


def run_duckdb(python: Path, server: EmbeddedPostgres, source: Path, database: str, work: Path) -> Measured:
    """Rows by DuckDB into tables that are there, two threads; keys and indexes behind it as in the floor."""
    arguments: list[str | Path] = [Path(__file__).with_name("duckdb_rows.py"), source, work / "floor" / "recipe.json"]
    environment = {URL_VARIABLE: server.url(database)}
    rows = run_child([python, *arguments], postmaster=server.pid, environment=environment)
    behind: list[str | Path] = [sys.executable, "-m", "bench.floor", "objects", "--work", work]
    objects = run_child(behind, postmaster=server.pid, environment=environment)
    return Measured(rows.whole, 0, "", {"load": rows.whole, "objects": objects.whole}, {})


# --- ways that only a sample of the rows can be asked of ------------------------------------------------------


def make_sample(source: Path, sample: Path) -> str:
    """The first rows of the largest table with an integer key, alone in a file. Returns its name."""
    with contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as connection:
        tables = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%INTEGER PRIMARY KEY%'"
        ).fetchall()
        if not tables:
            raise PathFailed("no table of the source has an integer key, which the sample needs")
        counts: dict[str, int] = {
            name: connection.execute(f"SELECT max(rowid) FROM {_quoted(name)}").fetchone()[0] or 0 for name, _ in tables
        }
    table = max(counts, key=lambda name: counts[name])
    sample.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(sample)) as connection:
        connection.execute("ATTACH ? AS whole", (str(source),))
        connection.execute(dict(tables)[table])
        connection.execute(
            f"INSERT INTO main.{_quoted(table)} SELECT * FROM whole.{_quoted(table)} ORDER BY rowid LIMIT {SAMPLE_ROWS}"
        )
        connection.commit()
    return table


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def run_loaddata(server: EmbeddedPostgres, sample: Path, table: str, database: str, work: Path) -> Measured:
    """Django's dumpdata and loaddata, with models as its own inspectdb writes them."""
    environment = {URL_VARIABLE: server.url(database)}
    command: list[str | Path] = [sys.executable, "-m", "bench.loaddata", sample, table, work / "loaddata"]
    return run_child(command, postmaster=server.pid, environment=environment)


def run_dump(server: EmbeddedPostgres, sample: Path, table: str, database: str, work: Path) -> Measured:
    """The INSERT statements that sqlite3's .dump writes, through psql, into a table that is there."""
    script = work / "dump.sql"
    with contextlib.closing(sqlite3.connect(sample)) as connection, script.open("w") as out:
        columns = connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall()
        types = {"INTEGER": "bigint", "REAL": "double precision"}
        defined = ", ".join(f"{_quoted(name)} {types.get(kind.upper(), 'text')}" for name, kind in columns)
        out.write(f"CREATE TABLE {_quoted(table)} ({defined});\n")
        # .dump writes CREATE TABLE in SQLite's words, which PostgreSQL refuses: its rows and its transaction are kept.
        out.writelines(
            f"{line}\n"
            for line in connection.iterdump()
            if line.startswith((f'INSERT INTO "{table}"', "BEGIN", "COMMIT"))
        )
    psql = server.bindir / "psql"
    command = [
        psql if psql.exists() else "psql",
        "--quiet",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        script,
        server.url(database).rpartition("/")[2],
    ]
    return run_child(command, postmaster=server.pid, environment=_psql_environment(server))


def _psql_environment(server: EmbeddedPostgres) -> dict[str, str]:
    password = (server.home / "password").read_text()
    return {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": server.superuser, "PGPASSWORD": password}
