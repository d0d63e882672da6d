"""The loop: who works on which part now, when each part last ended, and what beat wakes.

A row for each part is its lock: claiming it is a conditional update, so two workers never run one part at once, a task
that is doubled does nothing, and one that never came back is seen.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from django.conf import settings
from django.db.models import Q

from controlplane import doorbell
from monitoring_app.models import Round, Series, Target
from monitoring_app.probes.measurement import Measurement
from monitoring_app.services import samples

TICK = "tick"
EVALUATE = "evaluate"
SERVER = "server"
HOST = "host"
PARTS = (SERVER, HOST)
MEASURE_SERVER = "monitoring_app.measure_server"
MEASURE_HOST = "monitoring_app.measure_host"
# A worker that died with a part holds it no longer than this; every part ends itself well before.
CLAIM = timedelta(seconds=60)
SILENT_INTERVALS = 3
# The monitor was silent itself: that nothing was measured meanwhile says nothing about what is watched.
OWN_SILENCE = timedelta(seconds=60)
INTERVALS = 4


def interval() -> timedelta:
    """Between two rounds."""
    return timedelta(seconds=settings.CAUSEWAY_MONITORING_SECONDS)


def claim(*, part: str, now: datetime, target: Target | None = None, lease: timedelta = CLAIM) -> Round | None:
    """The part's row, ours until finish(); None when another worker has it, or it was begun just now."""
    row, _ = Round.objects.get_or_create(target=target, part=part)
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    # A message that waited arrives with the next one; half an interval lets both be one round.
    due = Q(began_at=None) | Q(began_at__lte=now - interval() / 2) | Q(began_at__gt=now)
    claimed = Round.objects.filter(free, due, pk=row.pk).update(began_at=now, claimed_until=now + lease)
    if claimed != 1:
        return None
    row.refresh_from_db()
    return row


def finish(*, held: Round, now: datetime, problem: str = "") -> bool:
    """Give the part back; False when it was taken over in between, and then what was found is not to be kept."""
    ours = Round.objects.filter(pk=held.pk, began_at=held.began_at, claimed_until=held.claimed_until)
    return ours.update(ended_at=now, claimed_until=None, problem=problem[:300]) == 1


def tick(*, now: datetime) -> bool:
    """One beat: note how old each part's last round is, and wake the workers. False when another tick was just now."""
    held = claim(part=TICK, now=now)
    if held is None:
        return False
    rings: list[tuple[str, int, str]] = []
    for target in Target.objects.filter(enabled=True).select_related("application").prefetch_related("rounds"):
        samples.store(target=target, measurements=_ages(target, now), now=now)
        rings.append((MEASURE_SERVER, target.pk, "common"))
        rings.append((MEASURE_HOST, target.pk, target.application.host_queue))
    doorbell.send_all(rings, expires=interval().total_seconds())
    finish(held=held, now=now)
    return True


def last_tick() -> datetime | None:
    """When the loop last woke; None when it never did."""
    return Round.objects.filter(target=None, part=TICK).values_list("began_at", flat=True).first()


def own_silence() -> timedelta:
    """The monitor was down when it was silent for longer."""
    return max(OWN_SILENCE, INTERVALS * interval())


def is_silent(*, now: datetime) -> bool:
    """Whether the last tick is older than three intervals."""
    last = last_tick()
    return last is None or now - last > SILENT_INTERVALS * interval()


def was_down(target: Target, since: datetime, until: datetime, *, spacing: int = 0) -> list[tuple[datetime, datetime]]:
    """When no tick looked after the target, oldest first: each writes a `loop_age`. spacing: seconds that the stored
    samples of that time stand for, 0 for raw ones."""
    series = Series.objects.filter(target=target, metric="loop_age", labels_key=f"part={SERVER}").first()
    if series is None:
        return []
    longest = max(own_silence(), timedelta(seconds=2 * spacing))
    ticks = [point.at for point in samples.window(series, since - longest, until)]
    return [(one, after) for one, after in pairwise(ticks) if after - one > longest]


def age_of(target: Target, part: str, now: datetime) -> timedelta:
    """Since the part's last round ended; since the target is there when none ever did."""
    row = next((one for one in target.rounds.all() if one.part == part), None)
    ended = row.ended_at if row is not None and row.ended_at is not None else target.created_at
    return max(timedelta(0), now - ended)


def _ages(target: Target, now: datetime) -> list[Measurement]:
    return [Measurement("loop_age", age_of(target, part, now).total_seconds(), {"part": part}) for part in PARTS]
