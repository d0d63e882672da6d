"""What a certificate says of a run, as plain data: the same rows give the same document, to the byte."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePath
from typing import Any

from django.conf import settings
from django.utils import timezone

from controlplane.audit.standalone import canonical
from migrations_app.models import ChecklistItem, MigrationRun, RunStep
from migrations_app.models.states import RunState, StepState, Strategy
from migrations_app.services.downtime import downtime_of
from migrations_app.services.overview import COMPARES, timeline
from migrations_app.services.schedule import last_safe_moment, rehearsed_downtime
from migrations_app.services.signature_record import signature_record

FORMAT = "causeway certificate 1"


def collect(run: MigrationRun) -> dict[str, Any]:
    """The certificate's content; JSON types only, times in UTC. Never a cell's value, never a secret."""
    steps = list(run.steps.order_by("position"))
    verify = next((step for step in steps if step.name in COMPARES and step.evidence), None)
    evidence = verify.evidence if verify is not None else {}
    return {
        "format": FORMAT,
        "outcome": run.state,
        "application": {"name": run.application.name, "title": run.application.title, "host": run.application.host},
        "run": _run(run),
        "plan": _plan(run),
        "rehearsal": run.rehearsal_id,
        "down": _down(run, steps),
        "freeze": _freeze(run, steps),
        "verification": _verification(evidence, verify),
        "not_compared": [*_altered(steps), *_not_compared(run, evidence, verify)],
        "decisions": signature_record(run),
        "checklist": [_item(item) for item in _items(run)],
        "timeline": [_phase(row) for row in timeline(run, run.finished_at)],
        "steps": [_step(step) for step in steps],
        "files": [
            {"kind": row.kind, "name": PurePath(row.path).name, "sha256": row.sha256, "size": row.size}
            for row in run.artifacts.order_by("pk")
        ],
        "left_behind": _left_behind(run),
        "backup_kept_until": _kept_until(run).isoformat(),
    }


def kept_until(run: MigrationRun) -> date:
    """Until which day the backups of a finished run are kept."""
    return _kept_until(run)


def _run(run: MigrationRun) -> dict[str, Any]:
    return {
        "number": run.pk,
        "kind": run.kind,
        "strategy": run.strategy,
        "requested_by": run.requested_by.get_username(),
        "started_by": run.started_by.get_username() if run.started_by else "",
        "created_at": _time(run.created_at),
        "started_at": _time(run.started_at),
        "switched_at": _time(run.switched_at),
        "finished_at": _time(run.finished_at),
    }


def _plan(run: MigrationRun) -> dict[str, Any]:
    plan = run.plan
    findings = plan.findings.order_by("pk").values("code", "severity", "table", "column", "count", "choice")
    return {
        "revision": plan.revision,
        "digest": plan.digest,
        "author": plan.author.get_username(),
        "schema_mode": (plan.document or {}).get("mode", ""),
        "application_version": plan.application_version,
        "window": [_time(plan.window_start), _time(plan.window_end), plan.window_zone],
        "last_safe_moment": _time(last_safe_moment(run)),
        "excluded": list(plan.excluded),
        "findings": [dict(row) for row in findings],
    }


def _down(run: MigrationRun, steps: list[RunStep]) -> dict[str, Any]:
    """Measured from the stop until the application proved itself again; planned as the rehearsal measured it."""
    away = downtime_of(run, steps, run.finished_at or timezone.now())
    measured = away.seconds if away is not None and away.over and run.up_since else None
    planned = rehearsed_downtime(run)
    return {
        "since": _time(run.down_since),
        "until": _time(run.up_since),
        "seconds": None if measured is None else round(measured, 1),
        "planned_seconds": planned,
    }


def _freeze(run: MigrationRun, steps: list[RunStep]) -> dict[str, Any] | None:
    """Of an online run: how long writers waited, in milliseconds, and what was applied meanwhile."""
    step = next((step for step in steps if step.name == "cut_over" and step.evidence), None)
    if run.strategy != Strategy.ONLINE or step is None:
        return None
    return {name: step.evidence.get(name) for name in ("locked_ms", "gap_ms", "rows", "deletes")}


def _verification(evidence: Mapping[str, Any], step: RunStep | None) -> dict[str, Any] | None:
    if step is None:
        return None
    tables = [
        {
            name: row.get(name, 0 if name not in ("name", "target_name") else "")
            for name in ("name", "target_name", "rows", "target_rows", "cells", "differences")
        }
        for row in evidence.get("tables", [])
    ]
    objects = list(evidence.get("objects") or [])
    kinds = sorted({str(row.get("kind", "")) for row in objects})
    return {
        "at": _time(step.finished_at),
        "equal": bool(evidence.get("equal")),
        "differences": int(evidence.get("difference_count") or 0),
        "changed_since_the_switch": int(evidence.get("changed") or 0),
        "tables": tables,
        "rows": sum(int(row["rows"] or 0) for row in tables),
        "cells": sum(int(row["cells"] or 0) for row in tables),
        "objects": {
            kind: [
                sum(1 for row in objects if row.get("kind") == kind),
                sum(1 for row in objects if row.get("kind") == kind and row.get("carried", True)),
            ]
            for kind in kinds
        },
        "decrypted": [
            {name: row.get(name) for name in ("table", "column", "cells", "opened")}
            for row in evidence.get("decrypted") or []
        ],
        "position": evidence.get("position"),
        "digest": step.evidence_digest,
    }


def _not_compared(run: MigrationRun, evidence: Mapping[str, Any], step: RunStep | None) -> list[str]:
    """What nobody may take as proved, in sentences."""
    if step is None:
        return ["Nothing was compared: the run ended before its data had been loaded."]
    left_out = [f"Table {name} was left out by the plan." for name in run.plan.excluded]
    objects = [
        f"{str(row.get('kind', '')).replace('_', ' ').capitalize()} {row.get('name', '')} was not carried: "
        f"{row.get('why') or 'no reason was noted'}."
        for row in evidence.get("objects") or []
        if not row.get("carried", True)
    ]
    sealed = [
        f"{row.get('table')}.{row.get('column')}: {int(row.get('cells') or 0) - int(row.get('opened') or 0):,} "
        "encrypted cells did not open."
        for row in evidence.get("decrypted") or []
        if int(row.get("cells") or 0) != int(row.get("opened") or 0)
    ]
    said = [str(line) for line in (*evidence.get("remarks", []), *evidence.get("inconclusive", []))]
    return list(dict.fromkeys([*left_out, *said, *objects, *sealed]))


def _altered(steps: list[RunStep]) -> list[str]:
    """Evidence that is not what was recorded: its digest stands in the trail, so this can't be hidden."""
    return [
        f"What step “{step.title}” proved was changed after it was recorded: its digest no longer fits."
        for step in steps
        if evidence_file(step) and _sha256(evidence_file(step)) != step.evidence_digest
    ]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if content else ""


def _items(run: MigrationRun) -> list[ChecklistItem]:
    return list(run.items.order_by("position").prefetch_related("results__files", "results__recorded_by"))


def _item(item: ChecklistItem) -> dict[str, Any]:
    return {
        "code": item.code,
        "phase": item.phase,
        "title": item.title,
        "criterion": item.criterion,
        "level": item.level,
        "prover": item.prover,
        "state": item.state,
        "at": _time(item.changed_at),
        "proof": str(item.evidence.get("digest") or ""),
        "results": [
            {
                "by": result.recorded_by.get_username(),
                "outcome": result.outcome,
                "note": result.note,
                "link": result.link,
                "at": _time(result.recorded_at),
                "files": [
                    {"name": file.name, "type": file.content_type, "sha256": file.sha256, "size": file.size}
                    for file in result.files.all()
                ],
            }
            for result in sorted(item.results.all(), key=lambda row: row.pk)
        ],
    }


def _phase(row: Any) -> dict[str, Any]:
    actual = None
    if row.actual_start and row.actual_end:
        actual = round((row.actual_end - row.actual_start).total_seconds(), 1)
    return {
        "title": row.title,
        "owner": row.owner,
        "state": str(row.state),
        "planned_seconds": row.planned_seconds,
        "planned_start": _time(row.planned_start),
        "actual_start": _time(row.actual_start),
        "actual_end": _time(row.actual_end),
        "actual_seconds": actual,
    }


def _step(step: RunStep) -> dict[str, Any]:
    return {
        "position": step.position,
        "name": step.name,
        "title": step.title,
        "state": step.state,
        "attempts": step.attempts,
        "started_at": _time(step.started_at),
        "finished_at": _time(step.finished_at),
        "error_code": step.error_code,
        "evidence": step.evidence_digest,
        "file": _sha256(evidence_file(step)),
    }


def evidence_file(step: RunStep) -> bytes:
    """What a step proved, exactly as its digest was made of it (services/recording.py); b'' where it proved nothing.

    A gate's digest is of what its signatures saw, not of evidence of its own.
    """
    if not step.evidence_digest or step.is_gate or step.state == StepState.PENDING:
        return b""
    return canonical({"step": step.name, "state": step.state, "evidence": step.evidence})


def _left_behind(run: MigrationRun) -> dict[str, Any] | None:
    """Of a rollback: the rows that left the application, and whether that is known."""
    if run.state != RunState.ROLLED_BACK:
        return None
    delta = run.facts.get("delta") or {}
    return {
        "rows": int(delta.get("rows") or 0),
        "sha256": str(delta.get("sha256", "")),
        "unknown": bool(run.facts.get("changes_unknown")),
    }


def _kept_until(run: MigrationRun) -> date:
    ended = run.finished_at or run.created_at
    return (ended.astimezone(UTC) + timedelta(days=settings.CAUSEWAY_BACKUP_DAYS)).date()


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else None
