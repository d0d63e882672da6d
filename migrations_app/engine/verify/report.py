"""The JSON report of the commands: what happened, in the same shape whatever happened (docs/reference/commands.md)."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrations_app.engine.artefact_files import write_atomically
from migrations_app.engine.errors import EngineError
from migrations_app.engine.plan import Finding, MovePlan
from migrations_app.engine.target.ledger import ObjectRecord
from migrations_app.engine.verify.compare import VerifyResult

VERIFIED = "verified"
LOADED = "loaded"
EXPORTED = "exported"
PLANNED = "planned"
DIFFERENT = "different"
REFUSED = "refused"
FAILED = "failed"
EXIT_CODES = {VERIFIED: 0, LOADED: 0, EXPORTED: 0, PLANNED: 0, DIFFERENT: 1, REFUSED: 2, FAILED: 3}

# The report's word for each kind of object.
_GROUPS = {
    "primary_key": "primary_keys",
    "unique": "uniques",
    "index": "indexes",
    "foreign_key": "foreign_keys",
    "check": "checks",
    "not_null": "not_nulls",
    "default": "defaults",
    "view": "views",
    "trigger": "triggers",
    "sequence": "sequences",
}


@dataclass
class Report:
    """Filled in as the work goes on, so that a failure reports what was known by then."""

    outcome: str = FAILED
    plan: MovePlan | None = None
    rows: dict[str, int] = field(default_factory=dict)  # by source table, as exported or loaded
    records: tuple[ObjectRecord, ...] = ()
    verified: VerifyResult | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    error: EngineError | None = None
    notes: list[str] = field(default_factory=list)
    artefacts: dict[str, str] = field(default_factory=dict)  # what was written: word to path or digest

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]

    def fail(self, error: EngineError) -> None:
        """The outcome that this error stands for."""
        self.error = error
        self.outcome = REFUSED if error.exit_code == 2 else FAILED

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "outcome": self.outcome,
            "findings": [_finding(finding) for finding in self._findings()],
            "tables": self._tables(),
            "objects": group_objects(self.records or (planned_objects(self.plan) if self.plan else ())),
            "differences": self._differences(),
            "difference_count": self.verified.difference_count if self.verified else 0,
            "inconclusive": list(self.verified.inconclusive) if self.verified else [],
            "seconds": {phase: round(seconds, 3) for phase, seconds in self.seconds.items()},
            "peak_memory_mb": peak_memory_mb(),
            "plan_digest": self.plan.digest if self.plan else "",
            "artefacts": dict(self.artefacts),
            "notes": list(self.notes),
        }
        if self.error is not None:
            document["error"] = {"code": self.error.code, "message": self.error.message, "hint": self.error.hint}
        return document

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all. Raises Failed FILE_ERROR, DISK_FULL."""
        text = json.dumps(self.to_document(), indent=2, ensure_ascii=False)
        write_atomically(path, text.encode("utf-8", "backslashreplace") + b"\n")

    def _findings(self) -> tuple[Finding, ...]:
        found = getattr(self.error, "findings", ())
        if self.plan is not None:
            return self.plan.findings
        return tuple(found)

    def _tables(self) -> list[dict[str, Any]]:
        checks = {check.name: check for check in self.verified.tables} if self.verified else {}
        names = {table.name: table.target_name for table in self.plan.tables if table.is_loaded} if self.plan else {}
        return [
            {
                "name": name,
                "target_name": names.get(name, name),
                "rows": checks[name].rows if name in checks else self.rows.get(name, 0),
                "cells": checks[name].cells if name in checks else 0,
                "differences": checks[name].differences if name in checks else 0,
            }
            for name in dict.fromkeys([*names, *self.rows, *checks])
        ]

    def _differences(self) -> list[dict[str, str]]:
        """Where, never what: a report lands in the logs of pipelines."""
        found = self.verified.differences if self.verified else ()
        return [{"table": d.table, "row_key": d.row_key, "column": d.column, "kind": d.kind} for d in found]


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "table": finding.table,
        "column": finding.column,
        "row_key": finding.row_key,
        "count": finding.count,
        "message": finding.message,
        "choices": list(finding.choices),
        "choice": finding.choice,
    }


def planned_objects(plan: MovePlan) -> tuple[ObjectRecord, ...]:
    """What the plan says of every object, before anything was tried."""
    records: list[ObjectRecord] = []
    for table in plan.tables:
        if not table.is_loaded:
            continue
        records += [ObjectRecord(o.kind, table.name, o.name, o.carried, o.why) for o in table.objects]
        for column in table.columns:
            if column.not_null:
                records.append(ObjectRecord("not_null", table.name, column.name, True))
            if column.default_sql is not None:
                records.append(ObjectRecord("default", table.name, column.name, True))
            if column.identity:
                records.append(ObjectRecord("sequence", table.name, column.name, True))
    records += [ObjectRecord(o.kind, "", o.name, o.carried, o.why) for o in plan.objects]
    return tuple(records)


def group_objects(records: Iterable[ObjectRecord]) -> dict[str, dict[str, Any]]:
    """Per kind: how many the source has, how many were carried, and which were not, with the reason."""
    groups: dict[str, dict[str, Any]] = {
        word: {"source": 0, "carried": 0, "not_carried": []} for word in _GROUPS.values()
    }
    seen: set[tuple[str, str, str]] = set()
    for record in records:
        identity = (record.kind, record.table, record.name)
        if record.kind not in _GROUPS or identity in seen:
            continue
        seen.add(identity)
        group = groups[_GROUPS[record.kind]]
        group["source"] += 1
        if record.carried:
            group["carried"] += 1
        else:
            name = f"{record.table}.{record.name}" if record.table else record.name
            group["not_carried"].append({"name": name, "why": record.why})
    return groups


def peak_memory_mb() -> float:
    """The most memory this process ever had resident, in MB of 1,000,000 bytes.

    From VmHWM: ru_maxrss would count the memory of the process that started us, too.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        status: Mapping[str, str] = dict(line.split(":", 1) for line in lines if ":" in line)
        return round(int(status["VmHWM"].split()[0]) * 1024 / 1e6, 1)
    except (OSError, KeyError, ValueError):  # not Linux
        scale = 1 if sys.platform == "darwin" else 1024
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6, 1)
