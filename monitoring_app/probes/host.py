"""The host's part of a round: disks, logs, endpoints and what the application says, all within ten seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from monitoring_app.probes.access_log import probe_access_log
from monitoring_app.probes.application_log import probe_application_log
from monitoring_app.probes.application_pool import probe_application_pool, probe_own_word
from monitoring_app.probes.deadline import run_all
from monitoring_app.probes.disk import Volume, probe_disk
from monitoring_app.probes.endpoints import Endpoint, probe_endpoints
from monitoring_app.probes.measurement import Measurement
from monitoring_app.probes.prometheus import probe_prometheus

SECONDS = 10.0
NEWS_SECONDS = 300.0  # what was logged before a longer pause is no news: a rate over it would alarm of the past


@dataclass(frozen=True)
class LogFile:
    """A log to read; `problem` where the operator's file refuses it."""

    path: Path
    format: str = ""
    problem: str = ""


@dataclass(frozen=True)
class OwnWord:
    """Where the application says which database it is on; postgresql: the word that means PostgreSQL."""

    host: str
    port: int
    path: str
    field: str
    postgresql: str


@dataclass(frozen=True)
class OwnPool:
    """Where the application says how full its pool is: two dotted names in its JSON."""

    host: str
    port: int
    path: str
    used: str
    size: str


@dataclass(frozen=True)
class Prometheus:
    url: str
    counter: str
    status_label: str


@dataclass(frozen=True)
class HostPlan:
    """What is to be measured on this host; None or empty: not measured. hosts: those of the operator's list."""

    key: str
    hosts: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    access_log: LogFile | None = None
    application_log: LogFile | None = None
    prometheus: Prometheus | None = None
    own_word: OwnWord | None = None
    own_pool: OwnPool | None = None


@dataclass(frozen=True)
class HostRound:
    """What a round found. memory: for the next one. errors: by SQLSTATE, since the last round."""

    measurements: list[Measurement]
    memory: dict[str, Any]
    errors: Counter[str] = field(default_factory=Counter)


@dataclass
class _Found:
    measurements: list[Measurement]
    memory: dict[str, Any] | None = None
    errors: Counter[str] = field(default_factory=Counter)


def measure_host(plan: HostPlan, memory: Mapping[str, Any], now: datetime) -> HostRound:
    """Run every probe of the plan, each with its own deadline. Never raises for what a probe finds."""
    jobs: dict[str, Callable[[], _Found]] = {}
    metrics: dict[str, list[tuple[str, dict[str, str]]]] = {}
    seconds = _since(memory, now)

    def add(name: str, job: Callable[[Mapping[str, Any]], _Found], *otherwise: tuple[str, dict[str, str]]) -> None:
        jobs[name] = lambda: job(memory.get(name, {}))
        metrics[name] = list(otherwise)

    for volume in plan.volumes:
        labels = {"volume": volume.name}
        add(f"disk {volume.name}", _disk(volume), ("disk_used", labels), ("disk_free", labels))
    if plan.endpoints:
        names = [{"endpoint": one.name} for one in plan.endpoints]
        add("endpoints", _endpoints(plan), *((m, labels) for labels in names for m in ("endpoint_up", "endpoint_time")))
    if plan.access_log:
        source = {"source": "access log"}
        add("access_log", _access_log(plan.access_log, seconds), ("error_rate", source), ("requests", source))
    if plan.prometheus:
        source = {"source": "Prometheus"}
        add("prometheus", _prometheus(plan, seconds), ("error_rate", source), ("requests", source))
    if plan.application_log:
        levels = [("log_lines", {"level": level}) for level in ("WARNING", "ERROR", "CRITICAL")]
        add("application_log", _application_log(plan.application_log, seconds), *levels)
    if plan.own_word:
        add("own_word", _own_word(plan), ("application_on_postgresql", {}))
    if plan.own_pool:
        add("own_pool", _own_pool(plan), ("application_pool_used", {}))
    return _gathered(run_all(jobs, SECONDS, key=plan.key), metrics, memory, now)


def _gathered(
    answers: Mapping[str, _Found | str],
    metrics: Mapping[str, list[tuple[str, dict[str, str]]]],
    memory: Mapping[str, Any],
    now: datetime,
) -> HostRound:
    measured: list[Measurement] = []
    kept: dict[str, Any] = {"at": now.isoformat()}
    errors: Counter[str] = Counter()
    for name, answer in answers.items():
        if isinstance(answer, str):
            measured += [Measurement.unknown(metric, answer, labels) for metric, labels in metrics[name]]
            kept |= {name: memory[name]} if name in memory else {}
            continue
        measured += answer.measurements
        errors.update(answer.errors)
        if answer.memory is not None:
            kept[name] = answer.memory
    return HostRound(measured, kept, errors)


def _since(memory: Mapping[str, Any], now: datetime) -> float | None:
    """Seconds since the last round; None where there was none, or none that is near enough."""
    if not memory.get("at"):
        return None
    seconds = (now - datetime.fromisoformat(memory["at"])).total_seconds()
    return seconds if 0 < seconds <= NEWS_SECONDS else None


def _disk(volume: Volume) -> Callable[[Mapping[str, Any]], _Found]:
    return lambda memory: _Found(probe_disk(volume))


def _endpoints(plan: HostPlan) -> Callable[[Mapping[str, Any]], _Found]:
    return lambda memory: _Found(probe_endpoints(plan.endpoints, hosts=plan.hosts, seconds=SECONDS - 1))


def _access_log(log: LogFile, seconds: float | None) -> Callable[[Mapping[str, Any]], _Found]:
    def job(memory: Mapping[str, Any]) -> _Found:
        if log.problem:
            return _Found(
                [
                    Measurement.unknown(name, f"access log: {log.problem}", {"source": "access log"})
                    for name in ("error_rate", "requests")
                ]
            )
        return _Found(*probe_access_log(log.path, log.format, memory, seconds))

    return job


def _application_log(log: LogFile, seconds: float | None) -> Callable[[Mapping[str, Any]], _Found]:
    def job(memory: Mapping[str, Any]) -> _Found:
        if log.problem:
            said = f"application's log: {log.problem}"
            levels = ("WARNING", "ERROR", "CRITICAL")
            return _Found([Measurement.unknown("log_lines", said, {"level": level}) for level in levels])
        return _Found(*probe_application_log(log.path, memory, seconds))

    return job


def _prometheus(plan: HostPlan, seconds: float | None) -> Callable[[Mapping[str, Any]], _Found]:
    wanted = plan.prometheus
    assert wanted is not None
    return lambda memory: _Found(
        *probe_prometheus(wanted.url, wanted.counter, wanted.status_label, memory, seconds, hosts=plan.hosts)
    )


def _own_word(plan: HostPlan) -> Callable[[Mapping[str, Any]], _Found]:
    one = plan.own_word
    assert one is not None
    return lambda memory: _Found(
        probe_own_word(one.host, one.port, one.path, one.field, one.postgresql, hosts=plan.hosts)
    )


def _own_pool(plan: HostPlan) -> Callable[[Mapping[str, Any]], _Found]:
    one = plan.own_pool
    assert one is not None
    return lambda memory: _Found(
        probe_application_pool(one.host, one.port, one.path, one.used, one.size, hosts=plan.hosts)
    )
