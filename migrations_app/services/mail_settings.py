"""Which mails a person gets: what the role brings along, what the person chose, and what can't be turned off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Membership, Role
from migrations_app.models import MailPreference
from migrations_app.models.mails import MailTopic

_WORKING = frozenset({Role.LEAD, Role.OPS, Role.QA})
_EVERYONE = frozenset(Role)
# topic: (the roles that get it unless they say no, the roles that can't say no)
_RULES: dict[str, tuple[frozenset[Role], frozenset[Role]]] = {
    MailTopic.SIGNATURE: (_WORKING, frozenset()),
    MailTopic.GATE: (_WORKING, frozenset()),
    MailTopic.HELD: (frozenset({Role.LEAD, Role.OPS}), frozenset()),
    MailTopic.FINISHED: (_EVERYONE, frozenset()),
    MailTopic.ROLLBACK: (_EVERYONE, frozenset({Role.LEAD, Role.OPS})),
    MailTopic.BREAK_GLASS: (_EVERYONE, frozenset({Role.LEAD, Role.OPS})),
}
EXPLAINED: dict[str, str] = {
    MailTopic.SIGNATURE: "A gate, a rollback or a countersignature waits for your decision, or your signature lapsed.",
    MailTopic.GATE: "Who signed or refused, and what comes next.",
    MailTopic.HELD: "A step failed or somebody held the run: a person must decide.",
    MailTopic.FINISHED: "A run was signed off, cancelled or given up.",
    MailTopic.ROLLBACK: "A rollback was asked for, began, stopped or ended.",
    MailTopic.BREAK_GLASS: "A rollback that two people should have decided was decided by one.",
}


@dataclass(frozen=True)
class TopicSetting:
    """One switch on the page. fixed_by: the role that can't turn it off, '' where it can be."""

    topic: str
    label: str
    explains: str
    wanted: bool
    fixed_by: str


def settings_of(user: Any) -> list[TopicSetting]:
    """The switches of a person, in order, as they count now."""
    roles = frozenset(Membership.objects.filter(user=user).values_list("role", flat=True))
    chosen = dict(MailPreference.objects.filter(user=user).values_list("topic", "wanted"))
    return [
        TopicSetting(
            topic=topic.value,
            label=topic.label,
            explains=EXPLAINED[topic],
            wanted=wants(topic, roles, chosen.get(topic)),
            fixed_by=_fixed_by(topic, roles),
        )
        for topic in MailTopic
    ]


def wants(topic: str, roles: Iterable[str], chosen: bool | None) -> bool:
    """Whether someone with these roles gets mails of the topic. chosen None: nothing was said."""
    by_role, fixed = _RULES[topic]
    held = frozenset(roles)
    if held & fixed:
        return True
    return bool(held & by_role) if chosen is None else chosen


def change_mail_settings(*, actor: Any, wanted: Mapping[str, bool]) -> None:
    """Remember a person's choices. What the person's role can't turn off stays on, whatever was sent."""
    now = timezone.now()
    before = {row.topic: row for row in settings_of(actor)}
    changed = {
        topic: wish
        for topic, wish in wanted.items()
        if topic in before and not before[topic].fixed_by and before[topic].wanted != wish
    }
    if not changed:
        return
    with transaction.atomic():
        for topic, wish in changed.items():
            MailPreference.objects.update_or_create(
                user=actor, topic=topic, defaults={"wanted": wish, "changed_at": now}
            )
        record(action="mail.settings_changed", actor=actor, obj=actor, payload={"topics": changed})


def _fixed_by(topic: str, roles: frozenset[str]) -> str:
    fixed = sorted(_RULES[topic][1] & roles, key=list(Role).index)
    return Role(fixed[0]).label if fixed else ""
