"""What the steps before the crossing prove: the server, the driver, the schema, backup, export and rehearsal."""

from __future__ import annotations

from migrations_app.models import ChecklistItem, MigrationRun, RunStep
from migrations_app.models.states import ItemState, StepState
from migrations_app.services.proof_kinds import Proof, judged, proof
from migrations_app.services.words import in_words
from migrations_app.steps.workplace import move_plan

_OLDEST = 15  # PostgreSQL's version


@proof("server")
def _server(item: ChecklistItem, step: RunStep) -> Proof:
    target = step.evidence["target"]
    version = str(target["version"])
    fine = int(version.split(".")[0].split()[0]) >= _OLDEST and target["encoding"].upper() in ("UTF8", "UTF-8")
    return judged(fine, f"PostgreSQL {version}, {target['encoding']}", target)


@proof("signs_in")
def _signs_in(item: ChecklistItem, step: RunStep) -> Proof:
    target = step.evidence["target"]
    return judged(bool(target["role"]), f"{target['role']} signs in to {target['url']}", target)


@proof("driver")
def _driver(item: ChecklistItem, step: RunStep) -> Proof:
    driver = step.evidence["driver"]
    if not driver["checked"]:
        return Proof(ItemState.INCONCLUSIVE, driver["why"], driver)
    return Proof(ItemState.PASSED, f"{driver['command']}: {driver['output'].strip()[-120:]}", driver)


@proof("schema_command")
def _schema_command(item: ChecklistItem, step: RunStep) -> Proof:
    if step.evidence["mode"] != "existing":
        return Proof(ItemState.NOT_APPLICABLE, "Causeway makes the tables while loading.", dict(step.evidence))
    return Proof(ItemState.PASSED, f"{step.evidence['command']} ended with 0", dict(step.evidence))


@proof("schema_as_planned")
def _schema_as_planned(item: ChecklistItem, step: RunStep) -> Proof:
    if step.evidence["mode"] != "existing":
        return Proof(ItemState.NOT_APPLICABLE, "Causeway makes them while loading; the verification compares them.")
    digest = step.evidence["schema_digest"]
    planned = step.run.plan.target_schema_digest
    return judged(digest == planned, f"schema {digest[:8]}, as planned", {"found": digest, "planned": planned})


@proof("endpoints_answer")
def _endpoints_answer(item: ChecklistItem, step: RunStep) -> Proof:
    times = step.evidence["endpoints"]
    failed = [one["name"] for one in times if one["failures"]]
    if not times:
        return Proof(ItemState.INCONCLUSIVE, "No endpoint was asked.")
    return judged(not failed, f"{len(times) - len(failed)} of {len(times)} endpoints answer", times)


@proof("backup_made")
def _backup_made(item: ChecklistItem, step: RunStep) -> Proof:
    size, sha256 = int(step.evidence["bytes"]), step.evidence["sha256"]
    return judged(size > 0, f"{size:,} bytes, SHA-256 {sha256[:8]}", {"bytes": size, "sha256": sha256})


@proof("backup_restored")
def _backup_restored(item: ChecklistItem, step: RunStep) -> Proof:
    restored = step.evidence["restored_and_checked"]
    if restored is not True:
        return Proof(ItemState.INCONCLUSIVE, "It was not restored.", {"restored_and_checked": restored})
    tables = step.evidence["tables"]
    return Proof(ItemState.PASSED, f"restored and compared, {len(tables)} tables", {"tables": tables})


@proof("backup_size")
def _backup_size(item: ChecklistItem, step: RunStep) -> Proof:
    size, rows = int(step.evidence["bytes"]), sum(step.evidence["tables"].values())
    same = step.evidence["restored_and_checked"] is True and bool(step.evidence["compared_with_source"])
    return judged(same and size > 0, f"{size:,} bytes with {rows:,} rows, as in the original", {"bytes": size})


@proof("export_made")
def _export_made(item: ChecklistItem, step: RunStep) -> Proof:
    digest = step.evidence["manifest_sha256"]
    return judged(bool(digest), f"manifest {digest[:8]}", {"manifest_sha256": digest})


@proof("export_complete")
def _export_complete(item: ChecklistItem, step: RunStep) -> Proof:
    exported = step.evidence["tables"]
    planned = {table.name for table in move_plan(step.run.plan).tables if table.is_loaded}
    missing = sorted(planned - set(exported))
    rows = sum(exported.values())
    said = f"{rows:,} rows of {len(exported)} tables" + (f"; missing: {', '.join(missing[:5])}" if missing else "")
    return judged(not missing and bool(exported), said, {"tables": exported, "missing": missing})


@proof("export_size")
def _export_size(item: ChecklistItem, step: RunStep) -> Proof:
    exported = step.evidence["tables"]
    planned = step.run.plan.profile["tables"]
    empty = sorted(name for name, rows in exported.items() if planned.get(name) and not rows)
    said = f"{sum(exported.values()):,} rows" + (f"; none of {', '.join(empty[:5])}" if empty else "")
    return judged(not empty, said, {"empty": empty})


@proof("rehearsed")
def _rehearsed(item: ChecklistItem, step: RunStep) -> Proof:
    rehearsal = MigrationRun.objects.get(pk=step.evidence["rehearsal"], application=step.run.application_id)
    done = rehearsal.steps.filter(name=item.subject).first()
    if done is None or done.state != StepState.SUCCEEDED:
        return Proof(ItemState.INCONCLUSIVE, f"Run {rehearsal.pk}, the rehearsal, has no proof of this.")
    output = {"run": rehearsal.pk, "step": done.name, "digest": done.evidence_digest}
    return Proof(ItemState.PASSED, f"rehearsed in run {rehearsal.pk}: {done.message or done.title}", output)


@proof("way_back_rehearsed")
def _way_back_rehearsed(item: ChecklistItem, step: RunStep) -> Proof:
    seconds, run = step.evidence["rollback_seconds"], step.evidence["rehearsal"]
    if seconds is None:
        return Proof(ItemState.INCONCLUSIVE, f"Run {run}, the rehearsal, did not go back.")
    return Proof(ItemState.PASSED, f"{in_words(float(seconds))} in run {run}", {"run": run, "seconds": seconds})


@proof("command")
def _command(item: ChecklistItem, step: RunStep) -> Proof:
    said = step.evidence["commands"][item.command]
    status = said["exit_status"]
    if status is None:
        return Proof(ItemState.FAILED, f"{said['command']} was ended at its time limit", said)
    return judged(status == 0, f"{said['command']} ended with {status} after {in_words(said['seconds'])}", said)
