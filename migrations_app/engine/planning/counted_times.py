"""Mode `create`: columns of plain numbers that count time (seconds or milliseconds since 1970, Julian days).

Never guessed: a number stays a number unless a person chooses otherwise. The question is put where a column's name and
values look like it, and for any other column of numbers to which the choice is given by name
(`NUMBER_MAY_BE_TIME@table.column=epoch_seconds`).
"""

from __future__ import annotations

import re

from migrations_app.engine.plan import Finding
from migrations_app.engine.planning.findings import INFO, REFUSE, Decisions
from migrations_app.engine.profile.profile import Candidate, ColumnProfile
from migrations_app.engine.source.affinity import TEXT, affinity
from migrations_app.engine.source.schema import SourceColumn

MOMENT = "timestamp with time zone"
WAYS = {"epoch_seconds": "epoch:s", "epoch_milliseconds": "epoch:ms", "julian_day": "julian"}
WORDS = {"epoch_seconds": "seconds since 1970", "epoch_milliseconds": "milliseconds since 1970"}
WORDS["julian_day"] = "Julian day numbers"
_KEEP = "keep"
_NAME = re.compile(
    r"(?:^|_)(?:at|on|ts|date|datetime|time|timestamp|created|updated|modified|expires|[acm]time)$"
    r"|(?:Date|Time|Timestamp|At)$"
)
_LIKELY = range(10**9, 4_102_444_800)  # seconds: from 2001 to 2099


def chosen_way(table: str, column: SourceColumn, decisions: Decisions) -> str:
    """What was chosen for a column of plain numbers; '' to keep them. A choice for all is for those named like one."""
    if column.pk_position or affinity(column.declared_type) == TEXT:
        return ""
    named = not _NAME.search(column.name)
    given = decisions.given("NUMBER_MAY_BE_TIME", table, column.name, named=named)
    return given if given in WAYS else ""


def way_candidates(table: str, column: SourceColumn, decisions: Decisions) -> tuple[Candidate, ...]:
    """What the profile has to try because of a choice."""
    way = chosen_way(table, column, decisions)
    return (Candidate(WAYS[way], MOMENT, every=True),) if way else ()


def counted(table: str, column: SourceColumn, profile: ColumnProfile, decisions: Decisions) -> tuple[str, str] | None:
    """(choice, on_unfit) when the column's numbers become times; None when they stay numbers.

    A chosen way that not every value fits is a finding of its own, which names the first row.
    """
    if not chosen_way(table, column, decisions) and not _looks_like_time(column, profile):
        return None
    where = f"{table}.{column.name}"
    message = f"{where} holds numbers that may count time: they stay numbers unless another choice is made."
    way = decisions.ask(Finding("NUMBER_MAY_BE_TIME", INFO, message, table, column.name, choices=(_KEEP, *WAYS)))
    if way == _KEEP:
        return None
    fit = profile.fit(WAYS[way], MOMENT)
    if fit is None or not fit.unfit:
        return way, "fail"
    message = f"{fit.unfit} value(s) of {where} can't be taken as {WORDS[way]}: {fit.why}."
    finding = Finding(
        "CHOICE_DOES_NOT_FIT", REFUSE, message, table, column.name, fit.first_key, fit.unfit, ("skip_rows",)
    )
    return way, "skip_row" if decisions.ask(finding) == "skip_rows" else "fail"


def _looks_like_time(column: SourceColumn, profile: ColumnProfile) -> bool:
    """By its name, and whole numbers only, the highest of which is a time of this century."""
    if column.pk_position or not _NAME.search(column.name) or profile.kinds != ("integer",):
        return False
    highest = profile.highest or 0
    return (profile.lowest or 0) >= 0 and (highest in _LIKELY or highest // 1000 in _LIKELY)
