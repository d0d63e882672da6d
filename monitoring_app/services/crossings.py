"""A live crossing as its follower measures it: whether its two sides follow one another, and how far apart they are.

Pushed by the follower, not asked for by a round: it knows, and nobody else does.
"""

from __future__ import annotations

from datetime import datetime

from controlplane.registry.models import Application
from monitoring_app.models import Series, Target
from monitoring_app.probes.measurement import Measurement
from monitoring_app.services import samples

FOLLOWS, LAG, ROWS = "crossing_follows", "crossing_lag", "crossing_rows"


def seen(
    *, application: Application, direction: str, rows: int | None, seconds: float | None, broken: str, now: datetime
) -> None:
    """Keep a sample. rows: that wait. broken: why it doesn't follow, '' when it does; then nobody knows the distance.

    Nothing happens where the application is not under watch.
    """
    target = Target.objects.filter(application=application, enabled=True).first()
    if target is None:
        return
    labels = {"direction": direction}
    found = [Measurement(FOLLOWS, 0.0 if broken else 1.0, labels, note=broken[:300])]
    for metric, value in ((LAG, seconds), (ROWS, rows)):
        if broken or value is None:
            found.append(Measurement.unknown(metric, broken[:300] or "not measured yet", labels))
        else:
            found.append(Measurement(metric, float(value), labels))
    samples.store(target=target, measurements=found, now=now)


def over(*, application: Application, now: datetime) -> None:
    """Nothing follows any more, and that is well: whatever fired about it ends."""
    target = Target.objects.filter(application=application).first()
    if target is None:
        return
    well = {FOLLOWS: 1.0, LAG: 0.0, ROWS: 0.0}
    rows = Series.objects.filter(target=target, metric__in=sorted(well))
    found = [Measurement(row.metric, well[row.metric], row.labels) for row in rows]
    if found:
        samples.store(target=target, measurements=found, now=now)
