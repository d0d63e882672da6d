"""What the crossing proves: the application is stopped, the way back written, every row loaded and compared."""

from __future__ import annotations

from migrations_app.models import ChecklistItem, RunStep
from migrations_app.models.states import ItemState
from migrations_app.services.proof_kinds import Proof, judged, proof
from migrations_app.steps.workplace import move_plan


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
