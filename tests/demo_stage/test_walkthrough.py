"""The whole life of three runs, as `make demo ARGS=--walkthrough` goes through it."""

import subprocess
import sys
from pathlib import Path

import pytest

from demo.stage.home import ROOT


@pytest.mark.chaos
def test_the_walkthrough_reaches_every_state_and_every_proof_holds(servers_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo.stage", "--walkthrough", "--state-dir", str(servers_dir / "demo")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "each state was reached, each verification held" in done.stdout
