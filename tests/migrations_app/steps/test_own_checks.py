"""Items that are proved by the application's own commands: real programs, named by the operator."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from migrations_app.engine.control import Control
from migrations_app.models import MigrationRun
from migrations_app.services.checklist_items import prove_items
from migrations_app.services.execution import claim_step
from migrations_app.services.recording import record_result
from migrations_app.steps.base import StepContext, StepResult
from migrations_app.steps.checks import OwnChecks
from tests import factories as make

PROGRAMS = {
    "good": "print('12 passed')",
    "bad": "print('1 failed'); raise SystemExit(1)",
    "slow": "import time; time.sleep(60)",
    "tells": "print('postgresql://yukyu:hunter2-very-secret@db/yukyu'); print('PASSWORD=hunter2-very-secret')",
    "long": "print('x' * 50_000 + 'the end')",
}


@pytest.fixture
def operator(settings: Any, tmp_path: Path) -> None:
    lines = ["[roots]", "files = []"]
    for name, program in PROGRAMS.items():
        limit = 1 if name == "slow" else 30
        lines += [
            f"[commands.{name}]",
            f'argv = ["{sys.executable}", "-c", {json.dumps(program)}]',
            f'cwd = "{tmp_path}"',
        ]
        lines += [f"timeout_seconds = {limit}"]
    path = tmp_path / "operator.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(0o600)
    settings.CAUSEWAY_OPERATOR_FILE = str(path)


def run_with(**commands: str) -> MigrationRun:
    """A run that is about to do its own checks."""
    application = make.application(commands=commands)
    who = make.people(application)
    run = make.run(make.plan(application, who.second_lead), who.ops)
    make.reach(run, "own_checks", state="pending", run_state="running", signers={})
    return MigrationRun.objects.select_related("application", "plan").get(pk=run.pk)


def check(run: MigrationRun) -> StepResult:
    step = run.steps.get(name="own_checks")
    return OwnChecks().run(StepContext(run, step, Control(), lambda text: None, timezone.now))


@pytest.mark.django_db
def test_exit_status_and_output_prove_the_item(operator: None) -> None:
    run = run_with(unit_tests="good")
    step = claim_step(run_id=run.pk, holder="worker", now=timezone.now())
    assert step is not None and step.name == "own_checks"
    record_result(step=step, token=step.lease_token, result=check(run), now=timezone.now())
    item = run.items.get(code="P18")
    assert item.state == "passed"
    assert (item.evidence["output"]["exit_status"], item.evidence["output"]["output"].strip()) == (0, "12 passed")
    assert run.items.get(code="P19").state == "open"  # no command is named: QA's


@pytest.mark.django_db
@pytest.mark.parametrize(("command", "status"), [("bad", 1), ("slow", None)])
def test_mandatory_command_that_does_not_pass_fails_its_item_and_the_step(
    operator: None, command: str, status: int | None
) -> None:
    run = run_with(unit_tests=command, pool_tests="good")
    result = check(run)
    assert (result.outcome, result.code) == ("failed", "OWN_CHECK_FAILED")
    assert result.evidence["commands"]["unit_tests"]["exit_status"] == status
    step = run.steps.get(name="own_checks")
    step.state, step.evidence = "failed", dict(result.evidence)
    prove_items(run=run, step=step, now=timezone.now())
    states = dict(run.items.filter(code__in=["P18", "P20"]).values_list("code", "state"))
    assert states == {"P18": "failed", "P20": "passed"}


@pytest.mark.django_db
def test_output_is_kept_without_secrets_and_bounded(operator: None) -> None:
    run = run_with(unit_tests="tells", pool_tests="long")
    said = check(run).evidence["commands"]
    assert "hunter2" not in said["unit_tests"]["output"] and "***" in said["unit_tests"]["output"]
    assert said["pool_tests"]["output"].rstrip().endswith("the end")
    assert len(said["pool_tests"]["output"]) <= 8_000 and said["pool_tests"]["truncated"]


@pytest.mark.django_db
def test_without_a_command_nothing_is_run_and_nothing_passes(operator: None) -> None:
    run = run_with()
    assert check(run).outcome == "skipped"
    assert not run.items.filter(step_name="own_checks").exists()
