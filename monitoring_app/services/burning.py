"""What burns for an application now: what its soak must know before it says that all is quiet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controlplane.registry.models import Application
from monitoring_app.models import Alert, AlertState, Round, Severity, Target
from monitoring_app.services import loop


@dataclass(frozen=True)
class Burning:
    """What a loop's last rounds say. watched: whether somebody looks at all; `why` says why not.

    firing: titles of the alerts that fire, acknowledged or not, silenced or not; critical_alerts: the critical ones.
    silent: which parts of the monitor said nothing lately: what they would have seen is not known.
    """

    watched: bool
    why: str
    firing: tuple[str, ...] = ()
    critical_alerts: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def critical(self) -> tuple[str, ...]:
        """What keeps a soak from being quiet."""
        return (*self.silent, *self.critical_alerts)


def look(*, application: Application, now: datetime) -> Burning:
    """Never raises for a target that is not there."""
    target = Target.objects.filter(application=application).prefetch_related("rounds").first()
    if target is None or not target.enabled:
        return Burning(False, "the application is not under watch")
    rows = Alert.objects.filter(rule__target=target, state__in=[AlertState.FIRING, AlertState.ACKNOWLEDGED])
    found = sorted(set(rows.values_list("rule__title", "rule__severity")))
    titles = tuple(title for title, _ in found)
    critical = tuple(title for title, severity in found if severity == Severity.CRITICAL)
    return Burning(True, "", titles, critical, tuple(_silent(target, now)))


def errors_since_cut_over(*, application: Application) -> dict[str, int] | None:
    """{SQLSTATE: times} that the application's log named since its cut-over; None where no log is read, or there was no
    cut-over."""
    target = Target.objects.filter(application=application, enabled=True).first()
    errors = (target.seen.get("errors") or {}) if target is not None else {}
    return {str(state): int(times) for state, times in errors["counts"].items()} if errors.get("since") else None


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
