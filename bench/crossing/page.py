"""Writes the figures of a live crossing down: on the terminal, and as a section of docs/reference/online-speed.md."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.crossing.application import Load
from bench.crossing.measure import Cost, Gap, Live, Stopped
from bench.page import machine, write_section

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "online-speed.md"
SECTION = "crossing"
GOAL_MS = 250.0
GOAL_SHARE = 0.35


@dataclass(frozen=True)
class Round:
    """One size: online, and what it is compared with (None: left out)."""

    live: Live
    copied: Stopped | None
    dumped: Stopped | None


def section(rounds: Sequence[Round], cost: Cost | None, load: Load, *, server: str, busy: float) -> str:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    lines = [
        f"Measured {today}: {machine()}; PostgreSQL {server} with its defaults, on the same machine. The application:"
        f" {load.threads} threads, {load.per_second} transactions a second, synchronous={load.synchronous}, WAL."
        f" Load average at the start: {busy:.1f}.",
        "",
        "| longest gap between two acknowledged writes | " + " | ".join(_size(each) for each in rounds) + " |",
        "|---|" + "---|" * len(rounds),
    ]
    rows = (
        ("**online, cut-over**", [_gap(each.live.there) for each in rounds]),
        ("online, fall-back", [_gap(each.live.back) for each in rounds]),
        ("online, forward again (no new copy)", [_gap(each.live.again) for each in rounds]),
        ("stop, copy, start (COPY, no verification)", [_stopped(each.copied) for each in rounds]),
        ("the runbook's way (one JSON file, INSERTs)", [_stopped(each.dumped) for each in rounds]),
    )
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]
    lines += ["", *_findings(rounds, cost)]
    return "\n".join(lines)


def _size(each: Round) -> str:
    return f"{each.live.megabytes:,.0f} MB"


def _gap(gap: Gap) -> str:
    return (
        f"{gap.pure * 1000:,.0f} ms + {gap.restart * 1000:,.0f} ms restart"
        f" (writers locked out {gap.locked * 1000:,.0f} ms)"
    )


def _stopped(found: Stopped | None) -> str:
    return "left out" if found is None else f"{found.gap.pure:,.1f} s + {found.gap.restart * 1000:,.0f} ms restart"


def _findings(rounds: Sequence[Round], cost: Cost | None) -> list[str]:
    lines = ["| | goal | measured |", "|---|---|---|"]
    worst = max(max(each.live.there.pure, each.live.back.pure, each.live.again.pure) for each in rounds) * 1000
    lines.append(f"| longest gap without the application's own restart | {GOAL_MS:.0f} ms | {worst:,.0f} ms |")
    if cost is not None:
        lines.append(
            f"| capture's share of one writer's peak ({cost.without:,.0f} transactions a second without it) |"
            f" {GOAL_SHARE:.0%} | {cost.share:.0%} |"
        )
    lost, doubled = (sum(getattr(each.live.ledger, name) for each in rounds) for name in ("lost", "doubled"))
    acknowledged = sum(each.live.ledger.acknowledged for each in rounds)
    equal = "yes" if all(each.live.equal for each in rounds) else "**no**"
    lines.append(f"| lost, doubled, of {acknowledged:,} acknowledged transactions | 0, 0 | {lost}, {doubled} |")
    lines.append(f"| every cell equal afterwards | yes | {equal} |")
    return lines


def write(text: str) -> None:
    write_section(SECTION, text, PAGE)
