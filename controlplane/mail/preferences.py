"""Which mails a person gets: what the role brings along, what the person chose, and what can't be turned off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.mail.models import MailPreference, MailTopic
from controlplane.registry.models import Role

_WORKING = frozenset({Role.LEAD, Role.OPS, Role.QA})
_EVERYONE = frozenset(Role)
_DECIDING = frozenset({Role.LEAD, Role.OPS})
# topic: (the roles that get it unless they say no, the roles that can't say no)
_RULES: dict[str, tuple[frozenset[Role], frozenset[Role]]] = {
    MailTopic.SIGNATURE: (_WORKING, frozenset()),
    MailTopic.GATE: (_WORKING, frozenset()),
    MailTopic.HELD: (_DECIDING, frozenset()),
    MailTopic.FINISHED: (_EVERYONE, frozenset()),
    MailTopic.ROLLBACK: (_EVERYONE, _DECIDING),
    MailTopic.BREAK_GLASS: (_EVERYONE, _DECIDING),
    MailTopic.ALERT: (_DECIDING, frozenset()),
    MailTopic.DIGEST: (_DECIDING, frozenset()),
}


def wants(topic: str, roles: Iterable[str], chosen: bool | None) -> bool:
    """Whether someone with these roles gets mails of the topic. chosen None: nothing was said."""
    by_role, fixed = _RULES[topic]
    held = frozenset(roles)
    if held & fixed:
        return True
    return bool(held & by_role) if chosen is None else chosen


def fixed_by(topic: str, roles: frozenset[str]) -> str:
    """The role that can't turn the topic off, as people call it; '' where it can be."""
    fixed = sorted(_RULES[topic][1] & roles, key=list(Role).index)
    return Role(fixed[0]).label if fixed else ""


def chosen_by(user_ids: Iterable[int], topic: str) -> dict[int, bool]:
    """What each of these people said about the topic; who said nothing isn't there."""
    rows = MailPreference.objects.filter(user__in=list(user_ids), topic=topic)
    return dict(rows.values_list("user_id", "wanted"))


def choices_of(user: Any) -> Mapping[str, bool]:
    """What one person said, by topic."""
    return dict(MailPreference.objects.filter(user=user).values_list("topic", "wanted"))
