"""The verification report: is one value wrong?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from migrations_app.models import RunStep
from migrations_app.services import overview
from migrations_app.views.common import page, render_page, run_frame, visible_run

SHOWN_DIFFERENCES = 50
SHOWN_TABLES = 200
OBJECT_NAMES = {
    "primary_key": "Primary keys",
    "index": "Indexes",
    "foreign_key": "Foreign keys",
    "check": "Checks",
    "not_null": "Not-null rules",
    "unique": "Unique rules",
    "default": "Defaults",
    "view": "Views",
    "trigger": "Triggers",
    "sequence": "Sequences",
}


@page
@require_GET
def show(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request, number)
    report = overview.verification(run)
    step = run.steps.filter(name__in=overview.COMPARES).first()
    context = {**run_frame(run, "verification"), "step": step, "report": None}
    if report:
        context |= _context(report, step)
    return render_page(request, "runs/verification.html", context)


def _context(report: Mapping[str, Any], step: RunStep | None) -> dict[str, Any]:
    tables = [_table(row) for row in report.get("tables", [])]
    tables.sort(key=lambda row: (-row["differ"], -row["rows"], row["name"]))
    differences = list(report.get("differences", []))
    cells = sum(row["cells"] for row in tables)
    differ = int(report.get("difference_count") or len(differences))
    return {
        "report": report,
        "position": report.get("position"),
        "equal": bool(report.get("equal")),
        "tables": tables[:SHOWN_TABLES],
        "tables_hidden": max(0, len(tables) - SHOWN_TABLES),
        "differences": [_difference(row) for row in differences[:SHOWN_DIFFERENCES]],
        "differences_hidden": max(0, len(differences) - SHOWN_DIFFERENCES),
        "differ": differ,
        "cells": cells,
        "rows": sum(row["rows"] for row in tables),
        "objects": _objects(report.get("objects") or []),
        "decrypted": [_decrypted(row) for row in report.get("decrypted") or []],
        "seconds": (step.finished_at - step.started_at).total_seconds()
        if step and step.finished_at and step.started_at
        else None,
    }


def _table(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": row.get("name", ""),
        "target_name": row.get("target_name", ""),
        "rows": int(row.get("rows") or 0),
        "cells": int(row.get("cells") or 0),
        "differ": _count(row.get("differences")),
    }


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list | tuple) else int(value or 0)


def _difference(row: Mapping[str, Any]) -> dict[str, Any]:
    """Both values where they may be shown: those of encrypted and personal columns never come here."""
    source, target = row.get("source_value", ""), row.get("target_value", "")
    kind = str(row.get("kind", ""))
    return {
        # Views belong to no table; what is said of a whole table, or a whole row, has no column.
        "place": ".".join(part for part in (row.get("table"), row.get("column")) if part),
        "row_key": _key_text(str(row.get("row_key", ""))),
        "kind": {"different": "", "missing_row": "The row is missing in PostgreSQL."}.get(kind, kind.replace("_", " ")),
        "source": source,
        "target": target,
        # Two empty values differ in nothing that may be seen.
        "shown": source != target,
    }


def _key_text(key: str) -> str:
    """[48213] as 48213, ["a", 2] as a, 2."""
    try:
        parts = json.loads(key)
    except ValueError:
        return key
    return ", ".join(str(part) for part in parts) if isinstance(parts, list) else str(parts)


def _objects(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line a kind: how many there are in SQLite, how many were carried, and why the others were not."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        kinds.setdefault(str(record.get("kind", "")), []).append(record)
    lines = []
    for kind, members in kinds.items():
        left = [member for member in members if not member.get("carried", True)]
        lines.append(
            {
                "name": OBJECT_NAMES.get(kind, kind.replace("_", " ").capitalize()),
                "source": len(members),
                "carried": len(members) - len(left),
                "not_carried": left,
                "state": "different" if left else "equal",
                "word": f"{len(left)} not carried" if left else "All there",
            }
        )
    return lines


def _decrypted(row: Mapping[str, Any]) -> dict[str, Any]:
    cells, opened = int(row.get("cells") or 0), int(row.get("opened") or 0)
    return {**row, "cells": cells, "opened": opened, "failed": cells - opened}
