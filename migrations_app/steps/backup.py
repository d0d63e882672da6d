"""Backups: before anything is touched, and the final one, taken and fingerprinted after the stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from migrations_app.applications import disk_reserve
from migrations_app.applications.rollback_script import RollbackScript, write_rollback_script
from migrations_app.engine.backup.backup import BackupResult, restore_backup, take_backup
from migrations_app.engine.errors import Failed
from migrations_app.engine.source.fingerprint import Fingerprint, fingerprint
from migrations_app.models.states import Phase, RunKind
from migrations_app.steps import workplace
from migrations_app.steps.base import MadeFile, Step, StepContext, StepResult


def _backup(context: StepContext, source: Path, name: str) -> BackupResult:
    destination = workplace.run_directory(context.run) / name
    return take_backup(source, destination, context.control)


def _evidence(result: BackupResult) -> dict[str, Any]:
    return {
        "sha256": result.sha256,
        "bytes": result.size,
        "tables": dict(result.tables),
        "compared_with_source": result.compared,
        "restored_and_checked": True,
    }


class Backup(Step):
    name = "backup"
    title = "Backup, restored and compared"
    phase = Phase.PREPARE

    def run(self, context: StepContext) -> StepResult:
        result = _backup(context, workplace.live_source(context.run.application), "backup.sqlite")
        if context.run.kind == RunKind.PRODUCTION:
            disk_reserve.keep(workplace.run_directory(context.run))
        return StepResult(
            "succeeded",
            f"{result.size:,} bytes, {sum(result.tables.values()):,} rows",
            evidence=_evidence(result),
            facts={"backup": {"path": str(result.path), "sha256": result.sha256}},
            files=(MadeFile("backup", result.path, result.sha256, result.size),),
        )


class CopySource(Step):
    """The rehearsal's own copy of the source: the backup, restored."""

    name = "copy_source"
    title = "Copy the source"
    phase = Phase.PREPARE

    def run(self, context: StepContext) -> StepResult:
        backup = context.facts["backup"]
        copy = workplace.source_of(context.run)
        restore_backup(Path(backup["path"]), copy, backup["sha256"])
        return StepResult("succeeded", str(copy.name), evidence={"sha256": backup["sha256"]})


class FinalBackup(Step):
    """After the stop nobody writes any more: what is fingerprinted and backed up here is what a rollback returns to."""

    name = "final_backup"
    title = "Final backup"
    phase = Phase.DATA

    def run(self, context: StepContext) -> StepResult:
        source = workplace.source_of(context.run)
        before = fingerprint(source, context.control)
        result = _backup(context, source, "final-backup.sqlite")
        after = fingerprint(source, context.control)
        if before.digest != after.digest:
            raise Failed(
                "SOURCE_CHANGED",
                "The SQLite file was written to while the final backup was taken: something still runs.",
                "Find who writes (see “What is true now”), stop it, then resume.",
            )
        script = self._rollback_script(context, result, after)
        files = [MadeFile("final_backup", result.path, result.sha256, result.size)]
        if script is not None:
            files.append(MadeFile("rollback_script", script.path, script.sha256, script.path.stat().st_size))
        return StepResult(
            "succeeded",
            f"{result.size:,} bytes; the source is fingerprinted as {after.digest[:8]}",
            evidence={
                **_evidence(result),
                "fingerprint": after.to_document(),
                "rollback_script": script.sha256 if script else "",
            },
            facts={
                "final_backup": {"path": str(result.path), "sha256": result.sha256},
                "final_fingerprint": after.to_document(),
            },
            files=tuple(files),
        )

    def _rollback_script(self, context: StepContext, result: BackupResult, taken: Fingerprint) -> RollbackScript | None:
        """Written before anything is switched, for the day that Causeway itself is down."""
        if context.run.kind == RunKind.REHEARSAL:
            return None
        directory = workplace.run_directory(context.run)
        return write_rollback_script(
            directory / "rollback.sh",
            workplace.description_of(context.run),
            state_dir=workplace.instance_directory(context.run),
            fingerprint=taken,
            final_backup=result.path,
            backup_sha256=result.sha256,
            run=context.run.run_key,
            delta=directory / f"delta_{context.run.pk}.jsonl",
        )
