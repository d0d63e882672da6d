"""The way of a production run up to a gate, as several acts need it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from demo.stage.progress import Follower, refuse_if_stopped
from demo.stage.samples import Installation
from demo.stage.stage import Stage
from demo.stage.walkthrough.application import Application
from demo.stage.walkthrough.cast import Cast
from demo.stage.walkthrough.proof import Proofs, sqlite_rows
from migrations_app.models import MigrationRun
from migrations_app.models.states import GateState, RunState

PREPARE_SECONDS = 180
CROSS_SECONDS = 300


def installation_of(stage: Stage, name: str) -> Installation:
    return next(found for found in stage.installations if found.name == name)


def wait_for_gate(stage: Stage, run: MigrationRun, code: str, seconds: float) -> float:
    """Until the run waits at that gate; the seconds. Raises StageError when it stops before."""
    gate = run.gates.get(code=code)
    follower = Follower([run], stage.console)

    def there() -> bool:
        run.refresh_from_db()
        follower.look()
        refuse_if_stopped(run)
        gate.refresh_from_db()
        return run.state == RunState.WAITING and gate.state == GateState.OPEN

    return stage.console.wait_for(f"run {run.pk} to wait at “{gate.get_code_display()}”", there, seconds)


def start_and_prepare(stage: Stage, cast: Cast, run: MigrationRun) -> None:
    """From approved to gate 2."""
    cast.act("ana", run, "start")
    wait_for_gate(stage, run, "go", PREPARE_SECONDS)
    record_items(cast, run, {}, phase="prepare")
    stage.console.say(f"Run {run.pk}: preflight, target, baseline, backup and export are done; gate 2 is open")


def record_items(cast: Cast, run: MigrationRun, seen: Mapping[str, str], phase: str = "") -> None:
    """QA and ops record every item that is theirs (of one phase), with what was seen where that is known."""
    items = run.items.exclude(prover="system").exclude(state__in=("passed", "not_applicable", "waived"))
    for item in items.filter(phase=phase) if phase else items.exclude(phase="sign_off"):
        person = "chika" if item.prover == "qa" else "ana"
        cast.record(person, run, item.code, seen.get(item.code, f"{item.title}: looked at, as described."))


def cross(stage: Stage, cast: Cast, proofs: Proofs, run: MigrationRun) -> dict[str, int]:
    """Gate 2 by two people, then the cut-over up to gate 3; the rows at the stop."""
    installation = installation_of(stage, run.application.name)
    rows = sqlite_rows(installation.source)
    name = run.application.name
    cast.sign("ben", run, "go", "Rehearsed, backed up; go.", typed_name=name)
    run.refresh_from_db()
    proofs.hold(run.state == RunState.WAITING, "one signature opens nothing: the run still waits at gate 2")
    cast.sign("ana", run, "go", "The window is ours; go.", typed_name=name)
    seconds = wait_for_gate(stage, run, "qa", CROSS_SECONDS)
    application = Application(installation)
    proofs.hold(application.database() == "postgresql", f"{name} says itself that it runs on postgresql")
    counts = application.counts()
    proofs.hold(
        all(counts[table] == rows[table] for table in counts),
        f"its API gives every row that SQLite had: {counts}",
    )
    stage.console.say(f"{name}: cut over in {seconds:.1f} s; users were without it for {downtime(run):.1f} s")
    return rows


def downtime(run: MigrationRun) -> float:
    """Seconds between the stop and the moment when the application was up again."""
    down: datetime | None = run.down_since
    up: datetime | None = run.up_since
    return (up - down).total_seconds() if up and down else 0.0
