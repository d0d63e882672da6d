"""The mapping as the plan's page shows it: whole where it is small, a table at a time where the schema is wide.

A schema of hundreds of tables has tens of thousands of columns: rendering them all takes seconds that nobody reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import QueryDict

# Columns that are rendered at once; a page of them takes some 20 ms.
INLINE = 300
# Tables a page, each a line where it is not the one that is open.
TABLES = 300
RULES = {
    "load": "moved",
    "skip": "left out",
    "keep_target": "the target's rows stay",
    "empty_then_load": "emptied, then moved",
}
_MOVED = frozenset({"load", "empty_then_load"})


def counts_of(document: Mapping[str, Any], profile: Mapping[str, Any]) -> tuple[int, int]:
    """How many tables will be moved, and their rows."""
    rows_of = profile.get("tables", {})
    moved = [table["name"] for table in document.get("tables", []) if table["rule"] in _MOVED]
    return len(moved), sum(count for name in moved if isinstance(count := rows_of.get(name), int))


def mapping_of(document: Mapping[str, Any], profile: Mapping[str, Any], asked: QueryDict) -> dict[str, Any]:
    """The tables to show, and where the others are; `asked` names the open table and the place in the lists."""
    planned: Sequence[Mapping[str, Any]] = document.get("tables", [])
    rows_of = profile.get("tables", {})
    moved = [table for table in planned if table["rule"] in _MOVED]
    is_small = sum(len(table["columns"]) for table in planned) <= INLINE
    first = _number(asked.get("tables", ""))
    wanted = asked.get("table", "")
    if wanted and not is_small:
        place = next((n for n, table in enumerate(planned) if table["name"] == wanted), first)
        first = place - place % TABLES
    shown = planned[first : first + TABLES]
    start = _number(asked.get("column", ""))
    return {
        "tables": [
            _table(table, rows_of, start if not is_small else 0, is_small or table["name"] == wanted) for table in shown
        ],
        "is_small": is_small,
        "unfolded": len(planned) <= 3 or not is_small,
        "table_count": len(moved),
        "all_tables": len(planned),
        "row_count": sum(count for table in moved if isinstance(count := rows_of.get(table["name"]), int)),
        "tables_before": max(first - TABLES, 0) if first else None,
        "tables_after": first + TABLES if first + TABLES < len(planned) else None,
    }


def _table(table: Mapping[str, Any], rows_of: Mapping[str, Any], start: int, is_open: bool) -> dict[str, Any]:
    rows = rows_of.get(table["name"])
    objects = table.get("objects", [])
    columns = table["columns"]
    start = start if start < len(columns) else 0
    return {
        "name": table["name"],
        "target_name": table["target_name"],
        "rule": RULES.get(table["rule"], table["rule"]),
        "reason": table.get("reason", ""),
        "rows": rows if isinstance(rows, int) else None,
        "key": ", ".join(table.get("key", [])) or "rowid",
        "is_open": is_open,
        "column_count": len(columns),
        "columns": columns[start : start + INLINE] if is_open else [],
        "next_column": start + INLINE if is_open and start + INLINE < len(columns) else None,
        "objects": objects if is_open else [],
        "not_carried": sum(1 for item in objects if not item.get("carried", True)),
    }


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
