"""What the pages of a checklist say, computed from rows: what is due, what changed, what the last run had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from migrations_app.models import ChecklistItem, ChecklistVisit, ItemChange, MigrationRun, TestResult
from migrations_app.models.states import GateCode, ItemState, Phase
from migrations_app.services.advance import goes_back, next_step

_RUNS_LOOKED_AT = 5  # earlier runs of the application, the newest first
_SHOWN = 20


@dataclass(frozen=True)
class Earlier:
    """What the last run in which the item was tried said of it."""

    run_id: int
    state: str
    said: str
    at: datetime | None


@dataclass(frozen=True)
class Change:
    """An item that changed since the person last looked: from what it was then to what it is now."""

    item: ChecklistItem
    was: str
    by: str
    at: datetime


def phase_now(run: MigrationRun) -> Phase:
    """The phase that the run is in: items of later ones can't be proved yet."""
    if run.is_finished:
        return Phase.SIGN_OFF
    step = next_step(run)
    phase = Phase(step.phase) if step is not None else Phase.SIGN_OFF
    return Phase.SIGN_OFF if phase == Phase.ROLLBACK else phase


def next_gate(run: MigrationRun) -> str:
    """The label of the next gate that asks for items; '' when none is left."""
    labels = {
        Phase.PREPARE: GateCode.GO.label,
        Phase.GO: GateCode.GO.label,
        Phase.MONITORING: GateCode.SIGN_OFF.label,
        Phase.SIGN_OFF: GateCode.SIGN_OFF.label,
    }
    return "" if run.is_finished else str(labels.get(phase_now(run), GateCode.QA.label))


def is_due(item: ChecklistItem, now: Phase, back: bool) -> bool:
    """Whether the item's phase is reached; those of the way back count only where the run goes back."""
    if item.phase == Phase.ROLLBACK:
        return back
    order = list(Phase)
    return order.index(Phase(item.phase)) <= order.index(now)


def shown_items(run: MigrationRun) -> list[ChecklistItem]:
    """All items, those of the way back only where the run goes back; in a fixed number of queries."""
    items = list(run.items.prefetch_related("results__recorded_by", "results__files"))
    back = goes_back(run)
    return [item for item in items if item.phase != Phase.ROLLBACK or back]


def last_look(run: MigrationRun, user: Any) -> datetime | None:
    """When the person last said that all was seen, or recorded something; None when never."""
    seen = ChecklistVisit.objects.filter(run=run, user=user).values_list("seen_at", flat=True).first()
    own = (
        TestResult.objects.filter(item__run=run, recorded_by=user)
        .order_by("-recorded_at")
        .values_list("recorded_at", flat=True)
        .first()
    )
    return max((moment for moment in (seen, own) if moment is not None), default=None)


def changes_since(run: MigrationRun, user: Any, since: datetime | None) -> list[Change]:
    """Each item that others changed since then, and isn't what it was; the newest change first."""
    if since is None:
        return []
    rows = ItemChange.objects.filter(item__run=run, at__gt=since).select_related("item").order_by("at", "pk")
    first: dict[int, ItemChange] = {}
    last: dict[int, ItemChange] = {}
    for row in rows:
        first.setdefault(row.item_id, row)
        last[row.item_id] = row
    changed = [
        Change(row.item, first[key].was, row.by, row.at)
        for key, row in last.items()
        if row.by != user.get_username() and (first[key].was != row.item.state or row.by != "system")
    ]
    return sorted(changed, key=lambda change: change.at, reverse=True)[:_SHOWN]


def mark_seen(*, actor: Any, run: MigrationRun, at: datetime | None = None) -> None:
    """The person has seen what the page showed at that time: only what comes later is a change."""
    moment = min(at or timezone.now(), timezone.now())
    ChecklistVisit.objects.update_or_create(run=run, user=actor, defaults={"seen_at": moment})


def earlier(run: MigrationRun, items: Sequence[ChecklistItem]) -> dict[str, Earlier]:
    """By code, what the application's newest earlier run said of the same item (code and title)."""
    runs = list(
        MigrationRun.objects.filter(application=run.application_id, pk__lt=run.pk)
        .order_by("-pk")
        .values_list("pk", flat=True)[:_RUNS_LOOKED_AT]
    )
    titles = {item.code: item.title for item in items}
    rows = ChecklistItem.objects.filter(run__in=runs, code__in=list(titles)).exclude(state=ItemState.OPEN)
    found: dict[str, Earlier] = {}
    columns = ("code", "title", "run_id", "state", "evidence__message", "changed_at")  # not evidence's lists of tables
    for code, title, run_id, state, said, at in rows.order_by("-run_id").values_list(*columns):
        if titles[code] == title and code not in found:
            found[code] = Earlier(run_id, state, str(said or ""), at)
    return found
