"""What is proved of the application on PostgreSQL: it is pointed there, up, answers, and reads what was moved."""

from __future__ import annotations

from migrations_app.models import ChecklistItem, RunStep
from migrations_app.models.states import GateState, ItemState
from migrations_app.services.proof_kinds import Proof, judged, proof
from migrations_app.services.proofs_of_decryption import opened_cells, patterned, place


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
    declared = patterned(step)
    wrong = [f"{one['table']}.{one['column']} {one['wrong']:,}" for one in dates if one["wrong"]]
    if wrong:
        return Proof(ItemState.FAILED, f"not YYYY-MM-DD: {'; '.join(wrong)}", dates)
    read = f"{sum(one['values'] for one in dates):,} values of {len(dates)} columns read as YYYY-MM-DD"
    if step.run.application.encrypted_columns and not declared:
        # The dates that matter most may be among those, and nobody said how they read.
        return Proof(ItemState.INCONCLUSIVE, f"{read}, but no pattern is declared for an encrypted column.", dates)
    if declared:
        opened = opened_cells(item, step, [one for one in step.evidence["decrypted"] if place(one) in declared])
        return Proof(opened.state, f"{read}; encrypted: {opened.said}", [dates, opened.output])
    if step.evidence["dates_why_not"]:
        return Proof(ItemState.INCONCLUSIVE, step.evidence["dates_why_not"], dates)
    if not dates:
        return Proof(ItemState.NOT_APPLICABLE, "No column held dates as text, and no pattern is declared.")
    return Proof(ItemState.PASSED, read, dates)


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
