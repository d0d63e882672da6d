"""A file through pgloader with its default options, and what of it has arrived."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg2

from bench import peers
from bench.cases.arrival import Arrival, Unreadable, compare
from bench.child import PathFailed
from controlplane.embedded import EmbeddedPostgres

_SECONDS = 120.0
_DATABASE = "theirs"


@dataclass(frozen=True)
class TheirAttempt:
    """`status` None: it didn't end in time. `arrival` None: there is nothing to compare with, and `why` says so."""

    status: int | None
    arrival: Arrival | None
    why: str = ""


def move(program: Path, server: EmbeddedPostgres, source: Path, yardstick: Path, work: Path) -> TheirAttempt:
    """`yardstick` is another copy of the file, which no tool has opened."""
    server.drop_database(_DATABASE)
    server.create_database(_DATABASE)
    status: int | None
    try:
        status, why = peers.run_pgloader(program, server, source, _DATABASE, work, timeout=_SECONDS).exit_status, ""
    except PathFailed as failed:
        status, why = None, str(failed)
    try:
        # It puts all names in lower case.
        return TheirAttempt(status, compare(server, _DATABASE, yardstick, {}, str.lower), why)
    except (Unreadable, psycopg2.Error) as error:
        return TheirAttempt(status, None, why or f"nothing to compare: {' '.join(str(error).split())}")
