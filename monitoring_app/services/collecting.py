"""One round of one part of a target: claim it, measure, keep what was found and what the next round must know."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from controlplane.redaction import redact
from monitoring_app.models import Target
from monitoring_app.probes.host import measure_host
from monitoring_app.probes.measurement import Measurement
from monitoring_app.probes.server import measure_server
from monitoring_app.services import loop, markers, samples
from monitoring_app.services.host_plans import host_plan
from monitoring_app.services.targets import TargetUnusable, dsn_of, dsn_of_application

logger = logging.getLogger("causeway.monitoring")
_BROKE = "a fault of Causeway itself stopped the round: see the worker's log"


@dataclass(frozen=True)
class _Found:
    """What a part found. seen: by probe, merged into what the target keeps. errors: by SQLSTATE, since last time."""

    measurements: Iterable[Measurement]
    memory: Mapping[str, Any]
    seen: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)


def measure(*, target_id: int, part: str, clock: Callable[[], datetime] = timezone.now) -> bool:
    """Run a part's round now, where it is due and free; whether its results were kept. Never raises for a target."""
    target = Target.objects.select_related("application").filter(pk=target_id, enabled=True).first()
    if target is None:
        return False
    began = clock()
    held = loop.claim(part=part, target=target, now=began)
    if held is None:
        return False
    try:
        found = _server(target) if part == loop.SERVER else _host(target, began)
    except TargetUnusable as why:
        return _keep_nothing(target, held, part, why.message, clock)
    except Exception:  # a round that broke must be seen as such, or its last values would pass for today's
        logger.exception("the %s part of %s broke", part, target.application.name)
        return _keep_nothing(target, held, part, _BROKE, clock)
    with transaction.atomic():
        if not loop.finish(held=held, now=clock()):
            return False
        _keep(target, part, found, began)
    return True


def _server(target: Target) -> _Found:
    memory = target.memory.get(loop.SERVER, {})
    round_ = measure_server(
        dsn_of(target),
        schema=target.application.target_schema,
        replicas=target.replicas,
        memory=memory,
        owner=dsn_of_application(target.application),
    )
    return _Found(round_.measurements, round_.memory, round_.seen)


def _host(target: Target, now: datetime) -> _Found:
    round_ = measure_host(host_plan(target), target.memory.get(loop.HOST, {}), now)
    return _Found(round_.measurements, round_.memory, errors=round_.errors)


def _keep(target: Target, part: str, found: _Found, now: datetime) -> None:
    samples.store(target=target, measurements=found.measurements, now=now)
    row = Target.objects.select_for_update(of=("self",)).select_related("application").get(pk=target.pk)
    row.memory = {**row.memory, part: dict(found.memory)}
    row.seen = {**row.seen, **found.seen}
    if found.errors or "errors" in row.seen:
        row.seen["errors"] = _errors(row, found.errors, now)
    row.save(update_fields=["memory", "seen"])


def _errors(target: Target, fresh: Mapping[str, int], now: datetime) -> dict[str, Any]:
    """{"since": the cut-over, "until": now, "counts": {"23505": 3}, "newest": {"23505": when}}.

    Counted since the cut-over and begun anew at each; "since" is None, and nothing is counted, while there is none.
    """
    cut_over = markers.cut_over_of(target.application)
    since = cut_over.isoformat() if cut_over else None
    kept = target.seen.get("errors", {})
    if kept.get("since") != since:
        kept = {}
    counts = Counter(kept.get("counts", {}))
    newest = dict(kept.get("newest", {}))
    if since is not None:
        counts.update(fresh)
        newest |= {state: now.isoformat() for state in fresh}
    return {"since": since, "until": now.isoformat(), "counts": dict(counts), "newest": newest}


def _keep_nothing(target: Target, held: Any, part: str, why: str, clock: Callable[[], datetime]) -> bool:
    """Every number of the part is unknown from now on, and says why."""
    why = redact(why)
    with transaction.atomic():
        if loop.finish(held=held, now=clock(), problem=why):
            now = clock()
            samples.mark_unknown(target=target, from_host=part == loop.HOST, why=why, now=now)
            if part == loop.SERVER:  # so that there is a row that says so, from the first round on
                samples.store(target=target, measurements=[Measurement.unknown("postgresql_up", why)], now=now)
    return False
