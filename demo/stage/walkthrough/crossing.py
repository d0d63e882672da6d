"""Act 2: yukyu crosses for good."""

from __future__ import annotations

from demo.stage.errors import StageError
from demo.stage.progress import reach
from demo.stage.stage import Stage
from demo.stage.walkthrough import journey
from demo.stage.walkthrough.application import Application
from demo.stage.walkthrough.cast import Cast
from demo.stage.walkthrough.proof import Proofs, digest, postgresql_rows, sqlite_rows
from demo.stage.walkthrough.verification import verify_by_hand
from migrations_app.models import MigrationRun
from migrations_app.models.states import RunKind, RunState

SOAK_SECONDS = 120


def play(stage: Stage, cast: Cast, proofs: Proofs, name: str) -> None:
    """From the approval to the sign-off."""
    run = MigrationRun.objects.get(application__name=name, kind=RunKind.PRODUCTION)
    _approve(cast, proofs, run)
    journey.start_and_prepare(stage, cast, run)
    rows = journey.cross(stage, cast, proofs, run)
    installation = journey.installation_of(stage, name)
    at_the_stop = digest(installation.source)
    verify_by_hand(stage, proofs, run)
    application = Application(installation)
    filed = application.file_leave(1, "written on PostgreSQL")[0]
    proofs.hold(application.has_request(filed), f"a leave request, number {filed}, is written and read on PostgreSQL")
    proofs.hold(digest(installation.source) == at_the_stop, "the SQLite file has not changed since the stop")
    _accept(stage, cast, run, application)
    _sign_off(stage, cast, proofs, run)
    now = postgresql_rows(run.application.target_url.reveal())
    expected = {**rows, "leave_requests": rows["leave_requests"] + 1}
    expected["yukyu_usage_details"] += 1
    proofs.hold(now == expected, "PostgreSQL has every row of SQLite and the request that was filed since")
    proofs.hold(sqlite_rows(installation.source) == rows, "SQLite still has what it had at the stop")


def _approve(cast: Cast, proofs: Proofs, run: MigrationRun) -> None:
    """Gate 1: nobody starts without it, the author can't give it, ben does."""
    digests = {"role": "lead", "plan_digest": run.plan.digest, "evidence_digest": "0" * 64, "reason": "Mine is fine."}
    cast.is_refused("ana", run, "sign/plan/", digests)
    cast.is_refused("ana", run, "do/start/", {})
    cast.is_refused("dana", run, "do/start/", {})
    run.refresh_from_db()
    proofs.hold(run.state == RunState.AWAITING_APPROVAL, "after these refusals the run waits at gate 1 as before")
    cast.sign("ben", run, "plan", "Read the mapping and the rehearsal's report.")
    run.refresh_from_db()
    proofs.hold(run.state == RunState.APPROVED, f"run {run.pk} is approved")


def _accept(stage: Stage, cast: Cast, run: MigrationRun, application: Application) -> None:
    """QA tries what the checklist asks for, records what was seen, and accepts."""
    seen = _try_out(application)
    journey.record_items(cast, run, seen)
    cast.sign("chika", run, "qa", "All results recorded; accepted.")


def _try_out(application: Application) -> dict[str, str]:
    """What a tester sees, by item. Raises StageError walkthrough.qa."""
    page = application.get("/")
    text = page.body.decode()
    filtered = application.get("/?year=2024")
    lines = application.csv_lines()
    counts = application.counts()
    if page.status != 200 or page.seconds > 2 or filtered.status != 200 or text.count("<svg") < 2:
        raise StageError("walkthrough.qa", "The dashboard is slow or incomplete.", text[:200])
    if lines != counts["employees"]:
        raise StageError("walkthrough.qa", f"The CSV has {lines} rows, the API {counts['employees']}.", "")
    return {
        "V01": f"The dashboard opened in {page.seconds * 1000:.0f} ms.",
        "V02": f"{counts['employees']} leave accounts and {counts['leave_requests']} requests are shown.",
        "V03": f"{counts['genzai']} genzai employees are shown: complete.",
        "V04": f"{counts['ukeoi']} ukeoi employees are shown: complete.",
        "V05": f"{text.count('<svg')} charts, none empty.",
        "V06": f"The year 2024 answered in {filtered.seconds * 1000:.0f} ms.",
        "V07": f"The CSV opens and has {lines} rows, as many as the API.",
        "V09": f"Measured once: {page.seconds * 1000:.0f} ms.",
    }


def _sign_off(stage: Stage, cast: Cast, proofs: Proofs, run: MigrationRun) -> None:
    """Soak, gate 4 by three people, completed."""
    seconds = journey.wait_for_gate(stage, run, "sign_off", SOAK_SECONDS)
    stage.console.say(f"Soaked for {seconds:.0f} s")
    journey.record_items(cast, run, {"W01": "The README names PostgreSQL and how to run on it."}, phase="sign_off")
    for name, reason in (("ben", "Done as planned."), ("chika", "Tested and accepted."), ("ana", "Runs well.")):
        run.refresh_from_db()
        proofs.hold(run.state == RunState.WAITING, f"before {name} signs, the run waits at gate 4")
        cast.sign(name, run, "sign_off", reason)
    reach(run, (RunState.COMPLETED,), 60, stage.console)
    proofs.hold(run.state == RunState.COMPLETED, f"run {run.pk} is completed")
