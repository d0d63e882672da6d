"""What a comparison finds: each thing that isn't equal, and a table's result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One thing that isn't equal. Names are the source's; `kind` is a stable word.

    Kinds of rows and cells: 'missing_row', 'extra_row', 'different'. The values are those that PostgreSQL prints,
    '' where they must not be shown (encrypted columns), None for NULL.
    """

    table: str
    row_key: str
    column: str
    kind: str
    source_value: str | None = ""
    target_value: str | None = ""


@dataclass(frozen=True)
class TableCheck:
    """One table's result. `changed`: differences in rows that are known to have changed since the switch."""

    name: str
    target_name: str
    rows: int
    target_rows: int
    cells: int
    differences: int
    changed: int = 0


class Differences:
    """Counts all, keeps the first `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0
        self.kept: list[Difference] = []

    def add(self, difference: Difference) -> None:
        self.count += 1
        if len(self.kept) < self.limit:
            self.kept.append(difference)
