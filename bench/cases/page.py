"""The table of all cases, as Markdown: facts, no file's content. No I/O but the last function's."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cases.arrival import Arrival, Kept
from bench.cases.ours import Attempt, place_key
from bench.cases.source_facts import SourceFacts
from bench.cases.theirs import TheirAttempt

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cases.md"
_KINDS = (
    "primary_keys",
    "uniques",
    "indexes",
    "foreign_keys",
    "checks",
    "not_nulls",
    "defaults",
    "views",
    "triggers",
    "sequences",
)


@dataclass(frozen=True)
class Case:
    """One file. `facts` None: SQLite can't read it. `arrival`: ours by the outside rule, where nothing was chosen."""

    name: str
    facts: SourceFacts | None
    first: Attempt
    second: Attempt | None
    arrival: Arrival | None
    theirs: TheirAttempt | None

    @property
    def latest(self) -> Attempt:
        return self.second or self.first


def render(cases: Sequence[Case], *, server: str, pgloader: str) -> str:
    """The page. `pgloader`: its version, '' when it was not run."""
    parts = [_INTRO, _measured(cases, server, pgloader), _summary(cases), "## Each file: ours", _ours_table(cases)]
    if pgloader:
        parts += ["## Each file: pgloader", _THEIRS_INTRO, _theirs_table(cases)]
    parts += ["## What needed a choice", _questions(cases), "## Objects not carried, and why", _not_carried(cases)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _measured(cases: Sequence[Case], server: str, pgloader: str) -> str:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    beside = f", pgloader {pgloader} with its default options beside it" if pgloader else ""
    return f"Measured {today}: {len(cases)} files, PostgreSQL {server}{beside}."


# --- in sum ------------------------------------------------------------------------------------------------


def _summary(cases: Sequence[Case]) -> str:
    lines = ["| in sum | ours | pgloader |", "|---|---|---|"]
    ours, theirs = _our_sums(cases), _their_sums(cases)
    lines += [f"| {name} | {ours.get(name, '')} | {theirs.get(name, '')} |" for name in dict.fromkeys([*ours, *theirs])]
    return "\n".join(lines)


def _our_sums(cases: Sequence[Case]) -> dict[str, str]:
    outcomes = Counter(_verdict(case.first) for case in cases)
    chosen = [case.second for case in cases if case.second]
    arrivals = [case.arrival for case in cases if case.arrival]
    sums = {
        "files where every cell was verified": f"{outcomes['verified']}",
        "files refused before anything was written, with the reason": f"{outcomes['refused']}",
        "of these verified with the first choice of each question": f"{sum(_verdict(a) == 'verified' for a in chosen)}",
        "files that failed, differed or died": f"{sum(outcomes[w] for w in ('failed', 'different', 'died'))}",
        "cells verified": f"{sum(case.latest.cells for case in cases if _verdict(case.latest) == 'verified'):,}",
    }
    return {**sums, **_arrival_sums(arrivals)}


def _their_sums(cases: Sequence[Case]) -> dict[str, str]:
    attempts = [case.theirs for case in cases if case.theirs]
    if not attempts:
        return {}
    done = [attempt for attempt in attempts if attempt.status == 0]
    silent = [a for a in done if a.arrival and (_short(a.arrival.rows) or _short(a.arrival.tables))]
    sums = {
        "files that ended with exit status 0": f"{len(done)} of {len(attempts)}",
        "of these with rows or tables missing": f"{len(silent)}",
    }
    return {**sums, **_arrival_sums([attempt.arrival for attempt in attempts if attempt.arrival])}


def _arrival_sums(arrivals: Sequence[Arrival]) -> dict[str, str]:
    def total(name: str) -> str:
        return _of(sum((getattr(arrival, name) for arrival in arrivals), Kept()))

    return {
        "looked at by the outside rule: files": f"{len(arrivals)}",
        "tables": total("tables"),
        "rows": total("rows"),
        "cells changed": f"{sum(a.changed for a in arrivals):,} of {sum(a.cells for a in arrivals):,}",
        "NOT NULL": total("not_nulls"),
        "indexes and uniques": total("indexes"),
        "foreign keys": total("foreign_keys"),
        "sequences past the last number": total("sequences"),
        "views": total("views"),
    }


def _short(kept: Kept) -> bool:
    return kept.kept < kept.source


def _of(kept: Kept) -> str:
    return f"{kept.kept:,} of {kept.source:,}" if kept.source else "0"


def _verdict(attempt: Attempt) -> str:
    return attempt.outcome


# --- each file ---------------------------------------------------------------------------------------------


def _ours_table(cases: Sequence[Case]) -> str:
    lines = [
        "| file | tables | rows | outcome | with the first choices | cells verified | changed by the outside rule "
        "| objects carried |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        facts = case.facts
        cells = [
            f"`{case.name}`",
            f"{len(facts.tables):,}" if facts else "unreadable",
            f"{facts.rows:,}" if facts else "",
            _outcome(case.first),
            _outcome(case.second) if case.second else "",
            f"{case.latest.cells:,}" if case.latest.outcome == "verified" else "",
            _outside(case.arrival),
            _objects(case.latest),
        ]
        lines.append(_row(cells))
    return "\n".join(lines)


def _outcome(attempt: Attempt) -> str:
    """The outcome; where it isn't 'verified', the code and the first place that it names."""
    if attempt.outcome == "died":
        return f"**died**: {attempt.died}"
    if attempt.outcome == "verified":
        return "verified"
    if attempt.outcome == "different":
        return f"**different**: {attempt.report['difference_count']:,} differences"
    where = attempt.open_findings
    code = attempt.error.get("code", "")
    if code == "FINDINGS_WITHOUT_CHOICE" and where:
        more = f" and {len(where) - 1} more" if len(where) > 1 else ""
        return f"refused: {_place(where[0])}{more}"
    word = attempt.outcome if attempt.outcome == "refused" else f"**{attempt.outcome}**"
    return f"{word}: {code}"


def _place(finding: dict[str, Any]) -> str:
    at = ".".join(part for part in (finding["table"], finding["column"]) if part)
    row = f" row {finding['row_key']}" if finding["row_key"] else ""
    return f"{finding['code']}{f' at {at}' if at else ''}{row}"


def _outside(arrival: Arrival | None) -> str:
    """Of ours, nothing may be missing by anybody's rule: what is, is shown in bold."""
    if arrival is None:
        return ""
    wrong = []
    if _short(arrival.tables) or _short(arrival.rows):
        wrong.append(f"{_of(arrival.tables)} tables, {_of(arrival.rows)} rows")
    if arrival.changed:
        wrong.append(f"{arrival.changed:,} in {', '.join(arrival.changed_in[:4])}")
    return f"**{'; '.join(wrong)}**" if wrong else "0"


def _objects(attempt: Attempt) -> str:
    if attempt.outcome not in ("verified", "different"):
        return ""
    groups = attempt.report.get("objects", {})
    source = sum(groups[kind]["source"] for kind in _KINDS if kind in groups)
    carried = sum(groups[kind]["carried"] for kind in _KINDS if kind in groups)
    return f"{carried:,} of {source:,}"


def _theirs_table(cases: Sequence[Case]) -> str:
    lines = [
        "| file | exit status | tables | rows | cells changed | NOT NULL | foreign keys | indexes | sequences "
        "| views |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        if case.theirs is not None:
            lines.append(_row([f"`{case.name}`", *_their_cells(case.theirs)]))
    return "\n".join(lines)


def _their_cells(attempt: TheirAttempt) -> list[str]:
    status = "none: it didn't end" if attempt.status is None else str(attempt.status)
    arrival = attempt.arrival
    if arrival is None:
        return [status, attempt.why, *[""] * 7]
    return [
        status,
        _loss(arrival.tables),
        _loss(arrival.rows),
        f"**{arrival.changed:,}**" if arrival.changed else "0",
        *(_loss(kept) for kept in (arrival.not_nulls, arrival.foreign_keys, arrival.indexes)),
        *(_loss(kept) for kept in (arrival.sequences, arrival.views)),
    ]


def _loss(kept: Kept) -> str:
    return f"**{_of(kept)}**" if _short(kept) else _of(kept)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in cells)} |"


# --- why ---------------------------------------------------------------------------------------------------


def _questions(cases: Sequence[Case]) -> str:
    """Every question with the choices that it offers and, after the arrow, the one that was taken here."""
    lines = []
    for case in cases:
        taken = dict(text.rpartition("=")[::2] for text in case.second.choices) if case.second else {}
        asked = case.second.questions if case.second else ()
        left = [one for one in case.latest.open_findings if place_key(one) not in taken]
        found = [
            f"{_place(one)} ({one['count']:,}): {', '.join(one['choices']) or 'no choice but the file or --exclude'}"
            + (f" → {taken[place_key(one)]}" if place_key(one) in taken else "")
            for one in (*asked, *left)
        ]
        lines += _listed(case.name, _first(found, 12))
    return "\n".join(lines) or "None did."


def _not_carried(cases: Sequence[Case]) -> str:
    lines = []
    for case in cases:
        if case.latest.outcome not in ("verified", "different"):
            continue
        by_reason: dict[tuple[str, str], list[str]] = {}
        for kind, group in case.latest.report.get("objects", {}).items():
            for one in group["not_carried"]:
                by_reason.setdefault((kind, one["why"]), []).append(one["name"])
        found = [f"{kind}: {', '.join(_first(names, 6))}: {why}" for (kind, why), names in by_reason.items()]
        lines += _listed(case.name, _first(found, 12))
    return "\n".join(lines) or "All were carried."


def _listed(name: str, found: Sequence[str]) -> list[str]:
    return [f"- `{name}`", *(f"  - {' '.join(one.split())}" for one in found)] if found else []


def _first(found: Sequence[str], limit: int) -> list[str]:
    rest = len(found) - limit
    return [*found[:limit], f"and {rest} more"] if rest > 0 else list(found)


def write(text: str) -> None:
    PAGE.write_text(text)


_INTRO = """# Cases: reference

What becomes of SQLite files that others wrote: applications' databases, test files of other tools, maps, and files made
to be hostile. Each is copied to a scratch folder with its `-wal` or `-journal`, then goes through `manage.py
move_database` into an empty database. Where that asks for choices, it is moved again with the first choice of each.

Run it on a folder of your own, subfolders included; nothing there is opened in place or written to:

    python -m bench.cases DIR [--pgloader] [--report FILE]

`--pgloader` runs pgloader beside it. `--report` writes what was found as Markdown; `--write` writes it into this page.

**Verified** is the product's own word: every cell and object was compared. **The outside rule** is another program that
knows nothing of the product: it reads the file with SQLite, the target with PostgreSQL, and counts rows, values and
objects, the same for every tool. It is lenient: a value is kept if it is the same number, the same moment (without an
offset as it stands, else in UTC), the same bytes or the same letters, whatever its type; `1` may have become `true`.
Values are counted by column, not paired by row, and a value that is missing because its row is missing isn't counted
again. Where rows were left out or rewritten by choice, the outside rule says nothing.

- *Indexes* are those beside the primary key's, unique constraints included.
- *Sequences*: the next number that PostgreSQL would give is above every number that SQLite ever gave.
- *Views* are counted by number, *NOT NULL* by column.
- Virtual tables and their shadow tables aren't counted; what becomes of them is in the plan."""

_THEIRS_INTRO = (
    "By the outside rule. **Bold** is what was lost. It says nothing of checks and triggers, none of which arrive."
)
