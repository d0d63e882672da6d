"""The items of a run: made from a template, proved by steps, derived from each other, gone stale. Writes them alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from controlplane.redaction import redact
from controlplane.registry.models import Application
from migrations_app.models import ChecklistItem, ItemChange, MigrationRun, RunStep
from migrations_app.models.checklist import Prover
from migrations_app.models.states import ItemState, RunKind, StepState, Strategy
from migrations_app.services.checklist_file import TemplateItem, items_from_document
from migrations_app.services.checklist_online import for_online
from migrations_app.services.checklist_proofs import prove
from migrations_app.services.checklist_templates import version_for
from migrations_app.services.evidence import digest_of

FINE = frozenset({ItemState.PASSED, ItemState.NOT_APPLICABLE, ItemState.WAIVED})
# The first that holds for one part holds for the whole.
_WORST = (ItemState.FAILED, ItemState.STALE, ItemState.INCONCLUSIVE, ItemState.OPEN)


def create_items(run: MigrationRun) -> None:
    """Copy the application's checklist into a run, which keeps that version. A rehearsal asks nobody.

    Call inside the transaction that makes the run, after its steps.
    """
    version = version_for(run.application)
    MigrationRun.objects.filter(pk=run.pk).update(checklist_version=version)
    run.checklist_version = version
    steps = dict(run.steps.values_list("name", "phase"))
    items = items_from_document(version.items)
    if run.strategy == Strategy.ONLINE:
        items = tuple(for_online(item, steps) for item in items)
    chosen = [_for_application(item, run.application) for item in items]
    if run.kind == RunKind.REHEARSAL:
        chosen = [item for item in chosen if item.step in steps and item.prover == Prover.SYSTEM]
    ChecklistItem.objects.bulk_create(
        ChecklistItem(
            run=run,
            code=item.code,
            phase=item.phase,
            section=item.section,
            title=item.title,
            criterion=item.criterion,
            prover=item.prover,
            level=item.level,
            owner=item.owner,
            planned_minutes=item.minutes,
            step_name=item.step,
            after=item.after,
            proof=item.proof,
            subject=item.subject,
            command=item.command,
            parts=list(item.parts),
            waivable=item.waivable,
            position=position,
        )
        for position, item in enumerate(chosen, start=1)
    )


def provable(needs: str, application: Application) -> bool:
    """Whether the application has what the system needs to prove an item."""
    kind, _, name = needs.partition(":")
    if kind == "command":
        return bool(application.commands.get(name))
    if kind == "endpoints":
        return bool(application.endpoints)
    if kind == "endpoint":
        return any(endpoint.get("name") == name for endpoint in application.endpoints)
    if kind == "pool":
        return bool(application.identity.get("pool"))
    return True


def _for_application(item: TemplateItem, application: Application) -> TemplateItem:
    """The item itself, or, where the system can't prove it here, the one that people prove."""
    if not item.needs or provable(item.needs, application):
        return item
    return TemplateItem(
        code=item.code,
        phase=item.phase,
        section=item.section,
        title=item.title,
        criterion=item.criterion,
        prover=item.otherwise,
        level=item.level,
        owner=item.owner,
        minutes=item.minutes,
        after="" if item.command else item.step,
        waivable=item.waivable,
    )


def prove_items(*, run: MigrationRun, step: RunStep, now: datetime) -> None:
    """Set the system's items of a step from its evidence. Call inside the transaction that records the result.

    What people saw before the step says nothing about what it made: that goes stale.
    """
    step.run = run
    proved = list(run.items.filter(prover=Prover.SYSTEM, step_name=step.name))
    for item in proved:
        proof = prove(item, step)
        evidence = {
            "step": step.name,
            "step_digest": step.evidence_digest,
            "message": redact(proof.said)[:500],
            "inputs": _inputs(run, item, step),
            "output": proof.output,
            "seconds": round((now - (step.started_at or now)).total_seconds(), 1),
        }
        change_item(item=item, state=proof.state, evidence=evidence, by="system", now=now)
    if step.state == StepState.SUCCEEDED:
        early = run.items.filter(after=step.name).exclude(state=ItemState.OPEN).exclude(prover=Prover.SYSTEM)
        _go_stale(early, f"Recorded before “{step.title}” ended: look again.", now)
    if proved or step.state == StepState.SUCCEEDED:
        derive_items(run, now)


def _inputs(run: MigrationRun, item: ChecklistItem, step: RunStep) -> dict[str, Any]:
    """What the proof is about: without these the same output could belong to anything."""
    found: dict[str, Any] = {"run": run.pk, "plan": run.plan.digest, "attempt": step.attempts}
    for name in ("proof", "subject", "command"):
        if getattr(item, name):
            found[name] = getattr(item, name)
    fingerprint = run.facts.get("final_fingerprint", {}).get("digest")
    return found | ({"source": fingerprint} if fingerprint else {})


def stale_items(*, run: MigrationRun, step: RunStep, now: datetime) -> None:
    """The step runs again: what it proved holds no longer. Call inside the transaction that claims it."""
    proved = run.items.filter(prover=Prover.SYSTEM, step_name=step.name).exclude(state=ItemState.OPEN)
    if _go_stale(proved, f"“{step.title}” runs again.", now):
        derive_items(run, now)


def _go_stale(items: Iterable[ChecklistItem], why: str, now: datetime) -> int:
    count = 0
    for item in items:
        if item.state != ItemState.STALE:
            change_item(item=item, state=ItemState.STALE, evidence={"message": why}, by="system", now=now)
            count += 1
    return count


def derive_items(run: MigrationRun, now: datetime) -> None:
    """Items that follow from others: passed when all their parts are fine, else what the worst part is."""
    items = {item.code: item for item in run.items.all()}
    for _ in range(3):  # an item may follow from one that follows from others
        for item in items.values():
            if item.parts:
                _derive(item, [items[code] for code in item.parts if code in items], now)


def _derive(item: ChecklistItem, parts: list[ChecklistItem], now: datetime) -> None:
    states = {part.state for part in parts}
    state = next((state for state in _WORST if state in states), ItemState.PASSED)
    if not parts:
        state = ItemState.INCONCLUSIVE
    elif states == {ItemState.NOT_APPLICABLE}:
        state = ItemState.NOT_APPLICABLE
    output = {part.code: [part.state, part.evidence.get("digest", "")] for part in parts}
    if item.evidence.get("output") == output or (state == item.state == ItemState.OPEN):
        return
    said = "; ".join(
        f"{bad.label.lower()}: {', '.join(part.code for part in parts if part.state == bad)}"
        for bad in _WORST
        if bad in states
    )
    said = said or f"follows from {', '.join(output)}"
    change_item(item=item, state=state, evidence={"message": said, "output": output}, by="system", now=now)


def change_item(*, item: ChecklistItem, state: str, evidence: dict[str, Any], by: str, now: datetime) -> None:
    """Set an item, and keep what it was set by. `evidence` gets its digest, bound to the run, plan and item."""
    bound = {"run": item.run_id, "item": item.code, "state": state, "by": by, "at": now.isoformat(), **evidence}
    kept = {**evidence, "digest": digest_of(bound)}
    ItemChange.objects.create(
        item=item,
        at=now,
        was=item.state,
        state=state,
        by=by,
        said=str(evidence.get("message", ""))[:500],
        evidence=kept,
    )
    ChecklistItem.objects.filter(pk=item.pk).update(state=state, evidence=kept, changed_at=now)
    item.state, item.evidence, item.changed_at = state, kept, now
