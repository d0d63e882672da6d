"""Act 1: both applications are rehearsed, and production is what it was before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demo.stage import applications
from demo.stage.opening import Opening
from demo.stage.stage import Stage
from demo.stage.walkthrough.application import Application
from demo.stage.walkthrough.proof import Proofs, digest, postgresql_rows, sqlite_rows
from migrations_app.models import MigrationRun
from migrations_app.models.states import RunKind, RunState


@dataclass(frozen=True)
class Seen:
    """Production as anybody can see it: the files' digests, the rows, the processes."""

    database: str
    configuration: str
    rows: dict[str, int]
    processes: tuple[tuple[str, int], ...]


def play(stage: Stage, proofs: Proofs) -> None:
    """Plan, rehearse, submit, as ana does; then compare."""
    for installation in stage.installations:
        # Its first connection puts the file into WAL mode, whoever asks first (the monitor does, too); from then on
        # nothing but a write changes it.
        Application(installation).counts()
    before = {installation.name: _look(stage, installation.name) for installation in stage.installations}
    opening = Opening(stage.people, stage.console)
    for problem in opening.prepare(stage.applications.values()):
        raise problem
    for name, seen in before.items():
        now = _look(stage, name)
        proofs.hold(now.database == seen.database, f"{name}: its SQLite file is byte for byte what it was")
        proofs.hold(now.configuration == seen.configuration, f"{name}: its configuration is byte for byte what it was")
        proofs.hold(now.processes == seen.processes, f"{name}: the same processes run, none was restarted")
        run = MigrationRun.objects.get(application__name=name, kind=RunKind.REHEARSAL)
        _hold_rehearsal(stage, run, proofs)
        waiting = MigrationRun.objects.get(application__name=name, kind=RunKind.PRODUCTION)
        proofs.hold(waiting.state == RunState.AWAITING_APPROVAL, f"{name}: run {waiting.pk} waits at gate 1")


def _hold_rehearsal(stage: Stage, run: MigrationRun, proofs: Proofs) -> None:
    name = run.application.name
    facts = run.facts
    proofs.hold(
        bool(facts.get("downtime_seconds")) and bool(facts.get("rollback_seconds")),
        f"{name}: measured downtime {facts.get('downtime_seconds')} s, way back {facts.get('rollback_seconds')} s",
    )
    url = stage.applications[name].target_url.reveal()
    proofs.hold(not _has_tables(url), f"{name}: its target in PostgreSQL is still empty")


def _has_tables(url: str) -> bool:
    import psycopg2

    try:
        return sum(postgresql_rows(url).values()) > 0
    except psycopg2.errors.UndefinedTable:
        return False


def _look(stage: Stage, name: str) -> Seen:
    installation = next(found for found in stage.installations if found.name == name)
    reality = applications.reality(stage.applications[name])
    return Seen(
        database=_digest_with_wal(installation.source),
        configuration=digest(installation.dotenv),
        rows=sqlite_rows(installation.source),
        processes=tuple((process.name, process.pid) for process in reality.processes),
    )


def _digest_with_wal(path: Path) -> str:
    wal = path.with_name(f"{path.name}-wal")
    return digest(path) + (digest(wal) if wal.exists() and wal.stat().st_size else "")
