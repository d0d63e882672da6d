"""Act 4: the day that Causeway is down. rollback.sh alone takes the application back; later Causeway sees it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from demo.stage import environment
from demo.stage.errors import StageError
from demo.stage.progress import reach
from demo.stage.stage import Stage
from demo.stage.walkthrough import journey
from demo.stage.walkthrough.application import Application
from demo.stage.walkthrough.cast import Cast
from demo.stage.walkthrough.proof import Proofs, sqlite_rows
from migrations_app.applications.commands import minimal_environment
from migrations_app.applications.supervisor import LIFELINE_VARIABLE
from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import RunKind, RunState

SCRIPT_SECONDS = 180
REALITY_SECONDS = 60
BACK_SECONDS = 180


def play(stage: Stage, cast: Cast, proofs: Proofs, name: str) -> None:
    """A third run, cut over; Causeway stopped; the script; Causeway up again."""
    run = _third_run(cast, name)
    cast.sign("mei", run, "plan", "The printers are mended; once more.")
    journey.start_and_prepare(stage, cast, run)
    rows = journey.cross(stage, cast, proofs, run)
    script = next(Path(stage.home.folder("artifacts")).glob(f"{name}/run-{run.pk}/rollback.sh"), None)
    proofs.hold(script is not None, "rollback.sh lies beside the final backup")
    stage.stop_causeway()
    stage.console.say("Causeway is down: web, worker, beat and broker are stopped")
    application = Application(journey.installation_of(stage, name))
    proofs.hold(application.database() == "postgresql", f"{name} goes on without Causeway, on postgresql")
    _run_script(stage, Path(str(script)))
    installation = journey.installation_of(stage, name)
    proofs.hold(application.database() == "sqlite", f"after rollback.sh {name} says itself that it runs on sqlite")
    proofs.hold(sqlite_rows(installation.source) == rows, "SQLite has every row that it had at the stop")
    counts = application.counts()
    proofs.hold(all(counts[table] == rows[table] for table in counts), f"its API gives every row: {counts}")
    filed = application.file_leave(1, "written on SQLite, after rollback.sh")[0]
    stage.console.say(f"A user goes on: leave request {filed} is written on SQLite")
    stage.start_causeway()
    stage.console.say("Causeway is up again")
    _see_what_is_true(stage, cast, proofs, run)
    proofs.hold(application.database() == "sqlite", f"run {run.pk} ends as rolled back, the application on sqlite")
    proofs.hold(application.has_request(filed), f"leave request {filed}, written after rollback.sh, is still there")
    now = sqlite_rows(installation.source)
    proofs.hold(now["leave_requests"] == rows["leave_requests"] + 1, "and no other row came or went")


def _third_run(cast: Cast, name: str) -> MigrationRun:
    plan = MigrationPlan.objects.filter(application__name=name, state="submitted").order_by("-revision")[0]
    number = cast.create_run("ana", plan.pk, RunKind.PRODUCTION)
    run = MigrationRun.objects.get(pk=number)
    cast.act("ana", run, "submit")
    return run


def _run_script(stage: Stage, script: Path) -> None:
    """As an operator would, at the machine. Raises StageError walkthrough.script when it doesn't end with 0."""
    given = minimal_environment({LIFELINE_VARIABLE: environment.lifeline()})
    try:
        done = subprocess.run(
            ["sh", str(script)], env=given, cwd="/", capture_output=True, text=True, timeout=SCRIPT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise StageError("walkthrough.script", "rollback.sh took too long.", f"Run it by hand: {script}") from None
    for line in done.stdout.splitlines():
        stage.console.plain(f"             | {line}")
    if done.returncode != 0:
        raise StageError("walkthrough.script", f"rollback.sh ended with {done.returncode}.", done.stderr[-400:])


def _see_what_is_true(stage: Stage, cast: Cast, proofs: Proofs, run: MigrationRun) -> None:
    """The probe says sqlite; then the run is ended the way that fits: rolled back, at no cost."""

    def says_sqlite() -> bool:
        run.refresh_from_db()
        return bool((run.reality or {}).get("application", {}).get("configuration") == "sqlite")

    stage.console.wait_for(f"run {run.pk} to show what is true", says_sqlite, REALITY_SECONDS)
    shown = run.reality["application"]
    proofs.hold(
        shown["configuration"] == "sqlite" and shown["state"] == "up",
        f"the run's page shows what is true: configuration {shown['configuration']}, application {shown['state']}",
    )
    cast.ask_rollback("ana", run, "rollback.sh took it back while Causeway was down.", "")
    reach(run, (RunState.ROLLED_BACK,), BACK_SECONDS, stage.console)
