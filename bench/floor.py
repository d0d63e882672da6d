"""The floor: what PostgreSQL needs for the same tables at best. `python -m bench.floor prepare|run --work DIR`.

`prepare` takes a loaded database apart, untimed: its tables' DDL, its rows as the text that COPY writes, its keys and
indexes. `run` makes an equal database of that: tables, COPY on two connections, primary and unique keys and then
indexes on two connections, foreign keys, ANALYZE. No tool that starts at a SQLite file can be faster on this server.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from bench.common import JOBS, URL_VARIABLE
from bench.phases import Phases
from migrations_app.engine.target.target_url import parse_target_url

PIECE_BYTES = 32 << 20  # one COPY, one transaction
_BLOCK = 256 << 10

_TABLES = """SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY pg_table_size(c.oid) DESC"""
_KEYS = """SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', k.conrelid::regclass, k.conname,
                         pg_get_constraintdef(k.oid))
             FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'public' AND k.contype = ANY(%s) ORDER BY pg_table_size(c.oid) DESC, k.conname"""
_INDEXES = """SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'public'
                 AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype <> 'f')
               ORDER BY pg_table_size(c.oid) DESC, i.indexrelid"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description=__doc__)
    parser.add_argument("what", choices=["prepare", "run", "objects"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--bindir", type=Path, help="of the server's own programs, for prepare")
    parser.add_argument("--postmaster", type=int, default=0)
    options = parser.parse_args()
    folder = options.work / "floor"
    if options.what == "prepare":
        prepare(folder, options.bindir)
    elif options.what == "objects":
        build_objects(_recipe(folder))
    else:
        phases = Phases(options.postmaster)
        run(folder, phases)
        phases.tell()
    return 0


def _connect() -> Any:
    connection = psycopg2.connect(os.environ[URL_VARIABLE])
    connection.autocommit = True
    return connection


def _recipe(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "recipe.json").read_text())
    return found


def prepare(folder: Path, bindir: Path) -> None:
    """Write recipe.json and the rows of the database that the environment names."""
    folder.mkdir()
    connection = _connect()
    with connection.cursor() as cursor:
        cursor.execute("SET search_path = pg_catalog")  # so that names come with their schema
        names = _column(cursor, _TABLES)
        recipe = {
            "ddl": _ddl(bindir),
            "tables": names,
            "pieces": [piece for number, name in enumerate(names) for piece in _copy_out(cursor, folder, number, name)],
            "keys": _column(cursor, _KEYS, (["p", "u"],)),
            "indexes": _column(cursor, _INDEXES),
            "foreign_keys": _column(cursor, _KEYS, (["f"],)),
        }
    connection.close()
    (folder / "recipe.json").write_text(json.dumps(recipe))


def _column(cursor: Any, statement: str, values: tuple[Any, ...] | None = None) -> list[str]:
    cursor.execute(statement, values)
    return [row[0] for row in cursor.fetchall()]


def _ddl(bindir: Path) -> str:
    """CREATE TABLE and what goes with it, as pg_dump writes it before the rows."""
    url = parse_target_url(os.environ[URL_VARIABLE])
    where = ["--host", url.host, "--port", str(url.port), "--username", url.user]
    dump = subprocess.run(
        [bindir / "pg_dump", *where, "--schema=public", "--section=pre-data", "--no-owner", url.database],
        env={**os.environ, "PGPASSWORD": url.password},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # Newer ones begin and end with commands of psql, and make the schema that every database has.
    return "\n".join(
        line
        for line in dump.splitlines()
        if not line.startswith(("\\", "CREATE SCHEMA", "SELECT pg_catalog.set_config"))
    )


class _Pieces:
    """A file to COPY to, which begins a new one at the end of a row when a piece is full."""

    def __init__(self, folder: Path, number: int, table: str) -> None:
        self.made: list[tuple[str, str]] = []
        self._folder, self._number, self._table = folder, number, table
        self._file: Any = None

    def write(self, row: bytes) -> int:
        """The server sends a row at a time."""
        if self._file is None:
            name = f"{self._number:04d}-{len(self.made):04d}.copy"
            self._file = (self._folder / name).open("wb")
            self.made.append((self._table, name))
        self._file.write(row)
        if self._file.tell() >= PIECE_BYTES:
            self.close()
        return len(row)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _copy_out(cursor: Any, folder: Path, number: int, table: str) -> list[tuple[str, str]]:
    pieces = _Pieces(folder, number, table)
    cursor.copy_expert(sql.SQL("COPY public.{} TO STDOUT").format(sql.Identifier(table)), pieces)
    pieces.close()
    return pieces.made


def run(folder: Path, phases: Phases) -> None:
    recipe = _recipe(folder)
    with phases.phase("floor"):
        with phases.phase("floor.load"):
            _execute(recipe["ddl"])
            _on_two(_copy_in(folder, table, name) for table, name in recipe["pieces"])
        with phases.phase("floor.objects"):
            build_objects(recipe)


def build_objects(recipe: dict[str, Any]) -> None:
    """Keys, indexes and statistics; also what is left to do behind a peer that brings rows alone."""
    for statements in (recipe["keys"], recipe["indexes"], recipe["foreign_keys"]):
        _on_two(_statement(one) for one in statements)
    tables = [sql.SQL("ANALYZE public.{}").format(sql.Identifier(table)) for table in recipe["tables"]]
    _on_two(_statement(one) for one in tables)


def _execute(statement: str) -> None:
    connection = _connect()
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def _statement(statement: str | sql.Composed) -> Callable[[Any], None]:
    return lambda cursor: cursor.execute(statement)


def _copy_in(folder: Path, table: str, name: str) -> Callable[[Any], None]:
    def copy(cursor: Any) -> None:
        with (folder / name).open("rb", buffering=0) as rows:
            cursor.copy_expert(sql.SQL("COPY public.{} FROM STDIN").format(sql.Identifier(table)), rows, size=_BLOCK)

    return copy


def _on_two(work: Iterable[Callable[[Any], None]]) -> None:
    """Do it on two connections, each taking the next when it is free. Raises what the first to fail raised."""
    todo: queue.SimpleQueue[Callable[[Any], None]] = queue.SimpleQueue()
    for one in work:
        todo.put(one)
    failed: list[psycopg2.Error] = []

    def worker() -> None:
        connection = _connect()
        try:
            with connection.cursor() as cursor:
                while not failed:
                    todo.get_nowait()(cursor)
        except queue.Empty:
            return
        except psycopg2.Error as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=worker) for _ in range(JOBS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


if __name__ == "__main__":
    sys.exit(main())
