"""Does memory grow with the data? Each phase in a process of its own, at two sizes ten times apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.child import Measured, PathFailed
from bench.contest import OURS, run_phases, run_whole
from bench.figures import NOT_MEASURED
from bench.generate import generate
from controlplane.embedded import EmbeddedPostgres

WHOLE = "`move_database`"
GOAL_MB = 150


def measure_memory(
    server: EmbeddedPostgres, work: Path, scales: Sequence[float], say: Callable[[str], None]
) -> dict[float, dict[str, float | str]]:
    """Peak MB of the client by scale and phase, or why there is none; 'source' is the size of the file in MB."""
    return {scale: _at(server, work / f"scale-{scale:g}", scale, say) for scale in scales}


def _at(server: EmbeddedPostgres, folder: Path, scale: float, say: Callable[[str], None]) -> dict[str, float | str]:
    folder.mkdir()
    source = folder / "source.db"
    try:
        say(f"generating at scale {scale:g}")
        generate(source, scale)
        found: dict[str, float | str] = {"source": source.stat().st_size / 1e6}
        server.create_database("memory")
        for phase in OURS:
            found[phase] = _peak(partial(run_phases, server, source, "memory", folder, phase))
            say(f"  {phase}: {found[phase]}")
        shutil.rmtree(folder / "export", ignore_errors=True)
        server.drop_database("memory")
        server.create_database("memory")
        found[WHOLE] = _peak(partial(run_whole, server, source, "memory", folder))
        say(f"  {WHOLE}: {found[WHOLE]}")
        server.drop_database("memory")
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _peak(run: Callable[[], Measured]) -> float | str:
    try:
        return run().whole.peak_mb or f"{NOT_MEASURED}: this system doesn't tell"
    except PathFailed as why:
        return f"{NOT_MEASURED}: {why}"


def memory_table(found: dict[float, dict[str, float | str]]) -> str:
    """Peak memory of the client, one column a size."""
    scales = list(found)
    sizes = [found[scale].get("source", 0.0) for scale in scales]
    lines = [
        f"| peak MB of the client (goal: {GOAL_MB}, at any size) | "
        + " | ".join(f"{size:,.0f} MB of SQLite" for size in sizes if isinstance(size, float))
        + " |",
        "|---" * (len(scales) + 1) + "|",
    ]
    for phase in (*OURS, WHOLE):
        cells = [found[scale].get(phase, NOT_MEASURED) for scale in scales]
        shown = [f"{cell:,.0f}" if isinstance(cell, float) else cell for cell in cells]
        lines.append(f"| {phase} | {' | '.join(shown)} |")
    return "\n".join(lines)
