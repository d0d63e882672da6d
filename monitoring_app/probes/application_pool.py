"""What the application itself says: which database it is on, and how full its own pool of connections is."""

from __future__ import annotations

import json
from typing import Any

from monitoring_app.probes.asking import NoAnswer, get
from monitoring_app.probes.measurement import Measurement

_LIMIT = 64 * 1024


def probe_own_word(
    host: str, port: int, path: str, field: str, postgresql: str, *, hosts: tuple[str, ...] = ()
) -> list[Measurement]:
    """Whether it says PostgreSQL: `field`, a dotted name in its JSON, against the word that means it."""
    metric = "application_on_postgresql"
    if not field:
        return [Measurement.unknown(metric, "the application has no word for which database it uses")]
    try:
        word = _number_or_text(_document(host, port, path, hosts), field)
    except NoAnswer as why:
        return [Measurement.unknown(metric, f"{path}: {why}")]
    if word is None or isinstance(word, bool):
        return [Measurement.unknown(metric, f"{path} has no field {field}")]
    return [Measurement(metric, 1.0 if str(word) == postgresql else 0.0, note="", detail={"says": str(word)[:60]})]


def probe_application_pool(
    host: str, port: int, path: str, used: str, size: str, *, hosts: tuple[str, ...] = ()
) -> list[Measurement]:
    """Share of the application's own pool in use (%), from two dotted names in its JSON."""
    metric = "application_pool_used"
    try:
        document = _document(host, port, path, hosts)
    except NoAnswer as why:
        return [Measurement.unknown(metric, f"{path}: {why}")]
    values = {}
    for name in (used, size):
        value = _number_or_text(document, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return [Measurement.unknown(metric, f"{path} has no number {name}")]
        values[name] = float(value)
    if values[size] <= 0:
        return [Measurement.unknown(metric, f"{path} says that the pool's size is {values[size]:g}")]
    detail = {"used": values[used], "size": values[size]}
    return [Measurement(metric, 100.0 * values[used] / values[size], detail=detail)]


def _document(host: str, port: int, path: str, hosts: tuple[str, ...]) -> Any:
    answer = get(host, port, path, hosts=hosts, limit=_LIMIT)
    if answer.status != 200:
        raise NoAnswer(f"it answers {answer.status}")
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise NoAnswer("its answer is not JSON") from None


def _number_or_text(document: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document if isinstance(document, str | int | float) else None
