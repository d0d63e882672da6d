"""Act 5: all of it stands in the audit trail, and the trail holds."""

from __future__ import annotations

import os
import subprocess
import sys

from controlplane.audit.models import AuditEvent
from demo.stage.home import ROOT
from demo.stage.stage import Stage
from demo.stage.walkthrough.proof import Proofs

VERIFY_SECONDS = 120
EXPECTED = (
    *("plan.submitted", "run.approved", "gate.signed", "gate.passed", "permission.refused", "result.recorded"),
    *("run.completed", "rollback.requested", "rollback.agreed", "run.rolled_back", "person.signed_in"),
)


def play(stage: Stage, proofs: Proofs) -> None:
    """audit_verify as a command, and what must stand in the trail."""
    done = subprocess.run(
        [sys.executable, "manage.py", "audit_verify"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=VERIFY_SECONDS,
        check=False,
    )
    said = (done.stdout.strip() or done.stderr.strip())[-300:]
    proofs.hold(done.returncode == 0, f"audit_verify exits 0: {said}", said)
    known = set(AuditEvent.objects.values_list("action", flat=True))
    missing = [action for action in EXPECTED if action not in known]
    proofs.hold(not missing, f"the trail knows what happened: {', '.join(EXPECTED)}", f"Missing: {missing}")
