"""What a step's evidence proves of an item: one small function for each proof that a template can name.

A proof reads evidence and answers; it changes nothing. What the evidence doesn't hold is inconclusive, never passed.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ObjectDoesNotExist

from migrations_app.engine.errors import EngineError
from migrations_app.models import ChecklistItem, MigrationRun, RunStep
from migrations_app.models.states import GateState, ItemState, StepState
from migrations_app.services import proofs_of_performance as proofs_of_performance
from migrations_app.services.proof_kinds import PROOFS, Evidence, Proof, judged, proof
from migrations_app.services.words import in_words
from migrations_app.steps.workplace import move_plan

_OLDEST = 15  # PostgreSQL's version


# What a failed step may still have proved of its parts: its evidence is whole, and says what passed.
_STANDS_ALONE = frozenset(
    {
        *("command", "counts_equal", "cells_equal", "decrypts", "decrypts_by_pattern", "sound", "dates_read"),
        *("in_time", "all_served", "no_timeouts", "not_slower", "measured", "pool_opens", "pool_size", "pool_holds"),
    }
)


def prove(item: ChecklistItem, step: RunStep) -> Proof:
    """What the step, as it ended, proves of the item. Never raises for evidence that isn't as expected."""
    name = "command" if item.command else item.proof
    if step.state == StepState.SKIPPED:
        state = ItemState.INCONCLUSIVE if name in PROOFS else ItemState.NOT_APPLICABLE
        return Proof(state, step.message or "Not needed here.")
    if step.state == StepState.FAILED and (name not in _STANDS_ALONE or not step.evidence):
        return Proof(ItemState.FAILED, step.error_message)
    if step.state not in (StepState.SUCCEEDED, StepState.FAILED):
        return Proof(ItemState.INCONCLUSIVE, step.error_message or "How the step ended is not known.")
    if step.state == StepState.SUCCEEDED and step.evidence.get("inconclusive"):
        return Proof(ItemState.INCONCLUSIVE, step.message or "Not everything could be tried.")
    if not name:
        return Proof(ItemState.PASSED, step.message)
    try:
        return PROOFS[name](item, step)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, EngineError, ObjectDoesNotExist):
        return Proof(ItemState.INCONCLUSIVE, "The step left no evidence for this.")


# --- Before the migration


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


# --- The crossing


@proof("stopped")
def _stopped(item: ChecklistItem, step: RunStep) -> Proof:
    proof = step.evidence["proof"]
    still = bool(proof["stopped"] and proof["no_process"] and proof["file_released"] and proof["lock_free"])
    return judged(still, "no process, no lock on the file" if still else "; ".join(proof["reasons"]), proof)


@proof("ports_closed")
def _ports_closed(item: ChecklistItem, step: RunStep) -> Proof:
    closed = bool(step.evidence["proof"]["ports_closed"])
    return judged(closed, "closed" if closed else "something listens", {"ports_closed": closed})


@proof("way_back_written")
def _way_back_written(item: ChecklistItem, step: RunStep) -> Proof:
    digest = step.evidence["rollback_script"]
    if not digest:
        return Proof(ItemState.NOT_APPLICABLE, "A rehearsal needs none.")
    return Proof(ItemState.PASSED, f"rollback.sh, SHA-256 {digest[:8]}", {"sha256": digest})


@proof("loaded")
def _loaded(item: ChecklistItem, step: RunStep) -> Proof:
    tables = step.evidence["tables"]
    planned = {table.name for table in move_plan(step.run.plan).tables if table.is_loaded}
    missing = sorted(planned - set(tables))
    said = f"{sum(tables.values()):,} rows of {len(tables)} tables" + (f"; missing: {missing[:5]}" if missing else "")
    return judged(bool(tables) and not missing, said, {"tables": tables, "missing": missing})


@proof("verified")
def _verified(item: ChecklistItem, step: RunStep) -> Proof:
    found, untried = int(step.evidence["difference_count"]), list(step.evidence["inconclusive"])
    if untried:
        return Proof(ItemState.INCONCLUSIVE, f"Not tried: {'; '.join(untried[:3])}", {"inconclusive": untried})
    fine = step.evidence["equal"] is True and not found
    return judged(fine, "nothing differs" if fine else f"{found:,} differences", {"differences": found})


@proof("counts_equal")
def _counts_equal(item: ChecklistItem, step: RunStep) -> Proof:
    tables = step.evidence["tables"]
    unequal = [t["name"] for t in tables if t["rows"] != t["target_rows"]]
    if not tables:
        return Proof(ItemState.INCONCLUSIVE, "No table was compared.")
    said = f"{len(tables) - len(unequal)} of {len(tables)} tables equal, {sum(t['rows'] for t in tables):,} rows"
    return judged(not unequal, said, {t["name"]: [t["rows"], t["target_rows"]] for t in tables})


@proof("cells_equal")
def _cells_equal(item: ChecklistItem, step: RunStep) -> Proof:
    tables = step.evidence["tables"]
    cells, differ = sum(t["cells"] for t in tables), sum(t["differences"] for t in tables)
    if not tables:
        return Proof(ItemState.INCONCLUSIVE, "No table was compared.")
    said = f"{cells:,} cells equal" if not differ else f"{differ:,} rows differ"
    return judged(not differ and not step.evidence["difference_count"], said, {"cells": cells, "differences": differ})


@proof("decrypts")
def _decrypts(item: ChecklistItem, step: RunStep) -> Proof:
    return _opened(item, step, step.evidence["decrypted"])


@proof("decrypts_by_pattern")
def _decrypts_by_pattern(item: ChecklistItem, step: RunStep) -> Proof:
    described = step.run.application.encrypted_columns
    patterned = _patterned(step)
    if described and not patterned:
        return Proof(ItemState.INCONCLUSIVE, "No pattern is declared for an encrypted column.")
    checks = [check for check in step.evidence["decrypted"] if _place(check) in patterned]
    return _opened(item, step, checks)


def _opened(item: ChecklistItem, step: RunStep, checks: list[dict[str, Any]]) -> Proof:
    if not step.run.application.encrypted_columns:
        return Proof(ItemState.NOT_APPLICABLE, "No encrypted column is declared for this application.")
    untried = [check["inconclusive"] for check in checks if check.get("inconclusive")]
    if untried or not checks:
        return Proof(ItemState.INCONCLUSIVE, untried[0] if untried else "No cell was tried.", checks)
    opened = sum(check["opened"] for check in checks)
    left = sum(check["cells"] for check in checks) - opened
    return judged(left <= 0, f"{opened:,} opened" if left <= 0 else f"{left:,} cells don't open", checks)


# --- The application on PostgreSQL


@proof("key_set")
def _key_set(item: ChecklistItem, step: RunStep) -> Proof:
    keys = step.evidence["keys"]
    if item.subject not in keys:
        return Proof(ItemState.NOT_APPLICABLE, f"The application is pointed by {', '.join(keys)}.", {"keys": keys})
    return judged(bool(step.evidence["sha256_after"] or step.evidence["mechanism"] == "environment"), "set", keys)


@proof("processes_up")
def _processes_up(item: ChecklistItem, step: RunStep) -> Proof:
    processes = step.evidence["processes"]
    return judged(bool(processes), f"{', '.join(one['name'] for one in processes)} up", processes)


@proof("says_postgresql")
def _says_postgresql(item: ChecklistItem, step: RunStep) -> Proof:
    proofs = {one["name"]: one["outcome"] for one in step.evidence["identity"]["proofs"]}
    shown = [name for name in ("own_word", "connections") if proofs.get(name) == "passed"]
    # Online the file goes on changing, by what flows back: its fence is what keeps others out.
    kept = next((name for name in ("sqlite_still", "fenced") if proofs.get(name) == "passed"), "")
    fine = step.evidence["dialect"] == "postgresql" and bool(shown) and bool(kept)
    said = {"sqlite_still": "SQLite is still", "fenced": "SQLite is fenced"}.get(kept, "SQLite may be written to")
    return judged(fine, f"by {' and '.join(shown).replace('_', ' ') or 'nothing'}; {said}", proofs)


@proof("endpoints_green")
def _endpoints_green(item: ChecklistItem, step: RunStep) -> Proof:
    answers = step.evidence["endpoints"]
    failed = [f"{one['name']} {one['problem']}" for one in answers if not one["passed"]]
    if not answers:
        return Proof(ItemState.INCONCLUSIVE, "No endpoint is declared for this application.")
    return judged(not failed, "; ".join(failed) or f"{len(answers)} of {len(answers)} green", answers)


@proof("endpoint")
def _endpoint(item: ChecklistItem, step: RunStep) -> Proof:
    answers = [one for one in step.evidence["endpoints"] if one["name"] == item.subject]
    if not answers:
        return Proof(ItemState.INCONCLUSIVE, f"No endpoint “{item.subject}” is declared.")
    one = answers[0]
    rows = "" if one["length"] is None else f", {one['length']:,} rows"
    return judged(bool(one["passed"]), one["problem"] or f"answered {one['status']}{rows}", one)


@proof("lengths_equal")
def _lengths_equal(item: ChecklistItem, step: RunStep) -> Proof:
    counted = [one for one in step.evidence["endpoints"] if one["length"] is not None]
    wrong = [one["name"] for one in counted if not one["passed"]]
    if not counted:
        return Proof(ItemState.NOT_APPLICABLE, "No endpoint is declared whose list is as long as its table.")
    said = ", ".join(f"{one['name']} {one['length']:,}" for one in counted)
    return judged(not wrong, said, counted)


@proof("sound")
def _sound(item: ChecklistItem, step: RunStep) -> Proof:
    problems, untried = list(step.evidence["problems"]), list(step.evidence["inconclusive"])
    if untried:
        return Proof(ItemState.INCONCLUSIVE, untried[0], untried)
    held = f"no orphans, {int(step.evidence.get('uniques', 0)):,} unique keys hold, sequences ahead"
    return judged(not problems, "; ".join(problems[:3]) or held, problems)


@proof("dates_read")
def _dates_read(item: ChecklistItem, step: RunStep) -> Proof:
    """Columns that held YYYY-MM-DD as text, every value; encrypted ones by the pattern that is declared for them."""
    dates = list(step.evidence["dates"])
    patterned = _patterned(step)
    wrong = [f"{one['table']}.{one['column']} {one['wrong']:,}" for one in dates if one["wrong"]]
    if wrong:
        return Proof(ItemState.FAILED, f"not YYYY-MM-DD: {'; '.join(wrong)}", dates)
    read = f"{sum(one['values'] for one in dates):,} values of {len(dates)} columns read as YYYY-MM-DD"
    if step.run.application.encrypted_columns and not patterned:
        # The dates that matter most may be among those, and nobody said how they read.
        return Proof(ItemState.INCONCLUSIVE, f"{read}, but no pattern is declared for an encrypted column.", dates)
    if patterned:
        opened = _opened(item, step, [one for one in step.evidence["decrypted"] if _place(one) in patterned])
        return Proof(opened.state, f"{read}; encrypted: {opened.said}", [dates, opened.output])
    if step.evidence["dates_why_not"]:
        return Proof(ItemState.INCONCLUSIVE, step.evidence["dates_why_not"], dates)
    if not dates:
        return Proof(ItemState.NOT_APPLICABLE, "No column held dates as text, and no pattern is declared.")
    return Proof(ItemState.PASSED, read, dates)


def _patterned(step: RunStep) -> set[tuple[str, str]]:
    return {_place(column) for column in step.run.application.encrypted_columns if column.get("pattern")}


def _place(one: Evidence) -> tuple[str, str]:
    return one["table"], one["column"]


@proof("soaked")
def _soaked(item: ChecklistItem, step: RunStep) -> Proof:
    samples, missed = int(step.evidence["samples"]), int(step.evidence["missed"])
    if not samples:
        return Proof(ItemState.INCONCLUSIVE, "No sample was taken.")
    return Proof(ItemState.PASSED, f"{samples:,} samples, {missed} missed", dict(step.evidence))


@proof("gate_passed")
def _gate_passed(item: ChecklistItem, step: RunStep) -> Proof:
    gate = step.run.gates.get(code=item.subject)
    names = ", ".join(f"{a.user_name} as {a.role}" for a in gate.approvals.filter(state="consumed"))
    passed = gate.state == GateState.PASSED
    return judged(passed, f"signed by {names}" if names else gate.get_state_display(), {"gate": gate.code})
