"""From runs to figures: medians, ratios with their goals, and the words for what was not measured. No I/O."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from bench.child import Measured, Phase
from bench.contest import Results

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Goal:
    """A ratio that the product wants to stay under."""

    name: str
    limit: float
    ratio: Callable[[Results], float | None]
    as_percent: bool = False


def seconds(results: Results, path: str, *phases: str) -> float | None:
    """Median over the rounds of the sum of these phases, of the whole run without them; None if there is none."""
    return _median(results, path, phases, lambda phase: phase.seconds)


def cpu(results: Results, path: str, *phases: str) -> float | None:
    """CPU seconds, client and server together."""
    return _median(results, path, phases, lambda phase: phase.cpu)


def client_cpu(results: Results, path: str, *phases: str) -> float | None:
    return _median(results, path, phases, lambda phase: phase.client_cpu)


def server_cpu(results: Results, path: str, *phases: str) -> float | None:
    return _median(results, path, phases, lambda phase: phase.server_cpu)


def peak_mb(results: Results, path: str, *phases: str) -> float | None:
    """The most memory that the client's processes had in any round, in MB; None where the system doesn't tell."""
    runs = results.runs.get(path, [])
    found = max((phase.peak_mb for run in runs for phase in _phases(run, phases)), default=0.0)
    return found or None


def _median(results: Results, path: str, phases: tuple[str, ...], of: Callable[[Phase], float]) -> float | None:
    runs = results.runs.get(path, [])
    if not runs:
        return None
    return statistics.median(sum(of(phase) for phase in _phases(run, phases)) for run in runs)


def _phases(run: Measured, names: tuple[str, ...]) -> list[Phase]:
    return [run.phases[name] for name in names] if names else [run.whole]


def divided(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def spread(results: Results, path: str, *phases: str) -> str:
    """The fastest and the slowest round, in seconds: what a median hides."""
    sums = [sum(phase.seconds for phase in _phases(run, phases)) for run in results.runs.get(path, [])]
    return f"{min(sums):.1f} to {max(sums):.1f}" if sums else ""


def overhead(results: Results) -> float | None:
    """What the lease, its renewal and the progress add to a load, as a share of it; below zero when noise wins."""
    ratio = divided(seconds(results, "load", "load"), seconds(results, "bare-load", "bare-load"))
    return None if ratio is None else ratio - 1


def _floor(results: Results) -> float | None:
    return seconds(results, "floor", "floor")


GOALS = (
    Goal(
        "load of JSON Lines with indexes / floor",
        1.15,
        lambda r: divided(seconds(r, "ours", "load"), _floor(r)),
    ),
    Goal(
        "export + load + indexes / floor",
        1.5,
        lambda r: divided(seconds(r, "ours", "export", "load"), _floor(r)),
    ),
    Goal(
        "export + load + indexes + every cell verified / pgloader's load alone",
        0.7,
        lambda r: divided(seconds(r, "ours", "export", "load", "verify"), seconds(r, "pgloader")),
    ),
    Goal(
        "CPU of export + load + indexes, client and server together / pgloader's",
        0.5,
        lambda r: divided(cpu(r, "ours", "export", "load"), cpu(r, "pgloader")),
    ),
    Goal("lease, ledger's fence and progress: what they add to the load", 0.05, overhead, as_percent=True),
)
