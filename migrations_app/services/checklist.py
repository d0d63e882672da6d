"""What people do with a checklist: record a result, reopen, waive; and what gates and pages ask about it.

The system's items are proved by checklist_items.py; nobody can tick them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db import transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Role
from migrations_app.models import ChecklistItem, MigrationRun, ResultFile, TestResult
from migrations_app.models.checklist import Level, Prover
from migrations_app.models.states import GateCode, ItemState, Phase
from migrations_app.services.checklist_files import KeptFile, Upload, keep_files
from migrations_app.services.checklist_items import (
    FINE,
    change_item,
    create_items,
    derive_items,
    prove_items,
    stale_items,
)
from migrations_app.services.errors import Forbidden, ServiceRefused
from migrations_app.services.evidence import digest_of
from migrations_app.services.permissions import require_role, who_can
from migrations_app.services.signatures import lapse_outdated
from migrations_app.services.transitions import touch_run

__all__ = [
    "FINE",
    "PROVERS",
    "blocking_items",
    "create_items",
    "derive_items",
    "phases_before",
    "prove_items",
    "record_result",
    "reopen_item",
    "stale_items",
    "waive_item",
    "why_not_waive",
]

_RECORDABLE = (ItemState.PASSED, ItemState.FAILED, ItemState.INCONCLUSIVE, ItemState.NOT_APPLICABLE)
PROVERS: dict[str, tuple[Role, ...]] = {"qa": (Role.QA,), "ops": (Role.OPS, Role.LEAD)}
_LAST_PHASE: dict[str, Phase] = {
    GateCode.GO: Phase.GO,
    GateCode.QA: Phase.VERIFICATION,
    GateCode.SIGN_OFF: Phase.SIGN_OFF,
}


def blocking_items(run: MigrationRun, gate_code: str) -> list[ChecklistItem]:
    """The mandatory items that stand against a gate: those up to its phase that are not passed, waived or needless.

    Gate 1 asks for the plan alone. Items of the way back stand against no gate.
    """
    phases = phases_before(gate_code)
    items = run.items.filter(level=Level.MANDATORY, phase__in=phases).exclude(state__in=sorted(FINE))
    return list(items) if phases else []


def phases_before(gate_code: str) -> list[Phase]:
    """The phases whose items a gate waits for; none for gate 1."""
    order = list(Phase)
    return order[: order.index(_LAST_PHASE[gate_code]) + 1] if gate_code in _LAST_PHASE else []


def record_result(
    *,
    actor: Any,
    item: ChecklistItem,
    outcome: str,
    note: str,
    link: str = "",
    files: Sequence[Upload] = (),
) -> TestResult:
    """Record what a person saw. Raises Forbidden, or ServiceRefused when it proves nothing or the run is over.

    The evidence is a file, a link or a note that says something; it is bound to the run and its plan's digest.
    """
    run = item.run
    if item.prover == Prover.SYSTEM:
        raise ServiceRefused(
            "PROVED_BY_SYSTEM",
            f"{item.code} is proved by the system; nobody can tick it.",
            hint="If it is wrong, hold the run and look at the step's evidence.",
        )
    role = require_role(actor, run.application, PROVERS[item.prover], "record results")
    if outcome not in _RECORDABLE:
        raise ServiceRefused("BAD_OUTCOME", f"{outcome!r} is not an outcome that can be recorded.", status=400)
    _require_evidence(note, link, files)
    _require_unfinished(run)
    kept = keep_files(run, files)
    now = timezone.now()
    with transaction.atomic():
        run = _locked(run)
        result = _store_result(run, item, actor, role, outcome, note.strip(), link, kept, now)
        _record_change(
            run=run,
            item=item,
            state=outcome,
            actor=actor,
            role=role,
            action="result.recorded",
            said=note.strip(),
            now=now,
            more={"result": result.pk, "result_digest": result.digest, "files": [file.sha256 for file in kept]},
        )
    return result


def reopen_item(*, actor: Any, item: ChecklistItem, reason: str) -> None:
    """Ask for the item to be tested again; a waiver is taken back. What was recorded stays beside it."""
    roles: tuple[Role, ...] = (Role.LEAD,) if item.state == ItemState.WAIVED else PROVERS.get(item.prover, ())
    if not roles:
        raise ServiceRefused("PROVED_BY_SYSTEM", f"{item.code} is proved by the system; its step opens it again.")
    role = require_role(actor, item.run.application, roles, f"reopen {item.code}")
    _require_reason(reason)
    now = timezone.now()
    with transaction.atomic():
        run = _locked(item.run)
        item.refresh_from_db()
        if item.state in (ItemState.OPEN, ItemState.STALE):
            raise ServiceRefused("ITEM_IS_OPEN", f"{item.code} is {item.get_state_display().lower()} already.")
        state, proof = ItemState.OPEN, None
        if item.state == ItemState.WAIVED and item.prover == Prover.SYSTEM:
            proof = item.changes.filter(by="system").order_by("-at", "-pk").first()
            state = ItemState(proof.state) if proof else ItemState.OPEN
        _record_change(
            run=run,
            item=item,
            state=state,
            actor=actor,
            role=role,
            action="item.reopened",
            said=reason.strip(),
            now=now,
            more={"proof": proof.evidence.get("digest", "")} if proof else {},
        )


def waive_item(*, actor: Any, item: ChecklistItem, reason: str) -> None:
    """Go on without the item. A team lead who neither wrote the plan nor recorded the result; never where data
    depends on it."""
    role = require_role(actor, item.run.application, (Role.LEAD,), f"waive {item.code}")
    _require_reason(reason, least=10)
    now = timezone.now()
    with transaction.atomic():
        run = _locked(item.run)
        item.refresh_from_db()
        why = why_not_waive(actor, run, item)
        if why:
            raise Forbidden("MAY_NOT_WAIVE", why, who=who_can(run.application, [Role.LEAD]))
        _record_change(
            run=run,
            item=item,
            state=ItemState.WAIVED,
            actor=actor,
            role=role,
            action="item.waived",
            said=reason.strip(),
            now=now,
            more={"waived": item.state, "proof": item.evidence.get("digest", "")},
        )


def why_not_waive(actor: Any, run: MigrationRun, item: ChecklistItem) -> str:
    """'' when this team lead may waive the item, else the reason in words."""
    if not item.waivable:
        return f"{item.code} may never be waived: data depends on it."
    if item.parts:
        return f"{item.code} follows from {', '.join(item.parts)}: waive what it follows from."
    if item.state in FINE:
        return f"{item.code} is {item.get_state_display().lower()}."
    if run.plan.author_id == actor.pk:
        return "You wrote this plan; another team lead must decide what it can do without."
    last = item.results.order_by("-recorded_at").first()
    if last is not None and last.recorded_by_id == actor.pk:
        return "You recorded its result; another team lead must decide."
    return ""


def _record_change(
    *,
    run: MigrationRun,
    item: ChecklistItem,
    state: str,
    actor: Any,
    role: str,
    action: str,
    said: str,
    now: datetime,
    more: dict[str, Any],
) -> None:
    """Everything that follows from a person's word on an item, in its transaction."""
    name = actor.get_username()
    evidence = {"by": name, "role": role, "message": said[:500], "plan": run.plan.digest, **more}
    change_item(item=item, state=state, evidence=evidence, by=name, now=now)
    derive_items(run, now)
    touch_run(run.pk)
    lapse_outdated(run=run, now=now)
    record(
        action=action,
        actor=actor,
        role=role,
        obj=item,
        application=run.application.name,
        payload={
            "run": run.pk,
            "item": item.code,
            "outcome": state,
            "note": said[:500],
            "evidence": item.evidence["digest"],
            "files": [row.sha256 for row in ResultFile.objects.filter(result=more["result"])]
            if "result" in more
            else [],
        },
    )


def _store_result(
    run: MigrationRun,
    item: ChecklistItem,
    actor: Any,
    role: str,
    outcome: str,
    note: str,
    link: str,
    kept: Sequence[KeptFile],
    now: datetime,
) -> TestResult:
    document = {
        "run": run.pk,
        "plan": run.plan.digest,
        "item": item.code,
        "outcome": outcome,
        "note": note,
        "link": link,
        "files": [[file.name, file.sha256] for file in kept],
        "by": actor.get_username(),
        "at": now.isoformat(),
    }
    result = TestResult.objects.create(
        item=item,
        recorded_by=actor,
        role=role,
        outcome=outcome,
        note=note,
        link=link,
        plan_digest=run.plan.digest,
        digest=digest_of(document),
        recorded_at=now,
    )
    ResultFile.objects.bulk_create(
        ResultFile(result=result, name=file.name, content_type=file.content_type, size=file.size, sha256=file.sha256)
        for file in kept
    )
    return result


def _locked(run: MigrationRun) -> MigrationRun:
    """The run, its row locked: results of a run are recorded one after the other."""
    MigrationRun.objects.select_for_update().get(pk=run.pk)
    run = MigrationRun.objects.select_related("application", "plan").get(pk=run.pk)
    _require_unfinished(run)
    return run


def _require_unfinished(run: MigrationRun) -> None:
    if run.is_finished:
        raise ServiceRefused("RUN_FINISHED", f"Run {run.pk} is {run.get_state_display().lower()}.")


def _require_evidence(note: str, link: str, files: Sequence[Upload]) -> None:
    """A file or a link may speak for itself; a note alone must say what was seen. Raises ServiceRefused."""
    _check_link(link)
    text = note.strip()
    if len(text) < 3:
        raise ServiceRefused("NOTE_MISSING", "Say what you saw: a result without a note proves nothing.", status=400)
    if link or files or _says_something(text):
        return
    raise ServiceRefused(
        "NOTE_MISSING",
        "The note is too short to prove anything.",
        hint="Say what you did and what you saw, or give a file or a link.",
        status=400,
    )


def _says_something(text: str) -> bool:
    """At least two words and eight letters; a letter of a script without spaces counts for two."""
    wide = sum(1 for letter in text if ord(letter) > 0x2E7F)
    return len(text) + wide >= 8 and (len(text.split()) > 1 or wide > 1)


def _require_reason(reason: str, least: int = 3) -> None:
    if len(reason.strip()) < least:
        raise ServiceRefused("REASON_MISSING", "Say why: it stays beside your name for good.", status=400)


def _check_link(link: str) -> None:
    if not link:
        return
    try:
        URLValidator(schemes=["http", "https"])(link)
    except ValidationError:
        raise ServiceRefused("BAD_LINK", "The link is not an http(s) address.", status=400) from None
