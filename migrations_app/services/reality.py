"""What is true now, asked on the application's host and kept for the pages: process, port, configuration, databases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F
from django.utils import timezone

from migrations_app.engine.back import change_queue
from migrations_app.engine.errors import EngineError
from migrations_app.engine.online import recovery
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.target.target import inspect_target
from migrations_app.models import MigrationRun
from migrations_app.models.states import Strategy
from migrations_app.steps import workplace
from migrations_app.steps.crossing import pair_of, word_of


def probe_reality(*, run_id: int) -> dict[str, Any]:
    """Probe and store; each line stands for itself: what can't be asked is 'unknown', with the reason."""
    run = MigrationRun.objects.select_related("application", "plan").get(pk=run_id)
    now = timezone.now()
    reality = {
        "application": _application(run),
        "sqlite": _source(run),
        "postgresql": _target(run),
        **({"crossing": _crossing(run)} if run.strategy == Strategy.ONLINE else {}),
        "at": now.isoformat(),
    }
    _store(run, reality, now)
    return reality


def _store(run: MigrationRun, reality: dict[str, Any], now: datetime) -> None:
    changed = {k: v for k, v in reality.items() if k != "at"} != {k: v for k, v in run.reality.items() if k != "at"}
    fields: dict[str, Any] = {"reality": reality, "reality_at": now}
    if changed:  # a page with nothing new to show costs a 304
        fields["version"] = F("version") + 1
    MigrationRun.objects.filter(pk=run.pk).update(**fields)


def _application(run: MigrationRun) -> dict[str, Any]:
    try:
        reality = workplace.driver_of(run).status()
    except (EngineError, OSError) as error:
        return {"state": "unknown", "why": _why(error)}
    alive = [process.name for process in reality.processes if process.alive] or (
        ["started by hand"] if reality.unsupervised else []
    )
    return {
        "state": "up" if alive else "stopped",
        "processes": alive,
        "ports": list(reality.open_ports),
        "configuration": str(reality.configuration),
        "launched_for": reality.launched_for,
        "holders": sorted({holder.pid for holder in reality.holders}),
        "message": reality.message,
    }


def _source(run: MigrationRun) -> dict[str, Any]:
    try:
        found = fingerprint(workplace.source_of(run)).digest
    except (EngineError, OSError) as error:
        return {"state": "unknown", "why": _why(error)}
    kept = run.facts.get("final_fingerprint", {}).get("digest")
    still = "not yet fingerprinted" if not kept else "unchanged since the stop" if kept == found else "changed"
    return {"state": still, "fingerprint": found}


def _target(run: MigrationRun) -> dict[str, Any]:
    try:
        facts = inspect_target(workplace.target_url_of(run), schema=run.application.target_schema)
    except (EngineError, OSError) as error:
        return {"state": "unknown", "why": _why(error)}
    return {"state": "answers", "version": facts.version_text}


def _crossing(run: MigrationRun) -> dict[str, Any]:
    """Both sides' own words, who is live by them, and what recovery would do; how much waits on either side."""
    try:
        pair = pair_of(run)
        facts = recovery.look(pair, word_of(run))
    except (EngineError, OSError) as error:
        return {"state": "unknown", "why": _why(error)}
    decision = recovery.decide(facts)
    return {
        "sqlite": facts.sqlite,
        "postgresql": facts.postgresql,
        "configuration": facts.configuration,
        "live": decision.live,
        "action": decision.action,
        "sentence": decision.why,
        "lag": max(0, facts.head - facts.position) if min(facts.head, facts.position) >= 0 else None,
        "queue": _waiting(run) if facts.postgresql == "taken_over" else None,
    }


def _waiting(run: MigrationRun) -> int | None:
    try:
        return change_queue.count(workplace.target_url_of(run)).total
    except EngineError:
        return None


def _why(error: EngineError | OSError) -> str:
    return error.message if isinstance(error, EngineError) else f"{type(error).__name__}: {error.strerror}"
