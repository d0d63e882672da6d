"""Templates: the one that ships, an application's own copy, and its versions. A run keeps the version it began with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Application, Role
from migrations_app.models import ChecklistTemplate, ChecklistVersion
from migrations_app.models.checklist import Level, Prover
from migrations_app.models.states import Phase
from migrations_app.services.checklist_file import (
    TemplateItem,
    check_items,
    item_from_document,
    items_from_document,
    shipped_file,
)
from migrations_app.services.errors import ServiceRefused, Stale
from migrations_app.services.evidence import digest_of
from migrations_app.services.permissions import Offer, require_role, roles_of, who_can
from migrations_app.steps.checks import OwnChecks

# Who says what must be proved: those who sign for it. Ops carry it out.
EDITORS = (Role.LEAD, Role.QA)
# What a team may change of an item that the system proves; the proof itself is the product's.
_WORDS = frozenset({"title", "criterion", "section", "level", "owner", "minutes"})
_RANK: dict[str, int] = {Level.MANDATORY: 2, Level.RECOMMENDED: 1, Level.OPTIONAL: 0}


@dataclass(frozen=True)
class TemplateView:
    """What an application's runs begin with now. `own`: it is the application's copy, which may be edited."""

    version: ChecklistVersion
    items: tuple[TemplateItem, ...]
    own: bool
    edit: Offer
    differences: tuple[str, ...]  # against what ships, a sentence a line


def version_for(application: Application) -> ChecklistVersion:
    """The version that a run of the application begins with: of its own copy, else of the one that ships."""
    version = (
        ChecklistVersion.objects.filter(template__application=application, template__retired_at__isnull=True)
        .select_related("template")
        .order_by("-number")
        .first()
    )
    return version or shipped_version()


def shipped_version() -> ChecklistVersion:
    """The shipped file as rows: a new version is made when the file has changed. Safe to call at the same time."""
    shipped = shipped_file()
    items = [item.to_document() for item in shipped.items]
    digest = digest_of(items)
    newest = _newest_shipped(shipped.name)
    if newest is not None and newest.digest == digest:
        return newest
    now = timezone.now()
    try:
        with transaction.atomic():
            template, _ = ChecklistTemplate.objects.get_or_create(
                name=shipped.name, application=None, defaults={"title": shipped.title, "created_at": now}
            )
            return ChecklistVersion.objects.create(
                template=template,
                number=newest.number + 1 if newest else 1,
                items=items,
                digest=digest,
                author_name="Causeway",
                note="As it ships with the product.",
                created_at=now,
            )
    except IntegrityError:
        raced = _newest_shipped(shipped.name)
        if raced is None or raced.digest != digest:
            raise
        return raced


def _newest_shipped(name: str) -> ChecklistVersion | None:
    versions = ChecklistVersion.objects.filter(template__name=name, template__application=None)
    return versions.select_related("template").order_by("-number").first()


def template_view(user: Any, application: Application) -> TemplateView:
    """All that the template's page shows, computed now."""
    version = version_for(application)
    own = version.template.application_id is not None
    if roles_of(user, application) & set(EDITORS):
        edit = Offer("edit", "Edit" if own else "Copy and edit", True)
    else:
        why = "You don't have the role for it."
        edit = Offer("edit", "Edit" if own else "Copy and edit", False, why, who_can(application, EDITORS))
    items = items_from_document(version.items)
    return TemplateView(version, items, own, edit, tuple(differences(shipped_file().items, items)) if own else ())


def copy_template(*, actor: Any, application: Application, reason: str) -> ChecklistVersion:
    """Give the application a copy of what ships, to be edited. Raises Forbidden, ServiceRefused ALREADY_COPIED."""
    role = require_role(actor, application, EDITORS, "copy the checklist")
    _require_reason(reason)
    shipped = shipped_version()
    now = timezone.now()
    try:
        with transaction.atomic():
            template = ChecklistTemplate.objects.create(
                name=application.name,
                title=f"{application.title or application.name}, checklist",
                application=application,
                created_at=now,
            )
            version = _add_version(template, 1, shipped.items, actor, f"Copied from {shipped}. {reason.strip()}")
            record(
                action="checklist.copied",
                actor=actor,
                role=role,
                obj=template,
                application=application.name,
                payload={"from": shipped.digest, "reason": reason.strip()[:500]},
            )
    except IntegrityError:
        raise ServiceRefused("ALREADY_COPIED", f"{application.name} has a checklist of its own already.") from None
    return version


def retire_template(*, actor: Any, application: Application, number: int, reason: str) -> None:
    """Go back to what ships; runs that began with the copy keep it."""
    role = require_role(actor, application, EDITORS, "give up the checklist's copy")
    _require_reason(reason)
    with transaction.atomic():
        version = _own_version(application, number)
        ended = ChecklistTemplate.objects.filter(pk=version.template_id, retired_at__isnull=True).update(
            retired_at=timezone.now()
        )
        if ended != 1:
            raise Stale("The checklist has changed in the meantime.")
        record(
            action="checklist.retired",
            actor=actor,
            role=role,
            obj=version.template,
            application=application.name,
            payload={"version": version.number, "reason": reason.strip()[:500]},
        )


def edit_item(
    *, actor: Any, application: Application, number: int, code: str, changes: Mapping[str, Any], reason: str
) -> ChecklistVersion:
    """Change one item of the application's copy. `number` is the version that the person was shown."""

    def change(items: list[TemplateItem]) -> list[TemplateItem]:
        old = _item(items, code)
        new = _changed(old, changes)
        _require_not_weaker(old, new)
        return [new if item.code == code else item for item in items]

    return _edit(actor, application, number, change, reason)


def add_item(
    *, actor: Any, application: Application, number: int, item: Mapping[str, Any], reason: str
) -> ChecklistVersion:
    """Add an item that people prove, or a command of the application's own."""
    command = str(item.get("command", ""))
    given = {name: item[name] for name in ("code", "phase", *_WORDS) if item.get(name) not in (None, "")}
    if command:
        otherwise = str(item.get("prover") or Prover.QA)
        proving = {"command": command, "step": OwnChecks.name, "needs": f"command:{command}", "otherwise": otherwise}
    else:
        proving = {"prover": str(item.get("prover") or Prover.QA)}
        proving |= {"after": "check_application"} if item.get("phase") == Phase.VERIFICATION else {}
    described: dict[str, Any] = {"section": "Ours", "owner": "qa", "title": "", **given, **proving}

    def change(items: list[TemplateItem]) -> list[TemplateItem]:
        new = item_from_document(described)
        order = list(Phase.values)
        if new.phase not in order:
            return [*items, new]  # refused by check_items(), in words
        before = [each for each in items if order.index(each.phase) <= order.index(new.phase)]
        return [*before, new, *items[len(before) :]]

    return _edit(actor, application, number, change, reason)


def remove_item(*, actor: Any, application: Application, number: int, code: str, reason: str) -> ChecklistVersion:
    """Take an item out of the application's copy. Raises ServiceRefused ITEM_IS_FIXED where data depends on it."""

    def change(items: list[TemplateItem]) -> list[TemplateItem]:
        old = _item(items, code)
        if not old.waivable:
            raise _fixed(old, "be left out")
        return _without(items, code)

    return _edit(actor, application, number, change, reason)


def differences(before: Sequence[TemplateItem], after: Sequence[TemplateItem]) -> list[str]:
    """What the second has otherwise than the first, a sentence a line."""
    old, new = ({item.code: item for item in items} for items in (before, after))
    lines = [f"{code} “{old[code].title}” is left out." for code in old if code not in new]
    for code, item in new.items():
        if code not in old:
            lines.append(f"{code} “{item.title}” is added, {item.level}.")
        elif item != old[code]:
            words = [name for name in sorted(_WORDS | {"prover", "parts"}) if _differ(name, old[code], item)]
            lines.append(f"{code} “{item.title}”: {', '.join(_said(name, old[code], item) for name in words)}.")
    return lines


def _differ(name: str, old: TemplateItem, new: TemplateItem) -> bool:
    return bool(getattr(old, name) != getattr(new, name))


def _said(name: str, old: TemplateItem, new: TemplateItem) -> str:
    if name in ("title", "criterion"):
        return f"another {name}"
    return f"{name} {getattr(old, name) or 'none'} → {getattr(new, name) or 'none'}"


def _edit(
    actor: Any,
    application: Application,
    number: int,
    change: Callable[[list[TemplateItem]], list[TemplateItem]],
    reason: str,
) -> ChecklistVersion:
    role = require_role(actor, application, EDITORS, "edit the checklist")
    _require_reason(reason)
    try:
        with transaction.atomic():
            version = _own_version(application, number)
            before = items_from_document(version.items)
            after = change(list(before))
            check_items(after)
            lines = differences(before, after)
            if not lines:
                raise ServiceRefused("NOTHING_CHANGED", "Nothing was changed.", status=400)
            note = f"{' '.join(lines)} {reason.strip()}"
            items = [item.to_document() for item in after]
            made = _add_version(version.template, version.number + 1, items, actor, note)
            record(
                action="checklist.changed",
                actor=actor,
                role=role,
                obj=version.template,
                application=application.name,
                payload={"version": made.number, "changes": lines[:20], "reason": reason.strip()[:500]},
            )
    except IntegrityError:
        raise Stale("Someone else has changed the checklist in the meantime.") from None
    return made


def _own_version(application: Application, number: int) -> ChecklistVersion:
    """The newest version of the application's own copy. Raises ServiceRefused NO_COPY, Stale."""
    version = version_for(application)
    if version.template.application_id is None:
        raise ServiceRefused("NO_COPY", "What ships can't be edited.", hint="Copy it first.")
    if version.number != number:
        raise Stale(f"You were shown version {number}; version {version.number} is in use now.")
    return version


def _add_version(
    template: ChecklistTemplate, number: int, items: list[dict[str, Any]], actor: Any, note: str
) -> ChecklistVersion:
    return ChecklistVersion.objects.create(
        template=template,
        number=number,
        items=items,
        digest=digest_of(items),
        author=actor,
        author_name=actor.get_username(),
        note=note[:4000],
        created_at=timezone.now(),
    )


def _item(items: Sequence[TemplateItem], code: str) -> TemplateItem:
    for item in items:
        if item.code == code:
            return item
    raise ServiceRefused("NO_SUCH_ITEM", f"The checklist has no item {code}.", status=404)


def _changed(old: TemplateItem, changes: Mapping[str, Any]) -> TemplateItem:
    allowed = _WORDS if old.prover == Prover.SYSTEM else _WORDS | {"prover"}
    given = {name: value for name, value in changes.items() if name in allowed}
    return replace(old, **given)


def _without(items: Sequence[TemplateItem], code: str) -> list[TemplateItem]:
    """The others; what followed from this item alone goes with it."""
    kept = []
    for item in items:
        if item.code != code:
            kept.append(replace(item, parts=tuple(part for part in item.parts if part != code)))
    orphan = next((item for item in kept if item.prover == Prover.SYSTEM and not item.step and not item.parts), None)
    if orphan is None:
        return kept
    if not orphan.waivable:
        raise _fixed(orphan, "lose all that it follows from")
    return _without(kept, orphan.code)


def _require_not_weaker(old: TemplateItem, new: TemplateItem) -> None:
    if not old.waivable and _RANK.get(new.level, 0) < _RANK.get(old.level, 0):
        raise _fixed(old, "be made less than mandatory")


def _fixed(item: TemplateItem, what: str) -> ServiceRefused:
    return ServiceRefused(
        "ITEM_IS_FIXED",
        f"{item.code} “{item.title}” may never {what}: data depends on it.",
        hint="Its words may be changed.",
    )


def _require_reason(reason: str) -> None:
    if len(reason.strip()) < 3:
        raise ServiceRefused("REASON_MISSING", "Say why: those who sign later must know.", status=400)
