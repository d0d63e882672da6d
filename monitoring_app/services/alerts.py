"""What people do about an alert: take charge of it, or give it back."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction

from controlplane.audit.trail import record
from controlplane.refusals import Forbidden, ServiceRefused
from monitoring_app.models import Alert, AlertEvent, AlertState, Recipient
from monitoring_app.services.permissions import require_change, who_can_change

ACKNOWLEDGED_FOR = timedelta(hours=8)


def acknowledge(*, alert: Alert, who: User | Recipient, note: str = "", now: datetime) -> Alert:
    """`who` takes charge: repeats and escalation stop for eight hours. A person who has it already has it anew.

    who: a user with the role, or a recipient of the application, who comes by a signed link.
    Raises Forbidden NOT_ALLOWED, ServiceRefused ALERT_OVER, ALERT_NOT_FIRING, ALERT_TAKEN.
    """
    role = _may(alert, who, "take charge of an alert")
    name = name_of(who)
    with transaction.atomic():
        row = Alert.objects.select_for_update(of=("self",)).select_related("rule__target__application").get(pk=alert.pk)
        _require_burning(row)
        if row.state == AlertState.ACKNOWLEDGED and row.owner != name:
            raise ServiceRefused(
                "ALERT_TAKEN",
                f"{row.owner} has this alert already.",
                hint="Talk to each other. Ops and team leads can give it back and take it then.",
            )
        row.state = AlertState.ACKNOWLEDGED
        row.owner, row.owner_note = name, " ".join(note.split())[:300]
        row.acknowledged_at, row.acknowledged_until = now, now + ACKNOWLEDGED_FOR
        row.save(update_fields=["state", "owner", "owner_note", "acknowledged_at", "acknowledged_until"])
        write_event(row, "acknowledged", at=now, actor=name, text=row.owner_note)
        record(
            action="alert.acknowledged",
            actor=who if isinstance(who, User) else f"recipient:{who.pk}",
            role=role,
            obj=row,
            application=row.rule.target.application.name,
            payload={"rule": row.rule.code, "until": row.acknowledged_until, "note": row.owner_note},
        )
    return row


def give_back(*, alert: Alert, who: User, now: datetime) -> Alert:
    """Nobody has it any more: it is told again at once, and again until somebody takes it.

    Raises Forbidden NOT_ALLOWED, ServiceRefused ALERT_OVER, ALERT_NOT_TAKEN.
    """
    role = _may(alert, who, "give an alert back")
    with transaction.atomic():
        row = Alert.objects.select_for_update(of=("self",)).select_related("rule__target__application").get(pk=alert.pk)
        _require_burning(row)
        if row.state != AlertState.ACKNOWLEDGED:
            raise ServiceRefused("ALERT_NOT_TAKEN", "Nobody has this alert.")
        before = row.owner
        release(row, now=now)
        write_event(row, "given_back", at=now, actor=name_of(who), text=f"{before} had it")
        record(
            action="alert.given_back",
            actor=who,
            role=role,
            obj=row,
            application=row.rule.target.application.name,
            payload={"rule": row.rule.code, "had": before},
        )
    return row


def release(alert: Alert, *, now: datetime) -> None:
    """The alert fires on without an owner; the next round tells of it. Call with the row locked."""
    alert.state = AlertState.FIRING
    alert.owner = alert.owner_note = ""
    alert.acknowledged_at = alert.acknowledged_until = None
    alert.next_telling_at = now
    alert.save(
        update_fields=["state", "owner", "owner_note", "acknowledged_at", "acknowledged_until", "next_telling_at"]
    )


def write_event(alert: Alert, what: str, *, at: datetime, actor: str = "", text: str = "") -> None:
    """One line of the alert's history; lines are never changed."""
    AlertEvent.objects.create(alert=alert, at=at, what=what, actor=actor[:200], text=text[:300])


def name_of(who: User | Recipient) -> str:
    return who.get_username() if isinstance(who, User) else who.name or who.address


def _may(alert: Alert, who: User | Recipient, doing: str) -> str:
    application = alert.rule.target.application
    if isinstance(who, User):
        return require_change(who, application, doing)
    if who.application_id != application.pk or who.confirmed_at is None or who.unsubscribed_at is not None:
        raise Forbidden("NOT_ALLOWED", f"You can't {doing}.", who=who_can_change(application))
    return ""


def _require_burning(alert: Alert) -> None:
    if alert.state == AlertState.RESOLVED:
        raise ServiceRefused("ALERT_OVER", "This alert is over.")
    if alert.state == AlertState.PENDING:
        raise ServiceRefused("ALERT_NOT_FIRING", "This alert is not certain yet: nobody was told of it.")
