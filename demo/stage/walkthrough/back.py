"""Act 3: yukyu-west crosses, rows are written on PostgreSQL, and two people take it back to SQLite all the same."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from demo.stage.progress import reach
from demo.stage.stage import Stage
from demo.stage.walkthrough import journey
from demo.stage.walkthrough.application import ROWS_OF_A_REQUEST, Application
from demo.stage.walkthrough.cast import Cast
from demo.stage.walkthrough.proof import Proofs, digest, sqlite_rows
from migrations_app.models import MigrationRun
from migrations_app.models.states import Price, RunKind, RunState
from migrations_app.services.price import price_of

REQUESTS = 3
BACK_SECONDS = 180


def play(stage: Stage, cast: Cast, proofs: Proofs, name: str) -> None:
    """Cross, write, price, refuse what must be refused, roll back, compare."""
    run = MigrationRun.objects.filter(application__name=name, kind=RunKind.PRODUCTION).order_by("-id")[0]
    cast.sign("mei", run, "plan", "Rehearsed; the branch agrees.")
    journey.start_and_prepare(stage, cast, run)
    rows = journey.cross(stage, cast, proofs, run)
    installation = journey.installation_of(stage, name)
    at_the_stop = digest(installation.source)
    application = Application(installation)
    proofs.hold(price_of(run).price == Price.R2, "before anything is written, the way back costs nothing (R2)")
    filed = application.file_leave(REQUESTS, "written on PostgreSQL, before the way back")
    written = REQUESTS * ROWS_OF_A_REQUEST
    tag = price_of(run)
    proofs.hold(
        tag.price == Price.R3 and tag.rows == written,
        f"{REQUESTS} requests were filed; the way back now costs {written} rows (R3)",
        f"It says {tag.price} and {tag.rows}.",
    )
    page = cast["ana"].get(f"/runs/{run.pk}/roll-back/")
    proofs.hold(f"give up {written} rows" in page.text, f"the page says so before the click: {written} rows")
    _refused_first(cast, proofs, run, written)
    cast.ask_rollback("ana", run, "The branch's printers reject the new slips.", str(written))
    run.refresh_from_db()
    proofs.hold(run.state == RunState.WAITING, "nothing happens until a second person agrees")
    cast.agree_rollback("ben", run)
    seconds = reach(run, (RunState.ROLLED_BACK,), BACK_SECONDS, stage.console)
    stage.console.say(f"Rolled back in {seconds:.1f} s")
    proofs.hold(application.database() == "sqlite", f"{name} says itself that it runs on sqlite again")
    proofs.hold(sqlite_rows(installation.source) == rows, "SQLite has every row that it had at the stop")
    proofs.hold(
        digest(installation.source) == at_the_stop or not any(application.has_request(number) for number in filed),
        "what was written on PostgreSQL is not among them",
    )
    _hold_delta(proofs, run, written)


def _refused_first(cast: Cast, proofs: Proofs, run: MigrationRun, written: int) -> None:
    """A wrong number is refused, and so is the viewer."""
    wrong = {"do": "request", "reason": "Too hasty.", "typed_name": run.application.name, "rows_typed": "1"}
    cast.is_refused("ana", run, "roll-back/", wrong)
    cast.is_refused("dana", run, "roll-back/", {**wrong, "rows_typed": str(written)})
    proofs.hold(not run.rollback_requests.exists(), "a wrong number of rows, or a viewer, asks for nothing")


def _hold_delta(proofs: Proofs, run: MigrationRun, written: int) -> None:
    """The file of the rows that left holds each of them."""
    artifact = run.artifacts.get(kind="delta")
    path = Path(artifact.path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    changes = Counter(line["table"] for line in lines if line.get("table"))
    by_table = ", ".join(f"{table} {count}" for table, count in sorted(changes.items()))
    proofs.hold(digest(path) == artifact.sha256, f"the file of what left, {path.name}, has the digest on record")
    proofs.hold(sum(changes.values()) == written, f"it holds all {written} rows: {by_table}", str(lines[:1])[:200])
