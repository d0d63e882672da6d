"""Judges what was measured: plays the rules over the samples that came since the last round, and tells what changed.

A series remembers the newest sample that was judged, so a late round skips nothing and a restart goes on where it
stopped. The changes of a target, its mails and its memory are one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from controlplane.audit.trail import record
from monitoring_app import rules as pure
from monitoring_app.metrics import METRICS
from monitoring_app.models import Alert, AlertRule, AlertState, Resolution, Round, Sample, Series, Target
from monitoring_app.rules import What
from monitoring_app.services import telling
from monitoring_app.services.alerts import write_event
from monitoring_app.services.default_rules import POSTGRESQL_DOWN
from monitoring_app.services.loop import EVALUATE, HOST, SERVER, own_silence
from monitoring_app.services.rules import as_pure, concerns
from monitoring_app.services.samples import Point
from monitoring_app.services.silences import planned_ends

logger = logging.getLogger("causeway.monitoring")

# A series that was never judged: older samples are history, nobody is told of them.
FIRST_LOOK: Final = timedelta(minutes=15)
# Series this far behind are read one by one, so that catching up after a day takes several short rounds.
BEHIND: Final = timedelta(minutes=10)
RAW_KEPT: Final = timedelta(hours=48)
MOST_POINTS: Final = 1000
# A series that nobody measures any more (a volume was taken out of the settings), while others of its part are.
FORGOTTEN: Final = timedelta(minutes=15)


class EvaluationFailed(Exception):
    """Judging failed for some targets; the others were judged. The log has the details."""

    code = "EVALUATION_FAILED"


@dataclass
class Changes:
    """What a round changed in a target's alerts. late: fired and over in the same round, so nobody was told yet."""

    fired: list[Alert] = field(default_factory=list)
    resolved: list[Alert] = field(default_factory=list)
    late: list[Alert] = field(default_factory=list)


def evaluate(*, now: datetime) -> None:
    """Judge all targets. Raises EvaluationFailed after the last one where one of them failed."""
    _forgive_own_silence(now)
    failed = []
    for target in Target.objects.filter(enabled=True).select_related("application"):
        try:
            evaluate_target(target, now=now)
        except Exception:  # one target's trouble must not silence the others; it is logged, and raised at the end
            logger.exception("judging the target %s failed", target.pk)
            failed.append(target.application.name)
    _end_unwatched(now)
    if failed:
        raise EvaluationFailed(f"Rules of {', '.join(failed)} could not be judged.")


def evaluate_target(target: Target, *, now: datetime) -> None:
    """Judge one target, and tell, in one transaction."""
    with transaction.atomic():
        Target.objects.select_for_update().get(pk=target.pk)  # rounds that overlap go one after the other
        changes = Changes()
        judged = _judge(target, now, changes)
        Series.objects.bulk_update(judged, ["judged_until"], 200)
        _end_forgotten(target, now, changes)
        telling.tell_round(
            target, fired=changes.fired, resolved=[*changes.resolved, *changes.late], late=changes.late, now=now
        )
        for what, alerts in (("alert.fired", changes.fired), ("alert.resolved", [*changes.resolved, *changes.late])):
            for alert in alerts:
                _note(what, alert, target)


def _judge(target: Target, now: datetime, changes: Changes) -> list[Series]:
    """The series whose memory moved on."""
    rules = list(AlertRule.objects.filter(target=target, enabled=True))
    # Whether PostgreSQL is down is judged first: it explains the others.
    rules.sort(key=lambda rule: (rule.code != POSTGRESQL_DOWN, rule.pk))
    metrics = {rule.metric for rule in rules}
    series = list(Series.objects.filter(target=target, metric__in=metrics))
    longest: dict[str, int] = {}
    for rule in rules:
        longest[rule.metric] = max(rule.window_seconds, longest.get(rule.metric, 0))
    points = _news(series, longest, now)
    rows = Alert.objects.select_for_update(of=("self",)).filter(rule__in=rules).exclude(state=AlertState.RESOLVED)
    standing = {(alert.rule_id, alert.series_id): alert for alert in rows.select_related("series")}
    anew = planned_ends(target.application, now - RAW_KEPT, now)
    for rule in rules:
        rule.target = target
        for one in series:
            if concerns(rule, one):
                _judge_one(rule, one, points.get(one.pk, []), anew, standing.get((rule.pk, one.pk)), changes)
    moved = []
    for one in series:
        newest = max((point.at for point in points.get(one.pk, [])), default=None)
        if newest is not None and (one.judged_until is None or newest > one.judged_until):
            one.judged_until = newest
            moved.append(one)
    return moved


def _news(series: Sequence[Series], longest: dict[str, int], now: datetime) -> dict[int, list[Point]]:
    """Samples since each series was judged last, and before that as many seconds as the longest window takes."""
    near: dict[int, list[Series]] = {}
    found: dict[int, list[Point]] = {}
    for one in series:
        since, window = _since(one, now), longest[one.metric]
        if one.last_at is None or one.last_at <= since:
            continue
        if since < now - BEHIND:
            found |= _points([one], since - timedelta(seconds=window), MOST_POINTS)
        else:
            near.setdefault(window, []).append(one)
    for window, group in near.items():
        found |= _points(group, min(_since(one, now) for one in group) - timedelta(seconds=window), None)
    return found


def _since(series: Series, now: datetime) -> datetime:
    return max(series.judged_until, now - RAW_KEPT) if series.judged_until else now - FIRST_LOOK


def _points(series: Iterable[Series], since: datetime, most: int | None) -> dict[int, list[Point]]:
    rows = Sample.objects.filter(series__in=[one.pk for one in series], resolution=Resolution.RAW, at__gt=since)
    found: dict[int, list[Point]] = {}
    columns = ("series_id", "at", "minimum", "average", "maximum", "n", "events")
    for pk, at, minimum, average, maximum, n, events in rows.order_by("series", "at").values_list(*columns)[:most]:
        found.setdefault(pk, []).append(Point(at, minimum, average, maximum, n, events))
    return found


def _judge_one(
    rule: AlertRule,
    series: Series,
    points: Sequence[Point],
    anew: Sequence[datetime],
    alert: Alert | None,
    changes: Changes,
) -> None:
    numbers = as_pure(rule)
    state = _state(series, alert)
    after = series.judged_until
    state, happened = pure.play(numbers, state, pure.observations(numbers, points, after, anew))
    # Only where all that was stored is judged is it true that nothing came after.
    if series.checked_at is not None and (series.last_at is None or _newest(points, after) == series.last_at):
        state, more = pure.lack(numbers, state, series.checked_at)
        happened += more
    fired_now: Alert | None = None
    for one in happened:
        if one.what is What.DROPPED:
            if alert is not None and alert.pk:
                alert.delete()  # pending: nobody was told, it has no history
            alert = None
            continue
        if alert is None:
            alert = Alert(rule=rule, series=series, threshold=rule.threshold)
        alert.rule = rule
        _take_over(alert, one.state)
        if one.what is What.FIRED:
            alert.state = AlertState.FIRING
            alert.save()
            write_event(alert, "began", at=alert.began_at)
            write_event(alert, "fired", at=one.at)
            fired_now = alert
            changes.fired.append(alert)
        elif one.what is What.RESOLVED:
            _resolve(alert, one.at, changes, late=alert is fired_now)
            alert = None
    if alert is not None:
        alert.rule = rule
        _take_over(alert, state)
        alert.save()


def _state(series: Series, alert: Alert | None) -> pure.State:
    seen = max((at for at in (series.judged_until, series.expected_from) if at is not None), default=None)
    if alert is None:
        return pure.State(seen_at=seen)
    return pure.State(
        phase=pure.Phase.PENDING if alert.state == AlertState.PENDING else pure.Phase.FIRING,
        kind=pure.Kind(alert.kind),
        began_at=alert.began_at,
        fired_at=alert.fired_at,
        cleared_at=alert.cleared_at,
        value=alert.value,
        peak=alert.peak,
        seen_at=seen,
    )


def _take_over(alert: Alert, state: pure.State) -> None:
    """Everything but the state itself: that somebody has it, only people change."""
    assert state.began_at is not None
    alert.kind = state.kind.value
    alert.began_at, alert.fired_at, alert.cleared_at = state.began_at, state.fired_at, state.cleared_at
    alert.value, alert.peak = state.value, state.peak


def _newest(points: Sequence[Point], after: datetime | None) -> datetime | None:
    return points[-1].at if points else after


def _resolve(alert: Alert, at: datetime, changes: Changes, *, late: bool = False, why: str = "") -> None:
    alert.state, alert.resolved_at = AlertState.RESOLVED, at
    alert.save()
    write_event(alert, "resolved", at=at, text=why)
    (changes.late if late else changes.resolved).append(alert)


def _end_forgotten(target: Target, now: datetime, changes: Changes) -> None:
    """Alerts that no value can end any more: their rule was switched off, or nobody measures the series now."""
    rows = Alert.objects.select_for_update(of=("self",)).filter(rule__target=target)
    rows = rows.exclude(state=AlertState.RESOLVED).select_related("rule", "series")
    rounds = dict(Round.objects.filter(target=target).values_list("part", "ended_at"))
    for alert in rows:
        alert.rule.target = target
        if not alert.rule.enabled:
            why = "The rule was switched off."
        elif _is_forgotten(alert.series, rounds, now):
            why = "It is not measured any more."
        else:
            continue
        if alert.state == AlertState.PENDING:
            alert.delete()
        else:
            _resolve(alert, now, changes, why=why)


def _is_forgotten(series: Series, rounds: dict[str, datetime | None], now: datetime) -> bool:
    metric = METRICS.get(series.metric)
    ended = rounds.get(HOST if metric is not None and metric.from_host else SERVER)
    looks = ended is not None and now - ended < own_silence()
    return looks and series.checked_at is not None and now - series.checked_at > FORGOTTEN


def _end_unwatched(now: datetime) -> None:
    """What burned when a target was taken out of watch ends, and those who were told hear so."""
    rows = Alert.objects.exclude(state=AlertState.RESOLVED).filter(rule__target__enabled=False)
    for target in Target.objects.filter(rules__alerts__in=rows).select_related("application").distinct():
        with transaction.atomic():
            changes = Changes()
            mine = Alert.objects.select_for_update(of=("self",)).filter(rule__target=target)
            for alert in mine.exclude(state=AlertState.RESOLVED).select_related("rule", "series"):
                alert.rule.target = target
                if alert.state == AlertState.PENDING:
                    alert.delete()
                else:
                    _resolve(alert, now, changes, why="The application is not watched any more.")
            telling.tell_round(target, fired=[], resolved=changes.resolved, late=[], now=now)
            for alert in changes.resolved:
                _note("alert.resolved", alert, target)


def _forgive_own_silence(now: datetime) -> None:
    last = Round.objects.filter(target=None, part=EVALUATE).values_list("ended_at", flat=True).first()
    if last is not None and now - last > own_silence():
        Series.objects.filter(target__enabled=True).update(expected_from=now)


def _note(action: str, alert: Alert, target: Target) -> None:
    record(
        action=action,
        actor="system",
        obj=alert,
        application=target.application.name,
        payload={
            "rule": alert.rule.code,
            "metric": alert.series.metric,
            "labels": alert.series.labels,
            "kind": alert.kind,
            "severity": alert.rule.severity,
            "peak": alert.peak,
        },
    )
