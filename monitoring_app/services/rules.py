"""The rules of a target: its own copy of the defaults, how people change them, and what a change would have done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from controlplane.audit.trail import record
from controlplane.refusals import FieldsRefused, Stale
from controlplane.registry.models import Application
from monitoring_app import rules as pure
from monitoring_app.models import AlertRule, NoData, Resolution, Series, Target
from monitoring_app.services import loop, samples
from monitoring_app.services.default_rules import BEFORE_CUT_OVER, DEFAULTS, WRONG_DATABASE
from monitoring_app.services.permissions import require_change
from monitoring_app.services.silences import planned_ends

CHANGEABLE = (
    "enabled",
    "why_off",
    "severity",
    "threshold",
    "clear_threshold",
    "for_seconds",
    "keep_seconds",
    "window_seconds",
    "minimum_events",
    "minimum_bad",
    "no_data",
    "no_data_seconds",
    "repeat_seconds",
    "escalate_seconds",
    "first_thing",
    "runbook_url",
)
LONGEST_SECONDS = 7 * 24 * 3600
LONGEST_WINDOW = 3600  # each round reads as much anew
_RAW_FOR = timedelta(hours=48)


@dataclass(frozen=True)
class PreviewAlert:
    """One alert that would have been. ended None: it would burn still. peak None: there was no data."""

    series: Series
    kind: str
    began: datetime
    fired: datetime
    ended: datetime | None
    peak: float | None


@dataclass(frozen=True)
class Preview:
    """What a rule would have done. measured: whether there was anything to judge. rough: the values were rolled up."""

    times_fired: int
    seconds_firing: float
    alerts: tuple[PreviewAlert, ...]
    measured: bool
    rough: bool


def install_defaults(target: Target) -> None:
    """The target's own copy of every default rule that it doesn't have; what people changed stays."""
    have = set(AlertRule.objects.filter(target=target).values_list("code", flat=True))
    AlertRule.objects.bulk_create(AlertRule(target=target, **one) for one in DEFAULTS if one["code"] not in have)


def follow_database(*, application: Application, on_postgresql: bool) -> None:
    """A switch turns the rule that the application be on PostgreSQL on, one back turns it off. What a person switched
    off for a reason of theirs stays off. Nothing happens where the application is not under watch."""
    rows = AlertRule.objects.filter(target__application=application, code=WRONG_DATABASE, enabled=not on_postgresql)
    if on_postgresql:
        rows = rows.filter(why_off=BEFORE_CUT_OVER)
    with transaction.atomic():
        row = rows.select_for_update(of=("self",)).first()
        if row is None:
            return
        row.enabled, row.why_off = on_postgresql, "" if on_postgresql else BEFORE_CUT_OVER
        row.version += 1
        row.save(update_fields=["enabled", "why_off", "version"])
        if on_postgresql:
            _count_from_now(row)
        record(
            action="rule.changed",
            actor="system",
            obj=row,
            application=application.name,
            payload={"rule": row.code, "before": {"enabled": not on_postgresql}, "after": {"enabled": on_postgresql}},
        )


def change(*, rule: AlertRule, values: Mapping[str, Any], actor: User) -> AlertRule:
    """Set what was typed; it counts from the next sample on. values["version"]: of the rule when the page was opened.

    Raises Forbidden NOT_ALLOWED, FieldsRefused, Stale.
    """
    role = require_change(actor, rule.target.application, "change rules")
    wanted = {name: values[name] for name in CHANGEABLE if name in values}
    with transaction.atomic():
        row = AlertRule.objects.select_for_update(of=("self",)).select_related("target__application").get(pk=rule.pk)
        if "version" in values and int(values["version"]) != row.version:
            raise Stale("Somebody changed this rule after the page was opened.")
        before = {name: getattr(row, name) for name in wanted}
        for name, value in wanted.items():
            setattr(row, name, value)
        if row.enabled:
            row.why_off = ""
        check(row)
        changed = {name: getattr(row, name) for name in wanted if getattr(row, name) != before[name]}
        if not changed:
            return row
        row.version += 1
        row.save()
        if changed.get("enabled"):
            _count_from_now(row)
        record(
            action="rule.changed",
            actor=actor,
            role=role,
            obj=row,
            application=row.target.application.name,
            payload={
                "rule": row.code,
                "before": {name: before[name] for name in changed},
                "after": changed,
            },
        )
    return row


def _count_from_now(row: AlertRule) -> None:
    """A rule that is switched on says nothing about what was measured before. Where another rule judges the same
    series, it has come as far already. Call in the transaction of the change."""
    others = AlertRule.objects.filter(target=row.target_id, metric=row.metric, enabled=True).exclude(pk=row.pk)
    if not others.exists():
        series = Series.objects.filter(target=row.target_id, metric=row.metric, last_at__isnull=False)
        series.update(judged_until=F("last_at"))


def preview(*, rule_values: AlertRule | Mapping[str, Any], target: Target, since: datetime, until: datetime) -> Preview:
    """Play the rule over the samples of the target as evaluation would have. rule_values: an unsaved AlertRule, or its
    fields (metric and threshold at least). Raises FieldsRefused where they can't be a rule."""
    row = rule_values if isinstance(rule_values, AlertRule) else AlertRule(target=target, **rule_values)
    check(row)
    rough = since < until - _RAW_FOR
    spacing = Resolution.FIVE_MINUTES.value if rough else 0
    rule = as_pure(row, spacing=spacing)
    seen = _Seen(
        blind=loop.was_down(target, since, until, spacing=spacing),
        anew=planned_ends(target.application, since, until),
    )
    alerts: list[PreviewAlert] = []
    measured = False
    for series in series_of(row, target):
        found, any_value = _play(rule, series, seen, since, until)
        alerts += found
        measured = measured or any_value
    burning = [((one.ended or until) - one.fired).total_seconds() for one in alerts]
    alerts.sort(key=lambda one: one.fired)
    return Preview(len(alerts), sum(burning), tuple(alerts), measured, rough)


def as_pure(row: AlertRule, *, spacing: int = 0) -> pure.Rule:
    """The numbers of a rule. spacing: seconds that the samples stand for, 0 for raw ones."""
    return pure.Rule(
        threshold=row.threshold,
        clear_threshold=row.clear_threshold,
        below=row.below,
        for_seconds=row.for_seconds,
        keep_seconds=row.keep_seconds,
        window_seconds=row.window_seconds,
        minimum_events=row.minimum_events,
        minimum_bad=row.minimum_bad,
        no_data_alerts=row.no_data == NoData.ALERT,
        no_data_seconds=max(row.no_data_seconds, 2 * spacing),
        gap_seconds=max(120, 2 * spacing),
    )


def series_of(rule: AlertRule, target: Target) -> list[Series]:
    """The series that the rule judges: of its metric, with its labels."""
    rows = Series.objects.filter(target=target, metric=rule.metric)
    return [series for series in rows if concerns(rule, series)]


def concerns(rule: AlertRule, series: Series) -> bool:
    wanted: Mapping[str, str] = rule.labels
    return rule.metric == series.metric and all(series.labels.get(name) == value for name, value in wanted.items())


def check(row: AlertRule) -> None:
    """Raises FieldsRefused where the values can't be a rule, or would never let an alert end."""
    wrong: dict[str, str] = {}
    try:
        row.clean_fields(exclude=["target", "code", "title"])
    except ValidationError as invalid:
        wrong = {name: " ".join(messages) for name, messages in invalid.message_dict.items()}
    if not wrong:
        wrong = _senseless(row)
    if wrong:
        raise FieldsRefused(wrong)


def _senseless(row: AlertRule) -> dict[str, str]:
    wrong: dict[str, str] = {}
    if row.threshold != row.threshold or abs(row.threshold) == float("inf"):
        wrong["threshold"] = "Give a number."
    if row.clear_threshold != row.clear_threshold or abs(row.clear_threshold) == float("inf"):
        wrong["clear_threshold"] = "Give a number."
    inverted = row.clear_threshold < row.threshold if row.below else row.clear_threshold > row.threshold
    if not wrong and inverted:
        where = "at or above" if row.below else "at or below"
        wrong["clear_threshold"] = f"It must lie {where} the limit, or an alert would end while the value is over it."
    for name in ("for_seconds", "keep_seconds", "no_data_seconds", "repeat_seconds", "escalate_seconds"):
        if getattr(row, name) > LONGEST_SECONDS:
            wrong[name] = "A week at most."
    if row.window_seconds > LONGEST_WINDOW:
        wrong["window_seconds"] = "An hour at most."
    if row.no_data == NoData.ALERT and row.no_data_seconds < 60:
        wrong["no_data_seconds"] = "A minute at least: one round may be late."
    if 0 < row.repeat_seconds < 300:
        wrong["repeat_seconds"] = "Five minutes at least, or 0 for once."
    return wrong


@dataclass(frozen=True)
class _Seen:
    """What evaluation knew besides the samples: when the monitor was down, and when planned stops ended."""

    blind: list[pure.Blind]
    anew: list[datetime]


def _play(
    rule: pure.Rule, series: Series, known: _Seen, since: datetime, until: datetime
) -> tuple[list[PreviewAlert], bool]:
    points = samples.window(series, since - timedelta(seconds=rule.window_seconds), until)
    seen = pure.observations(rule, points, since - timedelta(microseconds=1), known.anew)
    state, happened = pure.play(rule, pure.State(), seen, known.blind)
    looked = min(until, series.checked_at) if series.checked_at else until
    last = points[-1].at if points else since
    for begun, ended in known.blind:
        if last < ended <= looked:
            state, more = pure.overlook(rule, state, begun, ended)
            happened += more
    state, more = pure.lack(rule, state, looked)
    alerts: list[PreviewAlert] = []
    fired: pure.State | None = None
    for one in [*happened, *more]:
        if one.what is pure.What.FIRED:
            fired = one.state
        elif one.what is pure.What.RESOLVED:
            alerts.append(_alert(series, one.state, one.at))
            fired = None
    if fired is not None:
        alerts.append(_alert(series, state, None))
    return alerts, bool(points)


def _alert(series: Series, state: pure.State, ended: datetime | None) -> PreviewAlert:
    assert state.began_at is not None and state.fired_at is not None
    return PreviewAlert(series, state.kind.value, state.began_at, state.fired_at, ended, state.peak)
