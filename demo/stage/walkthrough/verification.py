"""The verification as anybody can run it: the command, in a process of its own that knows nothing of the run."""

from __future__ import annotations

import os
import subprocess
import sys

from demo.stage.errors import StageError
from demo.stage.home import ROOT
from demo.stage.stage import Stage
from demo.stage.walkthrough import journey
from demo.stage.walkthrough.proof import Proofs
from migrations_app.applications.commands import minimal_environment
from migrations_app.models import MigrationRun

VERIFY_SECONDS = 180


def verify_by_hand(
    stage: Stage, proofs: Proofs, run: MigrationRun, said: str = "verify_migration, run by hand, finds every cell equal"
) -> None:
    """By the command, in a process of its own that knows nothing of the run."""
    installation = journey.installation_of(stage, run.application.name)
    report = stage.home.path / "logs" / f"verify-{run.pk}.json"
    environment = minimal_environment(
        {
            **{key: value for key, value in os.environ.items() if key.startswith("CAUSEWAY_")},
            "TARGET_DATABASE_URL": run.application.target_url.reveal(),
            "DATABASE_ENCRYPTION_KEY": stage.keys.cell_key(installation.name),
        }
    )
    command = ["manage.py", "verify_migration", "--source", str(installation.source), "--report", str(report)]
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=VERIFY_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StageError("walkthrough.verify", "verify_migration took too long.", "Look at the machine.") from None
    last = (done.stderr.strip() or done.stdout.strip())[-400:]
    proofs.hold(done.returncode == 0, f"{said} (exit status 0)", last)
