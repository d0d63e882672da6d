"""The way back: each step restores one thing, and says what it found. Derived from what was done."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from migrations_app.applications import configuration, disk_reserve
from migrations_app.applications.drivers.interface import PersonNeeded
from migrations_app.engine.back import change_queue
from migrations_app.engine.backup.backup import restore_backup
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.hash_files import hash_file
from migrations_app.engine.load import clean
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from migrations_app.models.states import Phase
from migrations_app.steps import workplace
from migrations_app.steps.application import AfterStart, StopApplication, prove_application
from migrations_app.steps.aside import put_aside
from migrations_app.steps.base import MadeFile, Step, StepContext, StepResult
from migrations_app.steps.driving import wait_for_person

# Reasons for which the target can't be asked; the way back works all the same.
_OUT_OF_REACH = frozenset(
    {
        "TARGET_UNREACHABLE",
        "TARGET_LOST",
        "WRONG_PASSWORD",
        "NO_SUCH_DATABASE",
        "NO_SUCH_ROLE",
        "TLS_FAILED",
        "TOO_MANY_CONNECTIONS",
    }
)
# Reasons for which nothing can be written to the artefacts' disk.
_NO_ROOM = frozenset({"DISK_FULL", "FILE_ERROR", "NO_SPACE"})


class BackStop(StopApplication):
    """From here on a full disk of artefacts keeps nothing from being written that the way back needs."""

    name = "back_stop"
    title = "Stop the application"
    phase = Phase.ROLLBACK

    def run(self, context: StepContext) -> StepResult:
        disk_reserve.free(workplace.run_directory(context.run))
        return super().run(context)


class BackSaveChanges(Step):
    """The rows that leave are saved first; if there are more or fewer than were confirmed, a person is asked again."""

    name = "back_save_changes"
    title = "Save what was written since the switch"
    phase = Phase.ROLLBACK

    def run(self, context: StepContext) -> StepResult:
        url = workplace.target_url_of(context.run)
        request = context.run.rollback_requests.filter(state="agreed").order_by("-created_at").first()
        confirmed = request.rows_confirmed if request else None
        try:
            count = change_queue.count(url)
        except EngineError as error:
            if error.code not in _OUT_OF_REACH:
                raise
            return self._out_of_reach(context, confirmed, error)
        if confirmed is not None and count.total != confirmed and _was_switched(context):
            raise Failed(
                "ROWS_CHANGED",
                f"{count.total:,} rows were written since the switch, {confirmed:,} were confirmed. "
                "The application is stopped, so the number stays now.",
                "Ask for the rollback again with the new number.",
            )
        if count.total == 0:
            return StepResult("succeeded", "no row was written since the switch", evidence={"rows": 0})
        path = workplace.run_directory(context.run) / f"delta_{context.run.pk}.jsonl"
        try:
            delta = change_queue.save(url, path)
        except EngineError as error:
            if error.code not in _NO_ROOM:
                raise
            return self._kept_in_target(context, count.total, error)
        return StepResult(
            "succeeded",
            f"{delta.rows:,} rows saved to {path.name}",
            evidence={
                "rows": delta.rows,
                "sha256": delta.sha256,
                "by_table": {name: asdict(changes) for name, changes in count.by_table.items()},
            },
            facts={"delta": {"path": str(path), "sha256": delta.sha256, "rows": delta.rows}},
            files=(MadeFile("delta", path, delta.sha256, path.stat().st_size),),
        )

    def _kept_in_target(self, context: StepContext, rows: int, error: EngineError) -> StepResult:
        """A full disk must not leave the application stopped: the rows stay where they are, and nothing is cleaned."""
        context.log(f"{rows:,} rows can't be saved to a file ({error.code}): they stay in PostgreSQL")
        return StepResult(
            "succeeded",
            f"{rows:,} rows can't be saved to a file ({error.message}) They stay in PostgreSQL, which is not cleaned",
            evidence={"rows": rows, "saved": False, "why": error.code, "inconclusive": True},
            facts={"changes_unknown": True},
        )

    def _out_of_reach(self, context: StepContext, confirmed: int | None, error: EngineError) -> StepResult:
        if not _was_switched(context):
            said = "the application was never pointed at PostgreSQL, which is out of reach"
            return StepResult("succeeded", said, evidence={"rows": 0, "why": error.code})
        if confirmed is not None:
            raise Failed(
                "ROWS_UNKNOWN",
                f"{confirmed:,} rows were confirmed, but PostgreSQL can no longer be asked ({error.code}): it may be "
                "more. The application is stopped.",
                "Ask for the rollback again: it will say that the rows are unknown.",
            )
        context.log(f"PostgreSQL can't be asked ({error.code}): what was written there stays there, uncounted")
        return StepResult(
            "succeeded",
            "PostgreSQL is out of reach: what was written since the switch is unknown and stays there",
            evidence={"rows": "unknown", "why": error.code, "inconclusive": True},
            facts={"changes_unknown": True},
        )


def _was_switched(context: StepContext) -> bool:
    """Before, nobody wrote to PostgreSQL by way of the application: what is found there leaves nobody's hands."""
    return bool(context.run.steps.begun().filter(name__in=("switch_configuration", "cut_over")).exists())


class BackRestoreSource(Step):
    """The original stays untouched while its fingerprint matches; else the final backup, never the earlier one."""

    name = "back_restore_source"
    title = "The SQLite file as it was at the stop"
    phase = Phase.ROLLBACK

    def run(self, context: StepContext) -> StepResult:
        source = workplace.source_of(context.run)
        expected = context.facts["final_fingerprint"]["digest"]
        now = fingerprint(source, context.control).digest if source.exists() else ""
        if now == expected:
            return StepResult("succeeded", "untouched since the stop", evidence={"fingerprint": now, "restored": False})
        if context.run.facts.get("source_back", {}).get("fingerprint") == now:
            return StepResult("succeeded", "restored already", evidence={"fingerprint": now, "restored": True})
        if self._was_taken_back(context) and self._is_sound(context, source):
            # rollback.sh, or a person, was faster: what users wrote on SQLite since exists nowhere else.
            return StepResult(
                "succeeded",
                "the configuration said sqlite already: the file is the application's living one and is kept",
                evidence={"fingerprint": now, "restored": False, "kept_because": "taken back before"},
                facts={"source_back": {"fingerprint": now}},
            )
        if self._application_wrote(context, source):
            # It ignored its configuration and went on with SQLite: these rows exist nowhere else.
            return StepResult(
                "succeeded",
                "the application went on writing to SQLite after the switch: the file is sound and is kept",
                evidence={"fingerprint": now, "restored": False, "kept_because": "written by the application"},
                facts={"source_back": {"fingerprint": now}},
            )
        return self._restore(context, source, now)

    def _application_wrote(self, context: StepContext, source: Path) -> bool:
        check = context.run.steps.filter(name="check_application").first()
        caught = check is not None and check.state in ("failed", "errored", "in_doubt")
        return caught and self._is_sound(context, source)

    def _was_taken_back(self, context: StepContext) -> bool:
        """The run had switched the configuration, and now it says sqlite, before this rollback switched it."""
        pointing = workplace.description_of(context.run).pointing
        return context.run.switched_at is not None and configuration.current(pointing) == "sqlite"

    def _is_sound(self, context: StepContext, source: Path) -> bool:
        if not source.exists():
            return False
        try:
            with open_source(source, context.control) as opened:
                opened.check_integrity(context.control)
                return opened.schema.digest == workplace.move_plan(context.run.plan).schema_digest
        except EngineError as error:
            context.log(f"the SQLite file is not sound any more ({error.code}): the final backup is restored")
            return False

    def _put_aside(self, context: StepContext, source: Path) -> list[MadeFile]:
        """What is there now: among the artefacts, or, where those have no room, beside the file itself."""
        among = workplace.run_directory(context.run) / "source-before-restore.sqlite"
        beside = source.with_name(f"{source.name}.before-restore-{context.run.pk}")
        aside = put_aside(source, among, beside)
        if aside == beside:
            context.log(f"no room among the artefacts: what was there is kept as {aside}")
        kept = hash_file(str(aside))
        return [MadeFile("source_before_restore", aside, kept[1], kept[0])] if kept is not None else []

    def _restore(self, context: StepContext, source: Path, now: str) -> StepResult:
        files = self._put_aside(context, source) if source.exists() else []
        backup = context.facts["final_backup"]
        restore_backup(Path(backup["path"]), source, backup["sha256"])
        restored = fingerprint(source, context.control).digest
        return StepResult(
            "succeeded",
            "the file was not as it was at the stop: the final backup was restored, what was there is kept aside",
            evidence={"found": now, "restored": True, "fingerprint": restored, "backup_sha256": backup["sha256"]},
            facts={"source_back": {"fingerprint": restored}},
            files=tuple(files),
        )


class BackSwitchConfiguration(Step):
    name = "back_switch_configuration"
    title = "Switch the configuration back"
    phase = Phase.ROLLBACK

    def run(self, context: StepContext) -> StepResult:
        description = workplace.description_of(context.run)
        result = configuration.switch(description.pointing, "sqlite", workplace.pointing_values(context.run))
        return StepResult(
            "succeeded",
            f"{', '.join(description.pointing.keys)} say sqlite",
            evidence={"sha256_before": result.digest_before, "sha256_after": result.digest_after},
        )


class BackStart(Step):
    name = "back_start"
    title = "Start the application on SQLite"
    phase = Phase.ROLLBACK

    def run(self, context: StepContext) -> StepResult:
        try:
            reality = workplace.driver_of(context.run).start("sqlite", workplace.pointing_values(context.run))
        except PersonNeeded as needed:
            return wait_for_person(context, needed)
        return StepResult(
            "succeeded",
            f"{len(reality.processes)} processes up",
            evidence={"processes": [{"name": p.name, "state": p.state, "port": p.port} for p in reality.processes]},
            moments={"up_since": context.now()},
        )


class BackCheck(Step):
    name = "back_check"
    title = "The application says sqlite"
    phase = Phase.ROLLBACK

    def run(self, context: StepContext) -> StepResult:
        return StepResult("succeeded", "endpoints green, counts equal", evidence=prove_application(context, "sqlite"))


class BackAfterStart(AfterStart):
    """What was done before the stop (a maintenance page) is undone on the way back too."""

    name = "back_after_start"
    phase = Phase.ROLLBACK


class BackCleanTarget(Step):
    """The target as it was before the run; what left the application was saved before."""

    name = "back_clean_target"
    title = "Clean the target"
    phase = Phase.ROLLBACK

    def run(self, context: StepContext) -> StepResult:
        disk_reserve.free(workplace.run_directory(context.run))
        url = workplace.target_url_of(context.run)
        plan = workplace.move_plan(context.run.plan)
        evidence: dict[str, Any] = {"target": url.redacted}
        if context.facts.get("changes_unknown"):
            return StepResult(
                "succeeded",
                "left as it is: rows written since the switch are, or may be, only there",
                evidence={**evidence, "cleaned": False, "inconclusive": True},
            )
        try:
            change_queue.disarm(url)  # its triggers would count as a change of the application's schema
            clean.remove_load(url, plan, context.run.run_key)
            clean.remove_traces(url, context.run.run_key)
        except EngineError as error:
            if error.code not in _OUT_OF_REACH:
                raise
            return StepResult(
                "succeeded",
                f"PostgreSQL is out of reach ({error.code}): what was loaded is still there",
                evidence={**evidence, "cleaned": False, "why": error.code},
            )
        return StepResult(
            "succeeded", "nothing of this run is left in PostgreSQL", evidence={**evidence, "cleaned": True}
        )
