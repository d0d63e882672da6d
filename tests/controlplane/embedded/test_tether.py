"""Any death of the parent ends the child, its group and (asked for) what it detached."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from controlplane.embedded import EmbeddedError, TetheredProcess
from controlplane.embedded import tether as tether_module
from tests.controlplane.embedded.waiting import wait_until

# A parent that starts a tethered shell and tells the pids; then it waits to be killed. A shell that put the tests in
# the background has them ignore SIGINT, and so would the parent.
PARENT = """
import signal, sys, time
from pathlib import Path
from controlplane.embedded.process import TetheredProcess
signal.signal(signal.SIGINT, signal.default_int_handler)
process = TetheredProcess(["sh", "-c", sys.argv[2]], log=Path(sys.argv[1]), descendants=len(sys.argv) > 3)
print(process.pid, process.tether_pid, flush=True)
time.sleep(120)
"""


def start_parent(tmp_path: Path, script: str, *more: str) -> tuple[subprocess.Popen[str], int, int]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log"), script, *more], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child, tether = map(int, parent.stdout.readline().split())
    return parent, child, tether


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_death_of_the_parent_ends_the_childs_group_within_five_seconds(tmp_path: Path, number: int) -> None:
    parent, child, tether = start_parent(tmp_path, f"sleep 100 & echo $! > {tmp_path}/grandchild; wait")
    pid_file = tmp_path / "grandchild"
    assert wait_until(lambda: pid_file.exists() and pid_file.read_text().strip() != "")
    grandchild = int(pid_file.read_text())
    parent.send_signal(number)
    parent.wait(10)
    assert wait_until(lambda: gone(child) and gone(grandchild) and gone(tether), 5)


def test_a_child_that_ignores_the_stop_signal_is_killed(tmp_path: Path) -> None:
    parent, child, _ = start_parent(tmp_path, f"trap '' TERM; touch {tmp_path}/ready; while :; do sleep 1; done")
    assert wait_until((tmp_path / "ready").exists)
    parent.kill()
    parent.wait(10)
    assert wait_until(lambda: gone(child), 5)


def test_a_detached_descendant_ends_where_that_was_asked_for(tmp_path: Path) -> None:
    script = f"setsid sh -c 'echo $$ > {tmp_path}/detached; exec sleep 100' & sleep 100"
    parent, _, _ = start_parent(tmp_path, script, "descendants")
    pid_file = tmp_path / "detached"
    assert wait_until(lambda: pid_file.exists() and pid_file.read_text().strip() != "")
    detached = int(pid_file.read_text())
    parent.kill()
    parent.wait(10)
    assert wait_until(lambda: gone(detached), 5)


def test_the_death_of_the_tether_itself_ends_the_child(tmp_path: Path) -> None:
    with TetheredProcess(["sleep", "100"], log=tmp_path / "log") as process:
        os.kill(process.tether_pid, signal.SIGKILL)
        assert wait_until(lambda: gone(process.pid), 5)


def test_stop_ends_the_child_and_tells_how_it_ended(tmp_path: Path) -> None:
    process = TetheredProcess(["sh", "-c", "trap 'exit 7' TERM; echo ready; sleep 100 & wait"], log=tmp_path / "log")
    assert wait_until(lambda: "ready" in process.tail())
    process.stop()
    assert process.returncode == 7
    process.stop()


def test_the_childs_own_end_is_seen_with_its_status(tmp_path: Path) -> None:
    process = TetheredProcess(["sh", "-c", "echo the reason >&2; exit 3"], log=tmp_path / "log")
    assert process.wait(10)
    assert process.returncode == 3
    assert process.tail() == "the reason"
    process.stop()


def test_a_command_that_is_not_there_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError) as caught:
        TetheredProcess([tmp_path / "nothing"], log=tmp_path / "log")
    assert caught.value.code == "tether.not_started"
    assert "No such file" in caught.value.message


def test_the_command_line_form_passes_on_the_childs_status() -> None:
    command = [sys.executable, "-m", "controlplane.embedded.tether", "--stop-signal", "INT", "--", "sh", "-c", "exit 5"]
    assert subprocess.run(command, timeout=60).returncode == 5


def test_the_promise_of_five_seconds_is_kept_by_the_constants() -> None:
    assert tether_module.POLL_SECONDS + tether_module.GRACE_SECONDS + 1.0 < 5
