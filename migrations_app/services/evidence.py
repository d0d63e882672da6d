"""Digests that signatures are bound to."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from migrations_app.models import MigrationRun


def digest_of(document: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of a document."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def evidence_digest(run: MigrationRun) -> str:
    """What has been proved so far: every step's state and evidence, and every checklist item's state."""
    steps = list(run.steps.order_by("position").values_list("name", "state", "evidence_digest"))
    items = list(run.items.order_by("position").values_list("code", "state"))
    # Gates are left out: a signature must not void its neighbour's. What runs or waits has proved nothing yet.
    proved = [row for row in steps if not row[0].startswith("gate_") and row[1] not in ("pending", "running")]
    return digest_of({"steps": proved, "items": items})
