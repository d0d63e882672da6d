"""A person's switches for mails, as a page shows them. What counts is in controlplane/mail/preferences.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.mail import preferences
from controlplane.mail.models import MailPreference, MailTopic
from controlplane.registry.models import Membership

EXPLAINED: dict[str, str] = {
    MailTopic.SIGNATURE: "A gate, a rollback or a countersignature waits for your decision, or your signature lapsed.",
    MailTopic.GATE: "Who signed or refused, and what comes next.",
    MailTopic.HELD: "A step failed or somebody held the run: a person must decide.",
    MailTopic.FINISHED: "A run was signed off, cancelled or given up.",
    MailTopic.ROLLBACK: "A rollback was asked for, began, stopped or ended.",
    MailTopic.BREAK_GLASS: "A rollback that two people should have decided was decided by one.",
    MailTopic.ALERT: "A value of an application under watch is over its limit, and when it is well again. What nobody "
    "takes charge of is told to team leads whatever is ticked here.",
    MailTopic.DIGEST: "Once a day, what the verification of an application under watch found.",
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
    chosen = preferences.choices_of(user)
    return [
        TopicSetting(
            topic=topic.value,
            label=topic.label,
            explains=EXPLAINED[topic],
            wanted=preferences.wants(topic, roles, chosen.get(topic)),
            fixed_by=preferences.fixed_by(topic, roles),
        )
        for topic in MailTopic
    ]


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
