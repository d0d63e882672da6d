"""When a value is trouble: the life of an alert as pure functions over what was measured.

Evaluation and preview play the same functions over the same samples, so a preview is what will happen. Every moment in
an answer comes from the samples themselves, never from when somebody looked: a round that is late finds the same.

    quiet ─over─▸ pending ─over for `for`─▸ firing ─within the clear limit for `keep`─▸ quiet
                     └─not over─▸ quiet (nobody was told)
    no value for longer than `no_data` ─▸ firing, of a kind of its own, until values are back for `keep`

Acknowledging, silences and mails are no matter of these states (services/alerts.py, silences.py, telling.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol


class Phase(StrEnum):
    QUIET = "quiet"
    PENDING = "pending"
    FIRING = "firing"


class Kind(StrEnum):
    VALUE = "value"
    NO_DATA = "no_data"


@dataclass(frozen=True)
class Rule:
    """The numbers of a rule; units: those of the metric, and seconds. See models/alerts.py for what each means.

    gap_seconds: values further apart are not one stretch; larger where samples stand for longer.
    """

    threshold: float
    clear_threshold: float
    below: bool = False
    for_seconds: int = 60
    keep_seconds: int = 60
    window_seconds: int = 0
    minimum_events: int = 0
    minimum_bad: int = 0
    no_data_alerts: bool = False
    no_data_seconds: int = 180
    gap_seconds: int = 120

    def is_over(self, value: float) -> bool:
        return value < self.threshold if self.below else value > self.threshold

    def is_clear(self, value: float) -> bool:
        return value >= self.clear_threshold if self.below else value <= self.clear_threshold

    def worse(self, one: float | None, other: float) -> float:
        if one is None:
            return other
        return min(one, other) if self.below else max(one, other)


class Point(Protocol):
    """A sample: its moment, its value, and of how many events it is made."""

    @property
    def at(self) -> datetime: ...
    @property
    def average(self) -> float: ...
    @property
    def events(self) -> int | None: ...


@dataclass(frozen=True)
class Observation:
    """What a rule looks at: the value at a moment, over the rule's window.

    value None: something was measured, but there were no events to judge by. enough: as many events as the rule asks
    for before it believes in trouble; a value that is well needs no minimum.
    """

    at: datetime
    value: float | None
    enough: bool = True


@dataclass(frozen=True)
class State:
    """Of one rule and one series. seen_at: the newest sample, or since when one is missing; None: none ever was."""

    phase: Phase = Phase.QUIET
    kind: Kind = Kind.VALUE
    began_at: datetime | None = None
    fired_at: datetime | None = None
    cleared_at: datetime | None = None
    value: float | None = None
    peak: float | None = None
    seen_at: datetime | None = None


class What(StrEnum):
    BEGAN = "began"  # pending: not certain yet
    DROPPED = "dropped"  # it was pending and is well again
    FIRED = "fired"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Happening:
    """A change of state; `state`: as it is from then on, or, of what ended, as it was at its end."""

    what: What
    at: datetime
    state: State


def observations(
    rule: Rule, points: Sequence[Point], after: datetime | None = None, anew: Sequence[datetime] = ()
) -> Iterator[Observation]:
    """One for each point after `after`, oldest first; earlier points fill the window only.

    anew: moments that no window reaches back over, oldest first: what a planned stop spoilt ends with it.
    """
    kept: deque[Point] = deque()
    for point in points:
        kept.append(point)
        since = point.at - timedelta(seconds=rule.window_seconds)
        begun = next((moment for moment in reversed(anew) if moment <= point.at), None)
        while len(kept) > 1 and (kept[0].at <= since or (begun is not None and kept[0].at < begun)):
            kept.popleft()
        if after is None or point.at > after:
            yield _observation(rule, point.at, kept)


def _observation(rule: Rule, at: datetime, points: Iterable[Point]) -> Observation:
    shares = [(point.average, point.events) for point in points]
    asks = bool(rule.minimum_events or rule.minimum_bad)
    counted = [(value, events) for value, events in shares if events is not None]
    if not counted:
        return Observation(at, sum(value for value, _ in shares) / len(shares), enough=not asks)
    events = sum(count for _, count in counted)
    if not events:
        return Observation(at, None, enough=False)
    value = sum(value * count for value, count in counted) / events
    enough = events >= rule.minimum_events and round(value * events / 100) >= rule.minimum_bad
    return Observation(at, value, enough)


Blind = tuple[datetime, datetime]


def play(
    rule: Rule, state: State, seen: Iterable[Observation], blind: Iterable[Blind] = ()
) -> tuple[State, list[Happening]]:
    """Step through the observations, oldest first. blind: when the monitor itself was down, oldest first."""
    happened: list[Happening] = []
    spans = deque(blind)
    for one in seen:
        while spans and spans[0][1] <= one.at:
            state, more = overlook(rule, state, *spans.popleft())
            happened += more
        state, more = step(rule, state, one)
        happened += more
    return state, happened


def overlook(rule: Rule, state: State, since: datetime, until: datetime) -> tuple[State, list[Happening]]:
    """In between nobody looked: values that are missing count as missing until `since`, and from `until` on anew."""
    state, happened = lack(rule, state, since)
    if state.seen_at is not None and state.seen_at < until:
        state = replace(state, seen_at=until)
    return state, happened


def step(rule: Rule, state: State, seen: Observation) -> tuple[State, list[Happening]]:
    """What one observation changes, and the silence before it, if it was too long."""
    state, happened = lack(rule, state, seen.at)
    gap = state.seen_at is not None and (seen.at - state.seen_at).total_seconds() > _longest_gap(rule)
    state = replace(state, seen_at=seen.at)
    if seen.value is None:
        return state, happened
    if gap and state.phase is Phase.PENDING:
        happened.append(Happening(What.DROPPED, seen.at, state))
        state = State(seen_at=seen.at)
    elif gap:
        state = replace(state, cleared_at=None)  # well before a silence and well after it is not well throughout
    if state.phase is Phase.FIRING:
        after = _firing_without_data if state.kind is Kind.NO_DATA else _firing
    else:
        after = _pending if state.phase is Phase.PENDING else _quiet
    state, more = after(rule, state, seen.at, seen.value, rule.is_over(seen.value) and seen.enough)
    return state, happened + more


def lack(rule: Rule, state: State, now: datetime) -> tuple[State, list[Happening]]:
    """What it changes that until `now` nothing was measured after state.seen_at."""
    if not rule.no_data_alerts or state.seen_at is None:
        return state, []
    moment = state.seen_at + timedelta(seconds=rule.no_data_seconds)
    if now <= moment:
        return state, []
    if state.phase is Phase.FIRING:
        # A value that was too high burns on; values that were back for a moment only weren't back.
        return (replace(state, cleared_at=None) if state.kind is Kind.NO_DATA else state), []
    happened = [Happening(What.DROPPED, moment, state)] if state.phase is Phase.PENDING else []
    fired = State(Phase.FIRING, Kind.NO_DATA, state.seen_at, moment, seen_at=state.seen_at)
    return fired, [*happened, Happening(What.FIRED, moment, fired)]


def _quiet(rule: Rule, state: State, at: datetime, value: float, over: bool) -> tuple[State, list[Happening]]:
    if not over:
        return State(seen_at=at), []
    pending = State(Phase.PENDING, Kind.VALUE, began_at=at, value=value, peak=value, seen_at=at)
    began = Happening(What.BEGAN, at, pending)
    state, fired = _pending(rule, pending, at, value, over)
    return state, [began, *fired]


def _pending(rule: Rule, state: State, at: datetime, value: float, over: bool) -> tuple[State, list[Happening]]:
    if not over:
        return State(seen_at=at), [Happening(What.DROPPED, at, state)]
    state = replace(state, value=value, peak=rule.worse(state.peak, value))
    if not _lasted(state.began_at, at, rule.for_seconds):
        return state, []
    fired = replace(state, phase=Phase.FIRING, fired_at=at)
    return fired, [Happening(What.FIRED, at, fired)]


def _firing(rule: Rule, state: State, at: datetime, value: float, over: bool) -> tuple[State, list[Happening]]:
    state = replace(state, value=value, peak=rule.worse(state.peak, value))
    if not rule.is_clear(value):
        return replace(state, cleared_at=None), []
    state = replace(state, cleared_at=state.cleared_at or at)
    if not _lasted(state.cleared_at, at, rule.keep_seconds):
        return state, []
    return State(seen_at=at), [Happening(What.RESOLVED, at, state)]


def _firing_without_data(
    rule: Rule, state: State, at: datetime, value: float, over: bool
) -> tuple[State, list[Happening]]:
    """Values are back: they end it when they stay, or at once where they are trouble themselves."""
    state = replace(state, cleared_at=state.cleared_at or at)
    if not over and not _lasted(state.cleared_at, at, rule.keep_seconds):
        return state, []
    resolved = Happening(What.RESOLVED, at, state)
    state, more = _quiet(rule, State(seen_at=at), at, value, over)
    return state, [resolved, *more]


def _lasted(since: datetime | None, at: datetime, seconds: int) -> bool:
    return since is not None and (at - since).total_seconds() >= seconds


def _longest_gap(rule: Rule) -> int:
    return max(rule.gap_seconds, rule.for_seconds)
