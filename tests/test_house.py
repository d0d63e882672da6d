"""The fixed entry points: make's targets and CI's script."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("demo", "test", "lint", "bench", "chaos", "screenshots")


def dry_run(tree: Path, *arguments: str) -> str:
    run = subprocess.run(["make", "-n", *arguments], cwd=tree, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A checkout in which nothing was set up yet."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "demo").mkdir()
    for pins in ("requirements.txt", "requirements-dev.txt", "demo/requirements.txt"):
        shutil.copy(ROOT / pins, tmp_path / pins)
    return tmp_path


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_sets_up_first(fresh: Path, target: str) -> None:
    assert "-m pip install" in dry_run(fresh, target)


def test_setup_is_not_done_twice_but_again_when_a_pin_changed(fresh: Path) -> None:
    (fresh / ".venv").mkdir()
    (fresh / ".venv" / ".installed").touch()
    assert "pip install" not in dry_run(fresh, "setup")
    later = os.stat(fresh / ".venv" / ".installed").st_mtime + 10
    os.utime(fresh / "demo" / "requirements.txt", (later, later))
    assert "pip install" in dry_run(fresh, "setup")


def test_arguments_reach_the_demo(fresh: Path) -> None:
    assert "-m demo.stage --walkthrough" in dry_run(fresh, "demo", "ARGS=--walkthrough")


def test_ci_runs_what_make_test_runs_and_removes_nothing() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[-1] == "exec make test"
    assert not any("rm " in line or "clean" in line for line in lines)


def test_every_requirement_is_pinned() -> None:
    for pins in ("requirements.txt", "requirements-dev.txt", "demo/requirements.txt"):
        for line in (ROOT / pins).read_text().splitlines():
            if line and not line.startswith(("#", "-r ")):
                assert "==" in line, f"{pins}: {line}"
