"""What a certificate's sections are made of, and how they say a moment, a number and a role."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.registry.models import Role

Rows = tuple[tuple[str, ...], ...]
SHORT = 16  # of a digest in a table; the whole one stands in the JSON, and where it matters


@dataclass(frozen=True)
class Table:
    """numbers: the columns that align right. widths: shares of the line, for print."""

    head: tuple[str, ...]
    rows: Rows
    widths: tuple[float, ...]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Section:
    title: str
    said: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    table: Table | None = None
    points: tuple[str, ...] = ()


def table_of(head: tuple[str, ...], rows: Rows, widths: tuple[float, ...]) -> Table | None:
    return Table(head, rows, widths) if rows else None


def role_title(role: str) -> str:
    return Role(role).label if role in Role.values else role


def many(count: int, word: str) -> str:
    return f"{count:,} {word if count == 1 else word + 's'}"


def clock(moment: str | None) -> str:
    """2026-11-23 21:52:07 UTC, from ISO 8601 in UTC."""
    if not moment:
        return "–"
    day, _, rest = moment.partition("T")
    return f"{day} {rest[:8]} UTC"
