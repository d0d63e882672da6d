"""Writes docs/reference/applications.md from what was seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bench.applications.crossing import Crossing

_HEAD = """# Real applications, moved: reference

Mode `existing` tried on applications as their registries ship them, each with another way of making its schema. Each is
installed into an environment of its own, makes its schema on SQLite and is filled through its own code; then it makes
its schema on PostgreSQL by its own command, `move_database --schema-mode existing` moves the rows and compares every
cell, and the application, started on PostgreSQL, is asked for all that it said on SQLite (*read back*: equal) and
writes more (*goes on*: the sequences are right, what it seeds finds its own rows).

This page is written by `python -m bench.applications`; figures are of that run.
"""
_CHOICES = """
## What had to be chosen

Findings that stop the move until a person chooses, as `--plan-only` lists them, and the choices that were made. Rows
in tables that the application seeds at its first start need no choice where Causeway itself ran its schema command (the
plan of a run): there they are emptied by a rule that the plan shows.
"""
_TOLD = """
## What the plan tells

All findings by code, the answered ones included; error-codes.md says what each means.
"""


def write(page: Path, seen: Sequence[Crossing]) -> None:
    """The page as a whole; what didn't go well stands in it, too."""
    parts = [_HEAD, _crossings(seen), _CHOICES, _choices(seen), _TOLD, _told(seen), *_troubles(seen)]
    page.write_text("\n\n".join(part.strip("\n") for part in parts) + "\n")


def _crossings(seen: Sequence[Crossing]) -> str:
    lines = [
        "| application | version | schema made by | tables | rows | cells compared | outcome | read back | goes on |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in seen:
        figures = f"{each.tables} | {each.rows:,} | {each.cells:,}"
        outcome = each.outcome or "not moved"
        last = f"{outcome} | {_word(each.read_back)} | {_word(each.added)}"
        lines.append(
            f"| {each.application.name} | {each.version} | {each.application.schema_manager} | {figures} | {last} |"
        )
    return "\n".join(lines) + "\n"


def _word(done: bool) -> str:
    return "yes" if done else "no"


def _choices(seen: Sequence[Crossing]) -> str:
    lines = [
        "| application | without a choice | chosen | done by the application afterwards |",
        "|---|---|---|---|",
    ]
    for each in seen:
        waiting = ", ".join(f"{code} × {count}" for code, count in each.open_findings.items()) or "nothing"
        chosen = _chosen(each)
        lines.append(f"| {each.application.name} | {waiting} | {chosen} | {each.application.afterwards or 'nothing'} |")
    return "\n".join(lines) + "\n"


def _chosen(each: Crossing) -> str:
    """The choices, those for single places counted."""
    used = [choice for choice in each.application.choices if re.split("[@=]", choice)[0] in each.open_findings]
    shown = [f"`{choice}`" for choice in used if "@" not in choice]
    single = [choice for choice in used if "@" in choice]
    if single:
        shown.append(f"{len(single)} for single places, such as `{min(single, key=len)}`")
    return ", ".join(shown) or "nothing"


def _told(seen: Sequence[Crossing]) -> str:
    codes = sorted({code for each in seen for code in each.findings})
    lines = [f"| code | {' | '.join(each.application.name for each in seen)} |", "|---|" + "---|" * len(seen)]
    for code in codes:
        counts = " | ".join(str(each.findings.get(code, "")) for each in seen)
        lines.append(f"| `{code}` | {counts} |")
    return "\n".join(lines) + "\n"


def _troubles(seen: Sequence[Crossing]) -> list[str]:
    found = [f"- {each.application.name}: {each.trouble.strip()}" for each in seen if each.trouble]
    return ["## What did not go well", "\n".join(found)] if found else []
