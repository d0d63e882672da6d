"""The crossing of a live application: the way back is armed, then one freeze, and the application starts on PostgreSQL.

Freeze, stop, switch and start are one step: every hand-over between steps would be time that users wait. It goes on
after any kill, by the durable facts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from migrations_app.applications.description import Dialect
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.reality import StopProof
from migrations_app.applications.rollback_script import RollbackScript, write_rollback_script
from migrations_app.applications.rows_back import Crossing, write_crossing
from migrations_app.engine.back import change_queue
from migrations_app.engine.capture import capture
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.stable_keys import stable_key
from migrations_app.engine.conversions import inverse
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.online import freeze, recovery, settling
from migrations_app.engine.source.still import open_still
from migrations_app.models import MigrationRun
from migrations_app.models.states import OnLapse, Phase, RunKind
from migrations_app.steps import workplace
from migrations_app.steps.base import MadeFile, Step, StepContext, StepResult
from migrations_app.steps.crossing import Moments, forms_of, mended, pair_of, point, silent, word_of

_FREEZES = 3  # one that was given up cost the application's writers nothing but a wait
_BETWEEN = 3.0  # seconds between two
_SETTLES = 40
_PROVED_WITHIN = 5.0  # seconds in which a reader that only looks lets the file go


class ArmBack(Step):
    """Before the freeze: how values return to SQLite is learned, and PostgreSQL notes every change from then on."""

    name = "arm_back"
    title = "Arm the way back"
    phase = Phase.PREPARE
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        pair = pair_of(context.run)
        tables = sorted(table.name for table in pair.plan.tables if table.is_loaded)
        with open_still(pair.source, context.control, workplace.reading_directory(context.run)) as source:
            forms = inverse.learn(source, pair.plan, context.control)
            keys = {name: stable_key(source.schema.table(name)) for name in tables}
        change_queue.arm(pair.url, pair.plan, keys=keys)
        document = forms.to_document()
        script = _way_back_by_hand(context, pair, document)
        files = [MadeFile("rollback_script", script.path, script.sha256, script.path.stat().st_size)] if script else []
        return StepResult(
            "succeeded",
            f"{len(tables)} tables watched, every column has a form to return in",
            evidence={
                "tables": tables,
                "forms": document,
                "remarks": [asdict(remark) for remark in forms.remarks],
                "rollback_script": script.sha256 if script else "",
            },
            facts={"inverse_forms": document},
            files=tuple(files),
        )


def _way_back_by_hand(context: StepContext, pair: Pair, forms: dict[str, Any]) -> RollbackScript | None:
    """Written before the freeze, for the day that Causeway itself is down. It never restores a backup: rows flow."""
    run = context.run
    if run.kind == RunKind.REHEARSAL:
        return None
    directory = workplace.run_directory(run)
    crossing = directory / "rollback.crossing.json"
    certificates = settings.CAUSEWAY_CERTIFICATES_DIR
    write_crossing(crossing, Crossing(pair, forms, run.application.busy_timeout_ms, certificates))
    backup = context.facts["backup"]
    return write_rollback_script(
        directory / "rollback.sh",
        workplace.description_of(run),
        state_dir=workplace.instance_directory(run),
        fingerprint=None,
        final_backup=Path(backup["path"]),
        backup_sha256=backup["sha256"],
        run=run.run_key,
        crossing=crossing,
    )


class CutOver(Step):
    """One freeze of writes; the application goes on with PostgreSQL. Given up, it simply goes on with SQLite."""

    name = "cut_over"
    title = "Cut over"
    phase = Phase.RESTART
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        moments = Moments(context.run, self.name)
        try:
            return _cross(context, moments)
        except EngineError as error:
            # What became of the application counts, even where the step did not come to its end.
            return StepResult(
                "failed", error.message, code=error.code, hint=error.hint, moments=_of_the_run(moments), evidence={}
            )


class Settle(Step):
    """What could wait until users were served again: the idle fence goes, rows without a parent are looked for."""

    name = "settle"
    title = "Validate what waited for the switch"
    phase = Phase.VERIFICATION

    def run(self, context: StepContext) -> StepResult:
        tries = int((context.step.evidence or {}).get("tries", 0)) + 1
        try:
            settled = settling.settle(pair_of(context.run), context.control)
        except EngineError as error:
            if error.code not in ("TARGET_LOCKED", "TARGET_CONFLICT") or tries >= _SETTLES:
                raise
            return StepResult("again", error.message, evidence={"tries": tries}, again_after=_BETWEEN)
        orphans = [{"table": one.table, "foreign_key": one.column} for one in settled.orphans]
        return StepResult(
            "succeeded",
            f"{len(orphans)} foreign keys have rows without a parent" if orphans else "every foreign key holds",
            evidence={"orphans": orphans, "not_valid": list(settled.broken)},
        )


def _cross(context: StepContext, moments: Moments) -> StepResult:
    run = context.run
    pair, driver = pair_of(run), workplace.driver_of(run)
    decision = mended(pair, run)
    if decision.live == "sqlite":
        if moments.at("down_since") is not None and moments.at("up_since") is None:
            back_up_on(driver, run, "sqlite", moments)  # a cut-off attempt told it to stop: it may still be about to
        else:
            up_on(driver, run, "sqlite")
        moments.forget()
        _freeze(context, pair, driver, moments)
    else:
        context.log("The freeze had been committed before: going on with what follows it.")
    moments.note("down_since")
    evidence = _switch(run, pair, driver, moments)
    reality = driver.start("postgresql", workplace.pointing_values(run))
    moments.note("up_since")
    crossed = moments.value("crossed") or {}
    figures = {
        "locked_ms": round(crossed.get("locked_ms", 0.0), 1),
        "gap_ms": round(away(moments).seconds * 1000),
        "rows": crossed.get("rows"),
        "deletes": crossed.get("deletes"),
        "position": crossed.get("position"),
    }
    return StepResult(
        "succeeded",
        f"writes waited {figures['locked_ms']:,.0f} ms, the application was back after {away(moments).seconds:,.1f} s",
        evidence={
            **figures,
            **evidence,
            "processes": [{"name": p.name, "state": p.state, "port": p.port} for p in reality.processes],
        },
        facts={"crossed": figures},
        moments=_of_the_run(moments),
    )


def _freeze(context: StepContext, pair: Pair, driver: Driver, moments: Moments) -> None:
    """Returns when the crossing is committed. Otherwise the application runs on SQLite when this raises."""
    run = context.run
    warm = driver.warm("postgresql", workplace.pointing_values(run))

    def signal_stop() -> None:
        moments.note("down_since")
        driver.signal_stop(only="sqlite")

    for left in reversed(range(_FREEZES)):
        try:
            crossed = freeze.cross_over(
                pair,
                busy_timeout_ms=run.application.busy_timeout_ms,
                signal_stop=signal_stop,
                milestone=silent,
                control=context.control,
                forms=forms_of(run),  # what couldn't come back doesn't go
            )
        except EngineError as error:
            if mended(pair, run).live != "sqlite":
                return  # the commit was made, and the answer to it was lost
            if moments.at("down_since") is not None:
                back_up_on(driver, run, "sqlite", moments)
            if error.code != "FREEZE_GAVE_UP" or not left:
                if warm:
                    driver.cool("postgresql")
                raise
            context.log(f"{error.message} Trying again.")
            context.control.stop.wait(_BETWEEN)
            context.control.checkpoint()
        else:
            moments.note("crossed", asdict(crossed))
            return


def _switch(run: MigrationRun, pair: Pair, driver: Driver, moments: Moments) -> dict[str, Any]:
    """The old instance is stopped and proved to be; the configuration names PostgreSQL. All of it twice is once."""
    if driver.traffic() is not None:  # a second instance stands ready: users reach it before the first has ended
        point(run, "postgresql")
        driver.move_traffic("postgresql")
    driver.stop(only="sqlite")
    proof = proved_stopped(driver, "sqlite")
    try:
        freeze.confirm_stopped(pair)
    except EngineError as error:
        if error.code != "SOURCE_SCHEMA_CHANGED" or word_of(run) != "sqlite":
            raise
        recovery.take_back(pair, busy_timeout_ms=run.application.busy_timeout_ms)
        mended(pair, run)
        back_up_on(driver, run, "sqlite", moments)
        raise Failed(
            error.code,
            f"{error.message} The crossing was taken back: the application runs on SQLite, and nothing is lost.",
            "Make a new revision of the plan and begin anew: the tables of this one are not all there are.",
        ) from error
    pointing = workplace.description_of(run).pointing
    switched = point(run, "postgresql")
    moments.note("switched_at")
    return {
        "proof": asdict(proof),
        "keys": sorted(pointing.keys),
        "mechanism": pointing.mechanism,
        "sha256_before": switched.digest_before,
        "sha256_after": switched.digest_after,
    }


def proved_stopped(driver: Driver, only: Dialect) -> StopProof:
    """That the instance on that database is stopped. Whoever only looks at the file lets it go within moments.

    Raises Failed NOT_STOPPED.
    """
    until = time.monotonic() + _PROVED_WITHIN
    while True:
        proof = driver.prove_stopped(only=only)
        if proof.stopped:
            return proof
        if not (proof.no_process and proof.ports_closed) or time.monotonic() > until:
            raise Failed(
                "NOT_STOPPED",
                f"The application is not stopped: {'; '.join(proof.reasons)}",
                "End what is named, then resume. Nothing is lost: the database that it was on refuses its writes.",
            )
        time.sleep(0.1)


def up_on(driver: Driver, run: MigrationRun, dialect: Dialect) -> None:
    """Start the application on that database unless it runs already, by us or by hand."""
    reality = driver.status()
    if not any(process.alive for process in reality.processes) and not reality.unsupervised:
        driver.start(dialect, workplace.pointing_values(run))


def back_up_on(driver: Driver, run: MigrationRun, dialect: Dialect, moments: Moments) -> None:
    """The application was told to stop, and the crossing did not come about: it starts again where it was."""
    driver.stop(only=dialect)
    driver.start(dialect, workplace.pointing_values(run))
    moments.note("up_since")


def fenced(run: MigrationRun) -> bool:
    """Whether the SQLite file refuses every writer."""
    state = capture.read_state(workplace.source_of(run))
    return state is not None and state.mode == "fenced"


def _of_the_run(moments: Moments) -> Mapping[str, datetime | None]:
    found = {name: moments.at(name) for name in ("down_since", "switched_at", "up_since")}
    return {name: at for name, at in found.items() if at is not None}


def _seconds_between(moments: Moments, first: str, last: str) -> float:
    begun, ended = moments.at(first), moments.at(last)
    return round((ended - begun).total_seconds(), 3) if begun and ended else 0.0


@dataclass(frozen=True)
class Away:
    """How long an application was away, in seconds, and from when."""

    since: str | None
    seconds: float


def away(moments: Moments) -> Away:
    since = moments.at("down_since")
    return Away(since.isoformat() if since else None, _seconds_between(moments, "down_since", "up_since"))
