"""The way back of a live crossing: what changed on PostgreSQL flows to SQLite, then the application starts there.

Nothing is lost while the way back is open. Where it has ended, or PostgreSQL is out of reach, two people decide, what
can be saved is saved, and SQLite is as of the last flow.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from migrations_app.applications import disk_reserve
from migrations_app.applications.drivers.interface import Driver
from migrations_app.engine.capture import capture
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.errors import EngineError
from migrations_app.engine.load import clean
from migrations_app.engine.online import decisions, ending, recovery
from migrations_app.engine.online.facts import UNKNOWN
from migrations_app.engine.online.fall_back import fall_back
from migrations_app.engine.replay.backward import MET
from migrations_app.engine.replay.forward import Follower
from migrations_app.models import MigrationRun, RollbackRequest
from migrations_app.models.states import OnLapse, Phase, Price
from migrations_app.steps import workplace
from migrations_app.steps.application import prove_application
from migrations_app.steps.back import BackSaveChanges
from migrations_app.steps.base import MadeFile, Step, StepContext, StepResult
from migrations_app.steps.crossing import Moments, follows, forms_of, mended, pair_of, point, silent, word_of
from migrations_app.steps.cut_over import away, back_up_on, proved_stopped, up_on

# Reasons that are over in a moment: no ground to give up rows.
_ONLY_NOW = frozenset(
    {
        *("FALL_BACK_GAVE_UP", "QUEUE_TOO_LARGE", "QUEUE_LEFT", "CANCELLED", "LEASE_LOST"),
        *("TARGET_LOCKED", "SQLITE_BUSY", "LOCKED"),
        *MET,
    }
)


class BackFallBack(Step):
    """One freeze the other way: the queue is empty, SQLite opens again, the application starts there."""

    name = "back_fall_back"
    title = "Fall back to SQLite"
    phase = Phase.ROLLBACK
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        disk_reserve.free(workplace.run_directory(context.run))  # room to work in, should the disk be full
        moments = Moments(context.run, self.name)
        try:
            return self._back(context, moments)
        except EngineError as error:
            up = moments.at("up_since")
            return StepResult(
                "failed",
                error.message,
                code=error.code,
                hint=error.hint,
                evidence={"down_since": away(moments).since},
                moments={"up_since": up} if up else {},
            )

    def _back(self, context: StepContext, moments: Moments) -> StepResult:
        run = context.run
        if moments.value("gave_up"):
            return self._without_the_queue(context, moments)
        pair, driver = pair_of(run), workplace.driver_of(run)
        fell: dict[str, Any] = {}
        try:
            decision = mended(pair, run)
            if decision.live == "sqlite" and moments.at("down_since") is None:
                up_on(driver, run, "sqlite")  # the freeze was given up; or somebody was faster, by rollback.sh
                crossed = run.switched_at is not None
                said = (
                    "the application was taken back to SQLite before" if crossed else "the crossing had not come about"
                )
                return StepResult("succeeded", said, evidence={"crossed": crossed})
            if decision.live == "postgresql":
                fell = take_back_rows(context, pair, driver, moments)
        except EngineError as error:
            # Losing nothing is tried first, whatever was agreed: what stood against it may be over.
            if error.code in _ONLY_NOW or not self._may_give_up(context):
                raise
            context.log(f"Not every row can flow back ({error.code}): going on as two people agreed")
            return self._without_the_queue(context, moments)
        return self._up(context, driver, moments, fell)

    def _up(self, context: StepContext, driver: Driver, moments: Moments, fell: dict[str, Any]) -> StepResult:
        up_since_back(context.run, driver, moments)
        gone = away(moments)
        return StepResult(
            "succeeded",
            f"every change is in SQLite; the application was back after {gone.seconds:,.1f} s",
            evidence={"fell_back": fell, "down_since": gone.since, "seconds": {"gap": gone.seconds}},
            moments={"up_since": moments.at("up_since")},
        )

    def _may_give_up(self, context: StepContext) -> bool:
        """Whether two people agreed (or one broke the glass) that rows leave the application."""
        request = _agreed(context.run)
        return request is not None and request.price == Price.R3 and not request.lossless

    def _without_the_queue(self, context: StepContext, moments: Moments) -> StepResult:
        """SQLite as of the last flow. What waits in PostgreSQL is saved where that can be done, and stays there else.

        Capture and fence leave the file: from here on the two sides have different rows, and must not follow.
        """
        run = context.run
        driver = workplace.driver_of(run)
        moments.note("giving_up", True)  # it stays stopped from here on: what it wrote now nobody has confirmed
        moments.note("down_since")
        driver.stop()
        proved_stopped(driver, "postgresql")
        saved = moments.value("saved")
        if saved is None:
            result = BackSaveChanges().run(context)
            saved = {"message": result.message, "evidence": dict(result.evidence), "facts": dict(result.facts)}
            for made in result.files:
                saved["file"] = [made.kind, str(made.path), made.sha256, made.size]
            moments.note("saved", saved)
        moments.note("gave_up", True)
        state = capture.read_state(workplace.source_of(run))
        if state is not None:
            capture.remove(workplace.source_of(run), state.identity, busy_timeout_ms=run.application.busy_timeout_ms)
        point(run, "sqlite")
        driver.start("sqlite", workplace.pointing_values(run))
        moments.note("up_since")
        return StepResult(
            "succeeded",
            f"SQLite as of the last flow; {saved['message']}",
            evidence={"gave_up": True, "saved": saved["evidence"], "down_since": away(moments).since},
            facts={**saved["facts"], "way_back": "gave_up"},
            moments={"up_since": moments.at("up_since")},
            files=_file_of(saved),
        )


def take_back_rows(context: StepContext, pair: Pair, driver: Driver, moments: Moments) -> dict[str, Any]:
    """Fall back in the engine. When this raises, the application runs on PostgreSQL unless the facts say otherwise.

    Where the facts can't be had it stays as it is, stopped if it was told so already: to be resumed.
    """
    run = context.run
    values = workplace.pointing_values(run)
    warm = driver.warm("sqlite", values)

    def signal_stop() -> None:
        moments.note("down_since")
        driver.signal_stop(only="postgresql")

    try:
        fell = fall_back(
            pair,
            forms_of(run),
            busy_timeout_ms=run.application.busy_timeout_ms,
            signal_stop=signal_stop,
            milestone=silent,
            control=context.control,
        )
    except EngineError:
        decision = recovery.decide(recovery.look(pair, word_of(run)))
        if decision.live in ("sqlite", decisions.NOBODY) and decision.configuration == "sqlite":
            return {}  # the commit was made, and the answer to it was lost
        # In doubt, mostly since PostgreSQL can't be asked, nothing is started: SQLite may lack rows, or be closed.
        told = moments.at("down_since") is not None and not moments.value("giving_up")
        if decision.live == "postgresql" and told:
            back_up_on(driver, run, "postgresql", moments)
            moments.forget()
        if warm:
            driver.cool("sqlite")
        raise
    document = asdict(fell)
    moments.note("fell_back", document)
    return document


def up_since_back(run: MigrationRun, driver: Driver, moments: Moments) -> None:
    """SQLite holds all and is open: the old instance is proved to be stopped, and the application starts on it."""
    pair = pair_of(run)
    moments.note("down_since")
    if driver.traffic() is not None:
        point(run, "sqlite")
        driver.move_traffic("sqlite")
    if moments.at("up_since") is None:
        driver.stop(only="postgresql")
        proved_stopped(driver, "postgresql")
    point(run, "sqlite")
    driver.start("sqlite", workplace.pointing_values(run))
    moments.note("up_since")
    mended(pair, run)  # PostgreSQL follows again


class BackKeepFollowing(Step):
    """The replication is the application's: PostgreSQL goes on following, and going forward again copies nothing."""

    name = "back_keep_following"
    title = "PostgreSQL goes on following"
    phase = Phase.ROLLBACK
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        pair = pair_of(context.run)
        if context.facts.get("way_back") == "gave_up":
            return end_after_giving_up(context, pair)
        if follows(pair) is None:
            return end_here(context, pair)
        try:
            with Follower(pair, control=context.control) as follower:
                applied = follower.catch_up()
        except EngineError as error:
            # The application is well on SQLite; that PostgreSQL doesn't follow is the follower's to tell.
            return StepResult(
                "succeeded",
                f"PostgreSQL does not follow now: {error.message}",
                evidence={"follows": False, "code": error.code, "inconclusive": True},
            )
        return StepResult(
            "succeeded",
            f"it follows, at position {applied.position:,}: going forward again needs no new copy",
            evidence={"follows": True, "position": applied.position, "rows": applied.rows},
        )


class BackStopFollowing(BackKeepFollowing):
    """Nothing was copied yet: capture leaves the file, and what had been begun in PostgreSQL goes."""

    name = "back_stop_following"
    title = "Remove what was begun"


def end_here(context: StepContext, pair: Pair) -> StepResult:
    """No copy follows: every trace leaves both sides, and what had been loaded goes."""
    run = context.run
    evidence: dict[str, Any] = {"follows": False, "ended": True}
    try:
        ending.end(pair, word_of(run), busy_timeout_ms=run.application.busy_timeout_ms)
        clean.remove_load(pair.url, pair.plan, run.run_key)
        clean.remove_traces(pair.url, run.run_key)
    except EngineError as error:
        if recovery.look(pair, word_of(run)).postgresql != UNKNOWN:
            raise
        state = capture.read_state(pair.source)
        if state is not None:
            capture.remove(pair.source, state.identity, busy_timeout_ms=run.application.busy_timeout_ms)
        return StepResult(
            "succeeded",
            f"capture left the file; PostgreSQL is out of reach ({error.code}): what was loaded is still there",
            evidence={**evidence, "cleaned": False, "why": error.code},
            facts={"way_back": "ended"},
        )
    return StepResult(
        "succeeded",
        "nothing of this run is left in the file, nor in PostgreSQL",
        evidence={**evidence, "cleaned": True},
        facts={"way_back": "ended"},
    )


def end_after_giving_up(context: StepContext, pair: Pair) -> StepResult:
    """The two sides have different rows now: PostgreSQL's stay as they are where they are, or may be, only there."""
    if context.facts.get("changes_unknown"):
        return StepResult(
            "succeeded",
            "PostgreSQL is left as it is: rows written since the switch are, or may be, only there",
            evidence={"follows": False, "ended": True, "cleaned": False, "inconclusive": True},
        )
    try:
        ending.forget_target(pair)  # SQLite's side went before the application was started on it
    except EngineError as error:
        return StepResult(
            "succeeded",
            f"what PostgreSQL keeps of the crossing is still there ({error.code})",
            evidence={"follows": False, "ended": True, "cleaned": False, "why": error.code},
        )
    return StepResult(
        "succeeded",
        "the replication is ended; what PostgreSQL holds stays there",
        evidence={"follows": False, "ended": True, "cleaned": False},
    )


class RehearseFallBack(Step):
    """The way back, for real, on the second instance, and that PostgreSQL follows again without a new copy."""

    name = "rehearse_fall_back"
    title = "Rehearse the fall-back"
    phase = Phase.VERIFICATION
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        run = context.run
        pair, driver = pair_of(run), workplace.driver_of(run)
        moments = Moments(run, self.name)
        moments.note("begun")
        fell: dict[str, Any] = moments.value("fell_back") or {}
        if mended(pair, run).live == "postgresql":
            fell = take_back_rows(context, pair, driver, moments)
        up_since_back(run, driver, moments)
        evidence = prove_application(context, "sqlite")
        begun = moments.at("begun") or context.now()
        seconds = round((context.now() - begun).total_seconds(), 1)
        with Follower(pair, control=context.control) as follower:
            applied = follower.catch_up()
        return StepResult(
            "succeeded",
            f"{seconds:,.1f} s until the application answered on SQLite again, nothing lost; PostgreSQL follows",
            evidence={
                "seconds": seconds,
                "fell_back": fell,
                "gap": away(moments).seconds,
                "application": evidence,
                "follows_again_at": applied.position,
            },
            facts={"rollback_seconds": seconds},
        )


def _agreed(run: MigrationRun) -> RollbackRequest | None:
    return run.rollback_requests.filter(state="agreed").order_by("-created_at").first()


def _file_of(saved: dict[str, Any]) -> tuple[MadeFile, ...]:
    if "file" not in saved:
        return ()
    kind, path, sha256, size = saved["file"]
    return (MadeFile(kind, Path(path), sha256, size),)
