"""Is an application within its limits? What a page says of a target at a glance, read from stored rows alone.

Nothing is good by default: a series without a value, one that nobody measured lately and a monitor that fell silent are
unknown, and say why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from monitoring_app.models import Alert, AlertRule, Round, Series, Target
from monitoring_app.models.alerts import AlertKind, AlertState
from monitoring_app.probes.measurement import PARTIAL
from monitoring_app.services.amounts import series_title, value_text

INTERVAL: Final = timedelta(seconds=15)
SILENT: Final = 3 * INTERVAL  # a loop whose last round is older than that is silent
OLD: Final = SILENT  # a value older than that is none of now

# The runbook's five limits: metric, what people call it, what it takes to be measured.
FIVE: Final = (
    ("query_time", "Query time", "It is measured once the server has answered a round."),
    ("disk_used", "Disk", "No volume is named in the settings."),
    ("pool_used", "Connection pool", "It is measured once the server has answered a round."),
    ("error_rate", "Errors", "No access log, no Prometheus endpoint and no check of an endpoint is named."),
    ("replication_lag", "Replication lag", "No replica is expected."),
)
# From what needs a person most to what is well: the worst series of a metric speaks for it.
_ORDER: Final = (
    "over", "no_data", "unknown", "pending", "owned", "held", "partial", "within", "off", "unwatched",
)  # fmt: skip
_BURNING = (AlertState.FIRING, AlertState.ACKNOWLEDGED)


@dataclass(frozen=True)
class Reading:
    """A series as it stands now. state: a key of the looks of `limit`; said: the rest of the sentence."""

    metric: str
    title: str
    state: str
    word: str
    value: str
    said: str
    series: Series | None = None
    rule: AlertRule | None = None
    alert: Alert | None = None

    @property
    def rank(self) -> int:
        return _ORDER.index(self.state)

    @property
    def limit(self) -> str:
        return f"limit {value_text(self.metric, self.rule.threshold)}" if self.rule else ""


@dataclass(frozen=True)
class Loop:
    """The monitor itself. last: the end of the part that is longest ago; problem: what a part said of it."""

    last: datetime | None
    silent: bool
    problem: str = ""


@dataclass(frozen=True)
class Board:
    """All that a page says of a target now. answer, tone, shape: its heading; meaning: the sentence below."""

    target: Target
    limits: tuple[Reading, ...]
    others: tuple[Reading, ...]
    alerts: tuple[Alert, ...]
    loop: Loop
    answer: str
    tone: str
    shape: str
    meaning: str

    @property
    def burning(self) -> tuple[Alert, ...]:
        return tuple(alert for alert in self.alerts if alert.state in _BURNING)

    @property
    def nobodys(self) -> tuple[Alert, ...]:
        return tuple(alert for alert in self.alerts if alert.state == AlertState.FIRING and not alert.held_back)


def boards_of(targets: Sequence[Target], now: datetime) -> list[Board]:
    """A board for each target, with four queries for all together."""
    ids = [target.pk for target in targets]
    series = _by(Series.objects.filter(target__in=ids), lambda row: row.target_id)
    rules = _by(AlertRule.objects.filter(target__in=ids), lambda row: row.target_id)
    rounds = _by(Round.objects.filter(target__in=ids), lambda row: row.target_id)
    open_alerts = Alert.objects.filter(rule__target__in=ids).exclude(state=AlertState.RESOLVED)
    alerts = _by(open_alerts.select_related("rule", "series"), lambda row: row.rule.target_id)
    return [
        _board(target, series.get(target.pk, []), rules.get(target.pk, []), rounds.get(target.pk, []),
               alerts.get(target.pk, []), now)
        for target in targets
    ]  # fmt: skip


def board_of(target: Target, now: datetime) -> Board:
    return boards_of([target], now)[0]


def stamp_of(targets: Iterable[Target]) -> str:
    """What changes when a board does, with two queries: rounds that ended, alerts that changed."""
    ids = [target.pk for target in targets]
    rounds = Round.objects.filter(target__in=ids).order_by("pk").values_list("pk", "ended_at")
    alerts = Alert.objects.filter(rule__target__in=ids).exclude(state=AlertState.RESOLVED).order_by("pk")
    return f"{list(rounds)}|{list(alerts.values_list('pk', 'state', 'owner', 'value', 'told_at'))}"


def loop_of(rounds: Iterable[Round], now: datetime) -> Loop:
    """The server's and the host's part of a target."""
    parts = [row for row in rounds if row.part in ("server", "host")]
    ended = [row.ended_at for row in parts if row.ended_at is not None]
    if not ended:
        return Loop(None, True)
    last = min(ended)
    problem = next((f"{row.part}: {row.problem}" for row in parts if row.problem), "")
    return Loop(last, now - last > SILENT, problem)


def reading_of(series: Series, rules: Sequence[AlertRule], alerts: Mapping[int, Alert], now: datetime) -> Reading:
    """What is to be said of one series."""
    rule = next((rule for rule in rules if _concerns(rule, series)), None)
    alert = alerts.get(series.pk)
    state, word, said = _state(series, rule, alert, now)
    value = value_text(series.metric, series.last_value if series.last_at and now - series.last_at <= OLD else None)
    return Reading(
        series.metric, series_title(series.metric, series.labels), state, word, value, said, series, rule, alert
    )


def _board(
    target: Target,
    series: list[Series],
    rules: list[AlertRule],
    rounds: list[Round],
    alerts: list[Alert],
    now: datetime,
) -> Board:
    loop = loop_of(rounds, now)
    by_series = {alert.series_id: alert for alert in alerts}
    readings = [reading_of(row, rules, by_series, now) for row in series if is_wanted(target, row)]
    five = tuple(_worst(metric, title, why, readings) for metric, title, why in FIVE)
    names = {metric for metric, _, _ in FIVE}
    others = tuple(sorted((r for r in readings if r.metric not in names), key=lambda r: (r.rank, r.title)))
    answer, tone, shape, meaning = _headline(target, five, others, alerts, loop)
    return Board(target, five, others, tuple(alerts), loop, answer, tone, shape, meaning)


def is_wanted(target: Target, series: Series) -> bool:
    """Whether the series is still asked for: one of a volume or replica that was taken off the list is history."""
    if "volume" in series.labels:
        return series.labels["volume"] in {volume.get("name") for volume in target.volumes}
    if "replica" in series.labels:
        return series.labels["replica"] in target.replicas
    if "endpoint" in series.labels:
        return series.labels["endpoint"] in {one.get("name") for one in target.application.endpoints}
    return True


def _worst(metric: str, title: str, why: str, readings: Sequence[Reading]) -> Reading:
    mine = [reading for reading in readings if reading.metric == metric]
    if not mine:
        return Reading(metric, title, "unwatched", "", "–", why)
    if metric == "error_rate" and any(reading.state == "within" for reading in mine):
        # The users' requests are known: that our own checks are only a part of the truth says nothing more.
        mine = [reading for reading in mine if reading.state != "partial"]
    worst = min(mine, key=lambda r: (r.rank, -_share(r)))
    told = ", ".join(str(value) for value in (worst.series.labels if worst.series else {}).values())
    named = title if metric == "error_rate" or not told else f"{title}, {told}"
    said = worst.said if len(mine) == 1 else f"{worst.said} · the worst of {len(mine)}".strip(" ·")
    return Reading(metric, named, worst.state, worst.word, worst.value, said, worst.series, worst.rule, worst.alert)


def _share(reading: Reading) -> float:
    """How far towards its limit."""
    if reading.series is None or reading.series.last_value is None:
        return 0.0
    limit = reading.rule.threshold if reading.rule else 0
    return reading.series.last_value / limit if limit else reading.series.last_value


def _state(series: Series, rule: AlertRule | None, alert: Alert | None, now: datetime) -> tuple[str, str, str]:
    """(state, word, said)."""
    if alert is not None and alert.state in _BURNING:
        return _burning(alert)
    if series.last_at is None or series.last_value is None or now - series.last_at > OLD:
        return "unknown", "", series.note or "nothing was measured lately"
    note = series.note if series.view != "full" else ""
    if rule is None or not rule.enabled:
        return "off", "No rule" if rule is None else "", note
    if alert is not None or _beyond(rule, series.last_value):
        return "pending", "", note
    return ("partial" if series.view == PARTIAL else "within"), "", note


def _burning(alert: Alert) -> tuple[str, str, str]:
    if alert.state == AlertState.ACKNOWLEDGED:
        over = "No data" if alert.kind == AlertKind.NO_DATA else "Over"
        return "owned", f"{over}, {alert.owner} has it", ""
    if alert.held_back:
        return "held", "", "another alert explains it"
    return ("no_data" if alert.kind == AlertKind.NO_DATA else "over"), "", ""


def _beyond(rule: AlertRule, value: float) -> bool:
    if rule.window_seconds or rule.minimum_events:
        return False  # one value says nothing of a window
    return value < rule.threshold if rule.below else value > rule.threshold


def _concerns(rule: AlertRule, series: Series) -> bool:
    return rule.metric == series.metric and all(series.labels.get(k) == v for k, v in rule.labels.items())


def _headline(
    target: Target, five: Sequence[Reading], others: Sequence[Reading], alerts: Sequence[Alert], loop: Loop
) -> tuple[str, str, str, str]:
    """(answer, tone, shape, meaning)."""
    if not target.enabled:
        return "Watching is switched off", "quiet", "dash", "Nothing is measured, and nobody is told."
    if loop.last is None:
        return "Not measured yet", "care", "question", "The first round is to come: it takes 15 seconds, and a worker."
    firing = [alert for alert in alerts if alert.state == AlertState.FIRING and not alert.held_back]
    owned = [alert for alert in alerts if alert.state == AlertState.ACKNOWLEDGED]
    hold = sum(1 for reading in five if reading.state in ("within", "partial"))
    watched = sum(1 for reading in five if reading.state != "unwatched")
    holds = f"{hold} of {watched} limits hold."
    if loop.silent:
        return "The monitor is silent", "alarm", "question", "Nothing is known since its last round; nobody is told."
    if firing:
        answer = _trouble(firing[0]) if len(firing) == 1 else f"{len(firing)} alerts burn, nobody has them"
        rest = "Nobody has it yet." if len(firing) == 1 else "The oldest: " + _trouble(firing[-1]) + "."
        return answer, "alarm", "triangle", f"{holds} {rest}"
    if owned:
        names = ", ".join(sorted({alert.owner for alert in owned}))
        verb = "has" if len({alert.owner for alert in owned}) == 1 else "have"
        answer = (
            f"{_trouble(owned[0])}; {names} has it"
            if len(owned) == 1
            else f"{len(owned)} alerts burn; {names} {verb} them"
        )
        return answer, "care", "outline", holds
    pending = [reading for reading in five if reading.state == "pending"]
    if pending:
        answer = f"{pending[0].title} is beyond its limit, not for long yet"
        return answer, "care", "outline", f"{holds} Nobody is told before it has lasted."
    unknown = [reading for reading in five if reading.state == "unknown"]
    if unknown:
        titles = ", ".join(reading.title for reading in unknown)
        return "Within limits, as far as is known", "care", "question", f"{holds} Unknown: {titles}."
    if any(reading.state == "partial" for reading in five):
        return "Within limits, as far as can be seen", "care", "dashes", f"{holds} The monitor’s role doesn’t see all."
    if not watched:
        return "No limit is watched", "care", "question", "Say in the settings what there is to measure."
    left = [reading.title.lower() for reading in five if reading.state == "unwatched"]
    not_watched = f" Not watched: {', '.join(left)}." if left else ""
    return "Within all limits", "good", "disc", f"{holds}{not_watched}"


def _trouble(alert: Alert) -> str:
    what = series_title(alert.series.metric, alert.series.labels)
    return f"{what}: no data" if alert.kind == AlertKind.NO_DATA else alert.rule.title


def _by(rows: Iterable[Any], key: Any) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found
