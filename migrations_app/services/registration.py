"""Applications: registered, and changed section by section. Whoever saves an old page is told; what a run depends on
stays as it is while the run is under way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.audit.trail import record
from controlplane.registry.models import Application, Host, Membership, Role
from migrations_app.models import MigrationRun
from migrations_app.models.states import RUN_ACTIVE, RunState
from migrations_app.services import hosts, signatures
from migrations_app.services.addresses import URL_OF, Address, stored_address
from migrations_app.services.errors import FieldsRefused, Forbidden, ServiceRefused, Stale
from migrations_app.services.permissions import Offer, people_with, roles_of
from migrations_app.services.section_rules import HOST, clean_section
from migrations_app.services.sections import FREE, SECTIONS, changes_between, values_of

MAY_REGISTER = "registry.add_application"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED = frozenset({"new"})  # addresses of pages


def may_register(user: Any) -> bool:
    """Ops of any application, whoever was given the permission for it, and superusers."""
    if not user.is_authenticated or not user.is_active:
        return False
    return bool(user.has_perm(MAY_REGISTER)) or Membership.objects.filter(user=user, role=Role.OPS).exists()


def register_application(*, actor: Any, name: str, title: str, host: str) -> Application:
    """A draft with a name and a host. Who registers it runs it: a superuser, who decides nothing, gets no role."""
    if not may_register(actor):
        raise Forbidden("NOT_ALLOWED", "You can't register an application.", who="ops, or whoever runs Causeway")
    name, host = name.strip(), host.strip().lower()
    _require_names(name, host)
    try:
        with transaction.atomic():
            application = Application.objects.create(name=name, title=title.strip()[:200], host=host)
            if not actor.is_superuser:
                Membership.objects.create(application=application, user=actor, role=Role.OPS)
            hosts.expect(host)
            record(
                action="application.registered",
                actor=actor,
                role=_role(actor),
                obj=application,
                application=name,
                payload={"host": host},
            )
    except IntegrityError:
        raise FieldsRefused({"name": f"There is an application {name} already."}) from None
    return application


def _require_names(name: str, host: str) -> None:
    errors = {}
    if not _NAME.fullmatch(name):
        errors["name"] = "Small letters, digits, - and _, at most 63: it is typed in to confirm."
    elif name in RESERVED:
        errors["name"] = f"{name} is a word of Causeway’s own addresses."
    elif Application.objects.filter(name=name).exists():
        errors["name"] = f"There is an application {name} already."
    if not HOST.fullmatch(host):
        errors["host"] = "Small letters, digits, dots and hyphens: the name that its worker was started with."
    if errors:
        raise FieldsRefused(errors)


def require_may_change(user: Any, application: Application) -> str:
    """The role in which the user changes the description. Raises Forbidden NOT_ALLOWED."""
    if user.is_authenticated and user.is_active and user.is_superuser:
        return "superuser"
    if Role.OPS in roles_of(user, application):
        return Role.OPS.value
    raise Forbidden("NOT_ALLOWED", "You can't change what is registered.", who=_who_changes(application))


def change_offers(user: Any, application: Application) -> dict[str, Offer]:
    """For each section, whether this user can change it now, and else why not and who can."""
    try:
        require_may_change(user, application)
    except Forbidden as refused:
        return {name: Offer("change", "Change", False, refused.message, refused.who) for name in SECTIONS}
    run = _busy_run(application)
    offers = {}
    for name, section in SECTIONS.items():
        free = run is None or not set(section.fields) - FREE
        offers[name] = Offer("change", "Change", free, "" if free else _depends(run, section.title))
    return offers


def change_section(
    *,
    actor: Any,
    application: Application,
    section: str,
    values: Mapping[str, Any],
    version: int,
    address: Address | None = None,
    seen: Mapping[str, Any] | None = None,
) -> Application:
    """Store a section. version: of the application when the page was opened. address: a new one, with its password;
    one without a host takes it away. seen: what the host answered about it, {} for nothing.

    Raises Forbidden, Stale, FieldsRefused, ServiceRefused RUN_DEPENDS_ON_IT.
    """
    with transaction.atomic():
        row = Application.objects.select_for_update().get(pk=application.pk)
        role = require_may_change(actor, row)
        _require_version(row, version)
        cleaned = clean_section(row, section, values, Host.objects.filter(name=row.host).first())
        changes = changes_between(values_of(row, section), cleaned)
        secrets = _address_changes(row, section, address, changes)
        if not changes and not secrets:
            return _keep_seen(row, section, seen)
        fields = {change["what"].partition(".")[0] for change in changes}
        follows = bool(fields - FREE)
        if follows:
            refuse_under_runs(row, SECTIONS[section].title)
        _store(row, section, cleaned, address, seen, follows=follows)
        if follows:
            _lapse_signatures(actor, row, SECTIONS[section].title)
        record(
            action="application.changed",
            actor=actor,
            role=role,
            obj=row,
            application=row.name,
            payload={"section": section, "changes": changes, **({"replaced": secrets} if secrets else {})},
        )
    return row


def _require_version(row: Application, version: int) -> None:
    if row.version == version:
        return
    last = AuditEvent.objects.filter(
        object_type="registry.application", object_id=str(row.pk), action="application.changed"
    ).order_by("-sequence")
    event = last.first()
    who = f" by {event.actor} at {timezone.localtime(event.at):%H:%M}" if event else ""
    raise Stale(f"{row.name} was changed{who} after you opened this page; nothing was saved.")


def _address_changes(
    row: Application, section: str, address: Address | None, changes: list[dict[str, Any]]
) -> list[str]:
    """Adds what changes in clear to `changes`; names what is replaced and never told."""
    if address is None or section not in URL_OF:
        return []
    old = stored_address(row, section)
    field = URL_OF[section].removesuffix("_url")
    before = {field: old.shown} if old else {}
    after = {field: address.shown} if address.host else {}
    changes += changes_between(before, after)
    return ["password of the " + field.replace("_", " ")] if address.password else []


def _store(
    row: Application,
    section: str,
    cleaned: Mapping[str, Any],
    address: Address | None,
    seen: Mapping[str, Any] | None,
    *,
    follows: bool,
) -> None:
    """Write the section. What a worker saw counts for what was there then: it goes where that has changed."""
    for name, value in cleaned.items():
        setattr(row, name, value)
    if address is not None:
        setattr(row, URL_OF[section], address.url if address.host else "")
    if section == "basics" and follows:
        row.seen = {}
        hosts.expect(row.host)
    elif SECTIONS[section].look:
        row.seen = {**{kind: told for kind, told in row.seen.items() if kind != section}, **_told(section, seen)}
    row.version += 1
    if follows:
        row.described_at = timezone.now()
    row.save()


def _told(section: str, seen: Mapping[str, Any] | None) -> dict[str, Any]:
    return {section: dict(seen)} if seen else {}


def _keep_seen(row: Application, section: str, seen: Mapping[str, Any] | None) -> Application:
    """The description stays; what the host has just answered about it is newer than what it said before."""
    if seen:
        row.seen = {**row.seen, section: dict(seen)}
        row.save(update_fields=["seen"])
    return row


def refuse_under_runs(application: Application, what: str) -> None:
    """Raises ServiceRefused RUN_DEPENDS_ON_IT while a run is approved or under way: it does what is described now."""
    run = _busy_run(application)
    if run is None:
        return
    way = "Cancel it first." if run.state == RunState.APPROVED else "Wait for its end, or roll it back."
    raise ServiceRefused("RUN_DEPENDS_ON_IT", _depends(run, what), hint=way)


def _busy_run(application: Application) -> MigrationRun | None:
    busy = [*sorted(RUN_ACTIVE), RunState.APPROVED]
    return MigrationRun.objects.filter(application=application, state__in=busy).order_by("pk").first()


def _depends(run: MigrationRun | None, what: str) -> str:
    if run is None:
        return ""
    return f"Run {run.pk} is {run.get_state_display().lower()} and depends on it: “{what}” can’t be changed now."


def _lapse_signatures(actor: Any, application: Application, what: str) -> None:
    """A signature on a run that hasn't begun was given for another description."""
    reason = f"{actor.get_username()} changed “{what}” of the application after it was signed."
    for run in MigrationRun.objects.filter(application=application, state=RunState.AWAITING_APPROVAL):
        signatures.lapse_all(run=run, reason=reason, now=timezone.now())


def _role(actor: Any) -> str:
    return "superuser" if actor.is_superuser else Role.OPS.value


def _who_changes(application: Application) -> str:
    return f"ops ({', '.join(people_with(application, Role.OPS)) or 'nobody yet'})"
