"""Who hears of an alert, and when: once as it fires, again until somebody has it, and when it is over.

Everything here runs in the transaction of the change that it tells of: there is no change without its mails and no mail
without its change. What the mails say is in wording.py, who the people are in people.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

from controlplane import doorbell
from controlplane.mail.models import OutgoingMail
from controlplane.mail.outbox import SEND, put_mail
from monitoring_app.models import Alert, AlertKind, AlertState, Silence, Target, Verification
from monitoring_app.services import people, wording
from monitoring_app.services.alerts import release, write_event
from monitoring_app.services.default_rules import POSTGRESQL_DOWN
from monitoring_app.services.people import Person
from monitoring_app.services.silences import OF_A_RUN, open_now
from monitoring_app.services.wording import Said

KIND: Final = "alert_"  # every mail's kind about an alert begins so
# What a server that is down doesn't explain: a full disk may be why it is down.
_STANDS_ALONE: Final = frozenset(
    {"postgresql_up", "disk_used", "disk_free", "loop_age", "backup_age", "restore_test_age", "log_lines"}
)
_MARGIN: Final = timedelta(seconds=60)
_NAMED: Final = 6  # people in a line of an alert's history


def tell_round(
    target: Target, *, fired: Sequence[Alert], resolved: Sequence[Alert], late: Sequence[Alert], now: datetime
) -> None:
    """All that is to be told of a target after its rules were judged. Call in the transaction that judged them.

    late: those among fired and resolved that began and ended unseen, in one round.
    """
    burning = _burning(target)
    silences = _silences(target, now)
    stops = _planned_stops(target, now)
    down = _down(target)
    unseen = {alert.pk for alert in late}
    for alert in resolved:
        if alert.pk in unseen:
            if not _silenced(alert, silences) and not _explained(alert, down, now) and not _settles(alert, stops, now):
                _tell(alert, Said.LATE, people.told_of_alerts(target.application, alert.rule.severity), now)
        else:
            _tell_the_end(alert, now)
    for alert in burning:
        _expire(alert, now)
    _announce_after_silences(target, burning, silences, now)
    for alert in burning:
        if alert.state == AlertState.FIRING and not _settles(alert, stops, now):
            _consider(alert, silences, down, now)


def send_digest(verification: Verification, *, now: datetime | None = None) -> int:
    """Mail the daily verification's result; how many mails were written. Once for each verification and person."""
    target = verification.target
    told = people.told_of_digest(target.application)
    written = 0
    for person in told:
        written += put_mail(
            key=f"verification:{verification.pk}",
            to=person.mail,
            kind="digest",
            subject=wording.digest_subject(verification),
            template="digest",
            context=wording.digest_context(verification, person),
            application=target.application.name,
            about=f"verification:{verification.pk}",
            now=now,
        )
    if written:
        doorbell.ring(SEND, verification.pk, "common")
    return written


@dataclass(frozen=True)
class _Down:
    """The newest alert that the server is down. ended: None while it burns, or may begin to."""

    ended: datetime | None


def _burning(target: Target) -> list[Alert]:
    rows = Alert.objects.select_for_update(of=("self",)).filter(rule__target=target)
    rows = rows.filter(state__in=[AlertState.FIRING, AlertState.ACKNOWLEDGED]).select_related("rule", "series")
    found = list(rows.order_by("pk"))
    for alert in found:
        alert.rule.target = target
    return found


def _consider(alert: Alert, silences: Sequence[Silence], down: _Down | None, now: datetime) -> None:
    """One alert that burns and that nobody has."""
    held = _explained(alert, down, now)
    if held != alert.held_back:
        alert.held_back = held
        alert.save(update_fields=["held_back"])
        write_event(alert, "held_back" if held else "let_go", at=now, text="PostgreSQL is down" if held else "")
    if held or _silenced(alert, silences):
        return
    application, severity = alert.rule.target.application, alert.rule.severity
    higher: list[Person] = []
    if _nobody_took_it(alert, now):
        higher = people.told_of_escalation(application, severity)
        alert.escalated_at = now
        alert.save(update_fields=["escalated_at"])
        _tell(alert, Said.ESCALATED, higher, now)
    first = alert.told_at is None
    if not first and (alert.next_telling_at is None or alert.next_telling_at > now):
        return
    known = {person.mail.id for person in higher}
    others = [person for person in people.told_of_alerts(application, severity) if person.mail.id not in known]
    _tell(alert, Said.FIRED if first else Said.AGAIN, others, now)
    repeat = alert.rule.repeat_seconds
    alert.told_at, alert.next_telling_at = now, now + timedelta(seconds=repeat) if repeat else None
    alert.save(update_fields=["told_at", "next_telling_at"])


def _nobody_took_it(alert: Alert, now: datetime) -> bool:
    """Since people heard of it, or since whoever had it let it go, as long has passed as the rule says."""
    if not alert.rule.escalate_seconds or alert.escalated_at is not None or alert.told_at is None:
        return False
    marks = list(alert.events.filter(what__in=["told", "given_back", "expired"]).values_list("what", "at"))
    let_go = [at for what, at in marks if what != "told"]
    told = [at for what, at in marks if what == "told"]
    since = max(let_go) if let_go else min(told, default=alert.told_at)
    return now - since >= timedelta(seconds=alert.rule.escalate_seconds)


def _expire(alert: Alert, now: datetime) -> None:
    if alert.state == AlertState.ACKNOWLEDGED and alert.acknowledged_until and alert.acknowledged_until <= now:
        had = alert.owner
        release(alert, now=now)
        write_event(alert, "expired", at=now, text=f"{had} had it for eight hours")


def _announce_after_silences(
    target: Target, burning: Sequence[Alert], silences: Sequence[Silence], now: datetime
) -> None:
    """What still fires when a silence ends is told at once, not when the next repeat would be."""
    over = Silence.objects.filter(application=target.application, announced_at=None)
    over = over.filter(Q(ends_at__lte=now) | Q(ended_at__lte=now))
    for silence in over:
        for alert in burning:
            covered = silence.rule_id in (None, alert.rule_id) and not _silenced(alert, silences)
            if covered and alert.state == AlertState.FIRING and alert.told_at is not None:
                alert.next_telling_at = now
                alert.save(update_fields=["next_telling_at"])
        silence.announced_at = now
        silence.save(update_fields=["announced_at"])


def _silences(target: Target, now: datetime) -> list[Silence]:
    return list(open_now(now).filter(application=target.application))


def _silenced(alert: Alert, silences: Iterable[Silence]) -> bool:
    return any(silence.rule_id in (None, alert.rule_id) for silence in silences)


def _planned_stops(target: Target, now: datetime) -> list[Silence]:
    """Those of runs that are over."""
    rows = Silence.objects.filter(application=target.application, about__startswith=OF_A_RUN, starts_at__lte=now)
    return [row for row in rows if row.over_at <= now]


def _settles(alert: Alert, stops: Iterable[Silence], now: datetime) -> bool:
    """It began while a run kept the application down, which has only just come up: it may still need `keep` to end."""
    settle = timedelta(seconds=alert.rule.keep_seconds) + _MARGIN
    began = [stop for stop in stops if stop.starts_at <= alert.began_at <= stop.over_at]
    return alert.rule.metric not in _STANDS_ALONE and any(now < stop.over_at + settle for stop in began)


def _down(target: Target) -> _Down | None:
    # Not to know whether it is down explains nothing: the monitor's own password may be the trouble.
    rows = Alert.objects.filter(rule__target=target, rule__code=POSTGRESQL_DOWN, kind=AlertKind.VALUE)
    newest = rows.order_by("-began_at", "-pk").first()
    return None if newest is None else _Down(newest.resolved_at)


def _explained(alert: Alert, down: _Down | None, now: datetime) -> bool:
    """PostgreSQL is down, or has just come back and the values that it spoilt may still need a while to be well."""
    rule = alert.rule
    if down is None or rule.metric in _STANDS_ALONE:
        return False
    if down.ended is None:
        return True
    settle = timedelta(seconds=rule.keep_seconds + rule.window_seconds) + _MARGIN
    return alert.held_back and now < down.ended + settle


def _tell_the_end(alert: Alert, now: datetime) -> None:
    """To those who were told that it burns, and nobody else; a silence doesn't keep it from them."""
    rows = OutgoingMail.objects.filter(about=f"alert:{alert.pk}", kind__startswith=KIND)
    told = rows.values_list("recipient", flat=True).distinct()
    _tell(alert, Said.RESOLVED, people.those_of(alert.rule.target.application, told), now)


def _tell(alert: Alert, said: Said, told: Sequence[Person], now: datetime) -> None:
    if not told:
        if said is Said.FIRED:
            write_event(alert, "told", at=now, text="nobody: no one gets alerts of this application")
        return
    facts = wording.facts_of(alert, said, now)
    names = [person.name for person in told]
    for person in told:
        others = [name for name in names if name != person.name]
        put_mail(
            key=key_of(alert, said, now),
            to=person.mail,
            kind=f"{KIND}{said.value}",
            subject=wording.subject(alert, said),
            template="alert",
            context=wording.context(alert, said, facts, person, others),
            application=alert.rule.target.application.name,
            about=f"alert:{alert.pk}",
        )
    write_event(alert, wording.EVENTS[said], at=now, text=_some(names))
    doorbell.ring(SEND, alert.pk, "common")


def key_of(alert: Alert, said: Said, now: datetime) -> str:
    """Names the telling; of what is told again, the moment for which it was due."""
    due = alert.next_telling_at or now
    return f"alert:{alert.pk}:{said.value}" + (f":{int(due.timestamp())}" if said is Said.AGAIN else "")


def _some(names: Sequence[str]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
