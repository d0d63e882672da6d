"""Act 5: yukyu-west crosses while its users work, comes back with everything they wrote, and crosses again.

What is counted is what users saw: each confirmed request must be there once, on whichever database is live.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing

import psycopg2
from django.utils import timezone

from demo.stage.progress import reach
from demo.stage.samples import Installation
from demo.stage.stage import Stage
from demo.stage.walkthrough import journey
from demo.stage.walkthrough.application import Application
from demo.stage.walkthrough.cast import Cast
from demo.stage.walkthrough.proof import Proofs
from demo.stage.walkthrough.users import MARK, Users, Worked
from demo.stage.walkthrough.verification import verify_by_hand
from migrations_app.models import MigrationPlan, MigrationRun, Replication
from migrations_app.models.states import Price, RunKind, RunState, StepState, Strategy
from migrations_app.services.price import price_of
from monitoring_app.services import burning

REHEARSAL_SECONDS = 600
CROSS_SECONDS = 300
BACK_SECONDS = 180
SOAK_SECONDS = 120
CLEAR_SECONDS = 600
AFTER_SECONDS = 3.0  # the users work on for so long after a switch
DRAIN_SECONDS = 60.0
SECOND, THIRD = 100_001, 200_001  # where the numbers of the second and the third shift begin
_REASONS = f"SELECT reason, count(*) FROM leave_requests WHERE reason LIKE '{MARK}%' GROUP BY reason"


def play(stage: Stage, cast: Cast, proofs: Proofs, name: str) -> None:
    """Rehearse online, cross, fall back, cross again, and stay."""
    installation = journey.installation_of(stage, name)
    plan = MigrationPlan.objects.filter(application__name=name, state="submitted").order_by("-revision")[0]
    _rehearse(stage, cast, proofs, plan)
    run = _prepared(stage, cast, plan)
    with Users(installation) as users:
        _warm_up(users)
        there = _during(users, lambda: _cross(stage, cast, proofs, run))
    _count(stage, proofs, run, users.worked(), there, "the cut-over")
    _come_back(stage, cast, proofs, run, installation)
    again = _prepared(stage, cast, plan)
    proofs.hold(_no_new_copy(again), f"run {again.pk} needs no new copy: PostgreSQL went on following")
    with Users(installation, first=THIRD) as users:
        _warm_up(users)
        there = _during(users, lambda: _cross(stage, cast, proofs, again))
    _count(stage, proofs, again, users.worked(), there, "the second cut-over")
    _drained(stage, again)
    verify_by_hand(stage, proofs, again, "SQLite, behind its fence, has got every write of PostgreSQL")
    _stay(stage, cast, proofs, again)


def _rehearse(stage: Stage, cast: Cast, proofs: Proofs, plan: MigrationPlan) -> None:
    number = cast.create_run("ana", plan.pk, RunKind.REHEARSAL, Strategy.ONLINE)
    run = MigrationRun.objects.get(pk=number)
    cast.act("ana", run, "start")
    seconds = reach(run, (RunState.COMPLETED,), REHEARSAL_SECONDS, stage.console)
    proofs.hold(run.state == RunState.COMPLETED, f"the online rehearsal, run {run.pk}, is completed in {seconds:.0f} s")


def _prepared(stage: Stage, cast: Cast, plan: MigrationPlan) -> MigrationRun:
    """A production run, online, at gate 2."""
    number = cast.create_run("ana", plan.pk, RunKind.PRODUCTION, Strategy.ONLINE)
    run = MigrationRun.objects.get(pk=number)
    cast.act("ana", run, "submit")
    cast.sign("mei", run, "plan", "Rehearsed online; while people work.")
    journey.start_and_prepare(stage, cast, run)
    return run


def _cross(stage: Stage, cast: Cast, proofs: Proofs, run: MigrationRun) -> None:
    name = run.application.name
    cast.sign("ben", run, "go", "Following, checked; go.", typed_name=name)
    cast.sign("ana", run, "go", "Go.", typed_name=name)
    journey.wait_for_gate(stage, run, "qa", CROSS_SECONDS)
    installation = journey.installation_of(stage, name)
    proofs.hold(Application(installation).database() == "postgresql", f"{name} says itself that it runs on postgresql")


def _come_back(stage: Stage, cast: Cast, proofs: Proofs, run: MigrationRun, installation: Installation) -> None:
    """While people write; one person decides, since nothing is lost."""
    with Users(installation, first=SECOND) as users:
        _warm_up(users)
        tag = price_of(run)
        proofs.hold(
            tag.lossless and tag.people == 1,
            f"rows were written on PostgreSQL, and the way back loses none of them ({Price(tag.price)}, one person)",
            tag.sentence,
        )
        there = _during(users, lambda: _fall_back(stage, cast, run))
    proofs.hold(Application(installation).database() == "sqlite", f"{run.application.name} is back on sqlite")
    _count(stage, proofs, run, users.worked(), there, "the way back")
    proofs.hold(
        any(int(text.removeprefix(MARK)) > SECOND for text in _reasons_in_file(installation)),
        "SQLite has what was written while PostgreSQL was live",
    )
    _drained(stage, run)
    verify_by_hand(stage, proofs, run, "PostgreSQL, which follows again, has every cell of SQLite")


def _fall_back(stage: Stage, cast: Cast, run: MigrationRun) -> None:
    cast.ask_rollback("ana", run, "The branch's printers reject the slips once more.", "")
    reach(run, (RunState.ROLLED_BACK,), BACK_SECONDS, stage.console)


def _stay(stage: Stage, cast: Cast, proofs: Proofs, run: MigrationRun) -> None:
    journey.record_items(cast, run, {})
    # rollback.sh stopped the application with Causeway down: nothing silenced that, and a soak counts what burns.
    stage.console.wait_for(
        "the alerts of the day that Causeway was down to clear",
        lambda: not burning.look(application=run.application, now=timezone.now()).critical,
        CLEAR_SECONDS,
    )
    cast.sign("chika", run, "qa", "Accepted.")
    journey.wait_for_gate(stage, run, "sign_off", SOAK_SECONDS)
    journey.record_items(cast, run, {}, phase="sign_off")
    for person, reason in (("ben", "Done."), ("chika", "Accepted."), ("ana", "Runs well.")):
        cast.sign(person, run, "sign_off", reason)
    reach(run, (RunState.COMPLETED,), 60, stage.console)
    with closing(_opened(journey.installation_of(stage, run.application.name))) as connection:
        left = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'causeway%'").fetchone()[0]
    proofs.hold(left == 0, f"run {run.pk} is completed, and no trace of it is left in the SQLite file")


def _warm_up(users: Users) -> None:
    """They are at work before anything begins."""
    until = time.monotonic() + 20
    while users.confirmed_so_far() < 50 and time.monotonic() < until:
        time.sleep(0.1)


def _during(users: Users, what: Callable[[], None]) -> tuple[float, float]:
    begun = time.monotonic()
    what()
    time.sleep(AFTER_SECONDS)
    return begun, time.monotonic()


def _count(
    stage: Stage, proofs: Proofs, run: MigrationRun, worked: Worked, there: tuple[float, float], when: str
) -> None:
    """Every confirmed request of these users in the live database, asked by SQL of our own."""
    lost, doubled, kept = worked.found(_reasons_of_live(stage, run))
    rate = len(worked.confirmed) / worked.seconds if worked.seconds else 0
    stage.console.say(
        f"{when}: {len(worked.confirmed):,} requests confirmed ({rate:.0f} a second); longest gap between two "
        f"confirmations {worked.longest_gap(*there):.2f} s, restart included{_locked(run)}; "
        f"{len(worked.unanswered)} without an answer ({kept} of them kept), {worked.refused} refused"
    )
    proofs.hold(lost == 0 and doubled == 0, f"{when}: lost {lost}, doubled {doubled} of {len(worked.confirmed):,}")


def _locked(run: MigrationRun) -> str:
    """How long writes waited for the freeze itself, as the run measured it."""
    step = run.steps.filter(name__in=("cut_over", "back_fall_back"), state=StepState.SUCCEEDED).order_by("-position")
    evidence = step[0].evidence if step else {}
    return f" ({evidence['locked_ms']:,.0f} ms of it with the writers locked out)" if "locked_ms" in evidence else ""


def _reasons_of_live(stage: Stage, run: MigrationRun) -> Counter[str]:
    """How often each marked request is in the database that the application says it uses."""
    installation = journey.installation_of(stage, run.application.name)
    if Application(installation).database() == "postgresql":
        url = run.application.target_url.reveal()
        with closing(psycopg2.connect(url, connect_timeout=5)) as connection, connection.cursor() as cursor:
            cursor.execute(_REASONS)
            return Counter(dict(cursor.fetchall()))
    return _reasons_in_file(installation)


def _reasons_in_file(installation: Installation) -> Counter[str]:
    with closing(_opened(installation)) as connection:
        return Counter(dict(connection.execute(_REASONS).fetchall()))


def _opened(installation: Installation) -> sqlite3.Connection:
    return sqlite3.connect(f"{installation.source.as_uri()}?mode=ro", uri=True, timeout=10)


def _no_new_copy(run: MigrationRun) -> bool:
    return bool(run.steps.get(name="copy_online", state=StepState.SUCCEEDED).evidence["continued"])


def _drained(stage: Stage, run: MigrationRun) -> None:
    """The users have stopped: whichever side follows has nothing left to take over."""

    def quiet() -> bool:
        now = Replication.objects.get(application=run.application)
        return (now.seen_at or begun) > begun and not now.lag_rows and not now.queue_rows

    begun = timezone.now()
    stage.console.wait_for("the other side to have every write", quiet, DRAIN_SECONDS)
