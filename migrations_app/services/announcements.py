"""The one door through which services say that something happened that people should hear of.

`announce()` writes a row for each person into the outbox, in the transaction of the event: no event without its mails,
no mail without its event, and nothing is sent here. Call it before `record()`, which comes last in a transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from controlplane.mail.models import MailTopic
from controlplane.mail.outbox import SEND, Recipient, put_mail
from controlplane.mail.preferences import chosen_by, wants
from controlplane.registry.models import Membership, Role
from migrations_app import doorbell
from migrations_app.models import MigrationRun
from migrations_app.models.states import RunKind
from migrations_app.services.announcement_texts import KINDS, Text
from migrations_app.services.gate_rules import unsigned_roles, why_not

DECIDERS = frozenset({Role.LEAD, Role.OPS})
# What the person who did it needn't be told. A rollback's own author is told all the same: it may not have been them.
_KNOWN_TO_ACTOR = frozenset({"gate_passed", "gate_refused", "run_finished", "rollback_requested", "countersigned"})


def announce(kind: str, run: MigrationRun, actor: Any, detail: Mapping[str, Any] | None = None) -> int:
    """Tell the people of the run's application; answers how many mails were written. Call inside a transaction.

    kind: one of announcement_texts.KINDS (KeyError otherwise). actor: a user, or text such as "system".
    detail: plain facts of the event (gate, role, signer, reason, rows, price): no cell's value, no secret.
    """
    facts = dict(detail or {})
    who = actor if isinstance(actor, str) else actor.get_username()
    roles = _members(run)
    people = _people(kind, run, facts, roles)
    if kind in _KNOWN_TO_ACTOR:
        people = [person for person in people if person.get_username() != who]
    wanted = _who_wants(KINDS[kind].topic, people, roles)
    if not wanted:
        return 0
    text = KINDS[kind].write(run, who, facts)
    key = _key(kind, run, facts)
    written = sum(
        put_mail(
            key=key,
            to=Recipient.of_user(person),
            kind=kind,
            subject=f"[{run.application.name} {run.get_kind_display().lower()}] {text.todo}",
            template="event",
            context=_context(run, text, roles[person.pk]),
            application=run.application.name,
            about=f"run:{run.pk}",
        )
        for person in wanted
    )
    if written:
        doorbell.ring(SEND, run.pk, "common")
    return written


def _members(run: MigrationRun) -> dict[int, frozenset[str]]:
    """The roles of each member, by the user's id."""
    held: dict[int, set[str]] = {}
    rows = Membership.objects.filter(application=run.application, user__is_active=True)
    for user_id, role in rows.values_list("user_id", "role"):
        held.setdefault(user_id, set()).add(role)
    return {user_id: frozenset(roles) for user_id, roles in held.items()}


def _people(kind: str, run: MigrationRun, detail: Mapping[str, Any], roles: Mapping[int, frozenset[str]]) -> list[Any]:
    """Whom it concerns, by id. Of a rehearsal only those who asked for it: it waits for nobody else."""
    members = Membership.objects.filter(application=run.application, user__is_active=True).select_related("user")
    people = {row.user_id: row.user for row in members.order_by("user_id")}
    if run.kind == RunKind.REHEARSAL and KINDS[kind].topic in (MailTopic.HELD, MailTopic.FINISHED, MailTopic.ROLLBACK):
        own = {run.requested_by_id, run.started_by_id}
        return [person for user_id, person in people.items() if user_id in own]
    if kind in ("gate_opened", "signature_ended"):
        return _may_sign(run, detail, people, roles)
    if kind == "rollback_requested":
        asked_as = str(detail.get("role", ""))
        return [person for user_id, person in people.items() if roles[user_id] & (DECIDERS - {asked_as})]
    return list(people.values())


def _may_sign(
    run: MigrationRun, detail: Mapping[str, Any], people: Mapping[int, Any], roles: Mapping[int, frozenset[str]]
) -> list[Any]:
    gate = run.gates.get(code=detail["gate"])
    gate.run = run
    missing = [role for role in unsigned_roles(gate) if role == detail.get("role", role)]
    return [
        person
        for user_id, person in people.items()
        if any(role in roles[user_id] and not why_not(gate, person, role, ()) for role in missing)
    ]


def _who_wants(topic: str, people: list[Any], roles: Mapping[int, frozenset[str]]) -> list[Any]:
    chosen = chosen_by([person.pk for person in people], topic)
    return [person for person in people if wants(topic, roles[person.pk], chosen.get(person.pk))]


def _key(kind: str, run: MigrationRun, detail: Mapping[str, Any]) -> str:
    """Names the event: the same kind with the same facts at the same state of the run is the same event."""
    version = MigrationRun.objects.filter(pk=run.pk).values_list("version", flat=True).get()
    said = json.dumps([kind, run.pk, version, dict(detail)], sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()


def _context(run: MigrationRun, text: Text, roles: frozenset[str]) -> dict[str, Any]:
    held = ", ".join(role.label.lower() if role != Role.QA else "QA" for role in Role if role in roles)
    return {
        "application": run.application.title or run.application.name,
        "environment": run.get_kind_display().lower(),
        "headline": text.todo[0].upper() + text.todo[1:],
        "sentence": text.sentence,
        "facts": [list(fact) for fact in text.facts],
        "link_label": text.link_label,
        "path": text.path,
        "tone": text.tone,
        "why": f"You are {held} of {run.application.name}.",
    }
