"""What burns for an application now: what its soak must know before it says that all is quiet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controlplane.registry.models import Application
from monitoring_app.models import Alert, AlertState, Round, Severity, Target
from monitoring_app.services import loop


@dataclass(frozen=True)
class Burning:
    """critical: titles of the critical alerts that fire, acknowledged or not, silenced or not.

    watched: whether somebody looks at all; `why` says why not. A monitor that is set up but silent is watched, and its
    silence stands among the critical: what it would have seen is not known.
    """

    watched: bool
    why: str
    critical: tuple[str, ...] = ()


def look(*, application: Application, now: datetime) -> Burning:
    """Never raises for a target that is not there."""
    target = Target.objects.filter(application=application).prefetch_related("rounds").first()
    if target is None or not target.enabled:
        return Burning(False, "the application is not under watch")
    firing = Alert.objects.filter(
        rule__target=target,
        rule__severity=Severity.CRITICAL,
        state__in=[AlertState.FIRING, AlertState.ACKNOWLEDGED],
    )
    titles = sorted(set(firing.values_list("rule__title", flat=True)))
    return Burning(True, "", (*_silent(target, now), *titles))


def _silent(target: Target, now: datetime) -> list[str]:
    """Parts of the loop whose last round is too old to say anything of now."""
    longest = loop.SILENT_INTERVALS * loop.interval()
    found = [
        f"the monitor's {part} part was silent for {loop.age_of(target, part, now).total_seconds():,.0f} s"
        for part in loop.PARTS
        if loop.age_of(target, part, now) > longest
    ]
    judged = Round.objects.filter(target=None, part=loop.EVALUATE).values_list("ended_at", flat=True).first()
    if judged is None or now - judged > longest:
        found.append("the alerts were not judged lately")
    return found
