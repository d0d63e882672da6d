"""A path in a process of its own: what it used is measured, and what goes wrong is said."""

import sys
from pathlib import Path

import pytest

from bench import processes
from bench.child import PathFailed, run_child

pytestmark = pytest.mark.skipif(not processes.known(), reason="this system has no /proc")

# One process works in a phase, and a child of it holds memory.
WORK = """
import subprocess, sys, time
from bench.phases import Phases
phases = Phases(0)
with phases.phase("work"):
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
with phases.phase("memory"):
    subprocess.run([sys.executable, "-c", "import time; kept = bytes(1) * 200_000_000; time.sleep(0.5)"], check=True)
phases.facts["rows"] = 7
phases.tell()
"""


def test_phases_have_their_own_cpu_and_memory() -> None:
    measured = run_child([sys.executable, "-c", WORK])
    assert measured.facts == {"rows": 7}
    assert measured.phases["work"].client_cpu >= 0.25  # clocks tick in hundredths
    assert measured.whole.client_cpu >= measured.phases["work"].client_cpu
    assert measured.phases["work"].peak_mb < 200 < measured.phases["memory"].peak_mb


def test_a_failure_is_told_with_what_was_said_last() -> None:
    with pytest.raises(PathFailed, match=r"exit status 3: out of luck"):
        run_child([sys.executable, "-c", "print('out of luck'); raise SystemExit(3)"])


def test_a_path_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = f"""
import pathlib, subprocess, sys
process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path({str(child)!r}).write_text(str(process.pid))
process.wait()
"""
    with pytest.raises(PathFailed, match="not finished after"):
        run_child([sys.executable, "-c", code], timeout=2)
    pid = int(child.read_text())
    assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
