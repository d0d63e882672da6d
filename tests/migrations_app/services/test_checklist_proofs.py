"""What steps prove of items: evidence that says it, evidence that says otherwise, and evidence that isn't there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.utils import timezone

from migrations_app.models import ItemChange, MigrationRun
from migrations_app.services.checklist_items import prove_items
from migrations_app.services.checklist_proofs import PROOFS
from migrations_app.services.execution import claim_step
from migrations_app.services.recording import record_result as record_step
from migrations_app.steps.base import StepResult
from tests import factories as make
from tests.migrations_app.services.conftest import Stage

TIMES = {
    **{"name": "employees", "requests": 10, "failures": 0, "timeouts": 0, "server_errors": 0},
    **{"p50_ms": 80.0, "p95_ms": 200.0, "max_ms": 230.0},
}
JUDGED = {
    **{"name": "employees", "p50_before": 70.0, "p95_before": 200.0, "p50_after": 80.0, "p95_after": 200.0},
    **{"limit_ms": 500.0, "problem": ""},
}
WORD = {"size": 5, "used": 1, "problem": ""}
SESSIONS = {
    "before": {"total": 1, "active": 0, "idle_in_transaction": 0, "waiting": 0, "hidden": 0},
    "peak": {"looks": 90, "total": 6, "active": 5, "idle_in_transaction": 0, "waiting": 0},
    "after": {"total": 6, "active": 0, "idle_in_transaction": 0, "waiting": 0, "hidden": 0},
    "max_connections": 100,
    "problem": "",
}
DATES = {"table": "leave", "column": "day", "target_type": "date", "values": 30, "wrong": 0}
ANSWER = {"name": "employees", "passed": True, "status": 200, "milliseconds": 9.0, "length": 41, "problem": ""}
TABLE = {"name": "employees", "rows": 41, "target_rows": 41, "cells": 410, "differences": 0}
OPENED = {"table": "genzai", "column": "birth_date", "cells": 8, "opened": 8, "nulls": 1, "inconclusive": ""}
EVIDENCE: dict[str, dict[str, Any]] = {
    "preflight": {
        "target": {"url": "postgresql://h/d", "version": "18.1", "encoding": "UTF8", "role": "yukyu"},
        "driver": {"checked": True, "command": "yukyu-driver", "output": "2.9.11"},
    },
    "baseline": {"endpoints": [TIMES]},
    "backup": {
        "bytes": 10,
        "sha256": "a" * 64,
        "restored_and_checked": True,
        "compared_with_source": "pages",
        "tables": {"employees": 41},
    },
    "export": {"manifest_sha256": "b" * 64, "tables": dict.fromkeys(make.TABLES, 1)},
    "stop_application": {
        "proof": {
            "stopped": True,
            "no_process": True,
            "ports_closed": True,
            "file_released": True,
            "lock_free": True,
            "reasons": [],
        }
    },
    "load": {"tables": dict.fromkeys(make.TABLES, 1)},
    "verify": {
        "equal": True,
        "difference_count": 0,
        "inconclusive": [],
        "tables": [TABLE],
        "decrypted": [OPENED],
    },
    "check_application": {
        "dialect": "postgresql",
        "endpoints": [ANSWER],
        "identity": {
            "proofs": [{"name": "own_word", "outcome": "passed"}, {"name": "sqlite_still", "outcome": "passed"}]
        },
    },
    "check_performance": {
        "limit_ms": 500,
        "clients": 10,
        "load": {"clients": 10, "per_second": 10, "seconds": 10},
        "reached_per_second": 10.0,
        "under_load": [TIMES],
        "judged": [JUDGED],
        "parallel": [TIMES],
        "baseline": [TIMES],
        "refusals": {},
        "database": {"deadlocks": 0, "sessions_killed": 0, "sessions_fatal": 0, "log_errors": {"23505": 2}},
        "pool": {
            "configured": 5,
            "most": 15,
            "word": {"before": dict(WORD), "after": dict(WORD)},
            "sessions": SESSIONS,
            "at_rest_after_seconds": 0.3,
        },
    },
    "check_integrity": {
        "problems": [],
        "inconclusive": [],
        "decrypted": [OPENED],
        "uniques": 9,
        "dates": [DATES],
        "dates_why_not": "",
    },
}
# step, item, what is changed in the evidence (a path and a value), and what the item is then.
WRONG = [
    ("preflight", "P01", ("target", "version", "14.9"), "failed"),
    ("preflight", "P01", ("target", "encoding", "SQL_ASCII"), "failed"),
    ("preflight", "P02", ("driver", {"checked": False, "why": "no command"}), "inconclusive"),
    ("preflight", "P08", ("target", "role", ""), "failed"),
    ("baseline", "P21", ("endpoints", [{**TIMES, "failures": 1}]), "failed"),
    ("baseline", "P21", ("endpoints", []), "inconclusive"),
    ("backup", "P22", ("bytes", 0), "failed"),
    ("backup", "P23", ("restored_and_checked", False), "inconclusive"),
    ("export", "P37", ("tables", {"employees": 1}), "failed"),
    ("export", "P37", ("tables", {}), "failed"),
    ("stop_application", "D01", ("proof", "lock_free", False), "failed"),
    ("stop_application", "D02", ("proof", "ports_closed", False), "failed"),
    ("load", "D05", ("tables", {"employees": 1}), "failed"),
    ("verify", "D09", ("tables", [{**TABLE, "target_rows": 40}]), "failed"),
    ("verify", "D09", ("tables", []), "inconclusive"),
    ("verify", "D10", ("tables", [{**TABLE, "differences": 1}]), "failed"),
    ("verify", "D08", ("difference_count", 1), "failed"),
    ("verify", "D08", ("equal", 1), "failed"),
    ("verify", "D11", ("decrypted", []), "inconclusive"),
    ("verify", "D11", ("decrypted", [{**OPENED, "opened": 7}]), "failed"),
    ("verify", "D11", ("decrypted", [{**OPENED, "inconclusive": "no key"}]), "inconclusive"),
    ("check_application", "R04", ("identity", "proofs", [{"name": "own_word", "outcome": "passed"}]), "failed"),
    ("check_application", "R04", ("dialect", "sqlite"), "failed"),
    ("check_application", "R07", ("endpoints", []), "inconclusive"),
    ("check_application", "R09", ("endpoints", [{**ANSWER, "name": "others"}]), "inconclusive"),
    ("check_application", "R05", ("endpoints", [{**ANSWER, "passed": False}]), "failed"),
    ("check_performance", "V08", ("judged", [{**JUDGED, "p95_after": 501.0}]), "failed"),
    ("check_performance", "V08", ("judged", [{**JUDGED, "problem": "may be 150 % of that"}]), "failed"),
    ("check_performance", "V08", ("judged", []), "inconclusive"),
    ("check_performance", "V10", ("refusals", {"pool_timeout": 1}), "failed"),
    ("check_performance", "V10", ("refusals", {"no_answer_in_time": 1}), "failed"),
    ("check_performance", "V10", ("database", "sessions_killed", 1), "failed"),
    ("check_performance", "V10", ("database", "log_errors", {"57014": 1}), "failed"),
    ("check_performance", "V10", ("under_load", []), "inconclusive"),
    ("check_performance", "V17", ("under_load", [{**TIMES, "failures": 1}]), "failed"),
    ("check_performance", "V17", ("parallel", []), "inconclusive"),
    ("check_performance", "C09", ("judged", [{**JUDGED, "p95_before": 100.0}]), "failed"),
    ("check_performance", "C09", ("judged", [{**JUDGED, "p95_before": None}]), "inconclusive"),
    ("check_performance", "C15", ("baseline", []), "inconclusive"),
    ("check_performance", "V15", ("pool", "sessions", "peak", "total", 0), "failed"),
    ("check_performance", "V15", ("parallel", [{**TIMES, "failures": 1}]), "failed"),
    ("check_performance", "V15", ("pool", "sessions", "problem", "no answer"), "inconclusive"),
    ("check_performance", "V16", ("pool", "word", "after", "size", 4), "failed"),
    ("check_performance", "V16", ("pool", "most", 5), "failed"),
    ("check_performance", "V18", ("refusals", {"too_many_connections": 1}), "failed"),
    ("check_performance", "V18", ("parallel", [{**TIMES, "failures": 1}]), "failed"),
    ("check_performance", "V18", ("pool", "at_rest_after_seconds", None), "failed"),
    ("check_performance", "V18", ("pool", "word", "after", "used", 2), "failed"),
    ("check_performance", "V18", ("pool", "sessions", "problem", "no answer"), "inconclusive"),
    ("check_performance", "V18", ("pool", "sessions", "after", "hidden", 3), "inconclusive"),
    ("check_integrity", "V14", ("problems", ["leave.id: orphan"]), "failed"),
    ("check_integrity", "V13", ("decrypted", []), "inconclusive"),
    ("check_integrity", "V13", ("decrypted", [{**OPENED, "opened": 7}]), "failed"),  # one for the one NULL
    ("check_integrity", "V12", ("dates", [{**DATES, "wrong": 1}]), "failed"),
]


def proved(run: MigrationRun, step: str, evidence: dict[str, Any], state: str = "succeeded") -> None:
    row = run.steps.get(name=step)
    row.state, row.evidence, row.evidence_digest, row.started_at = state, evidence, "e" * 64, timezone.now()
    prove_items(run=run, step=row, now=timezone.now())


@pytest.fixture
def run(stage: Stage) -> MigrationRun:
    """Of an application that has a word for its pool, and says how its encrypted dates read."""
    application = stage.application
    application.identity = {
        "process": "web",
        "path": "/health",
        "pool": {"path": "/db", "size": "size", "configured": 5},
    }
    application.encrypted_columns = [{**application.encrypted_columns[0], "pattern": "[0-9-]{10}"}]
    application.save()
    run = make.run(stage.plan, stage.who.ops)
    return MigrationRun.objects.select_related("application", "plan").get(pk=run.pk)


@pytest.mark.parametrize("step", EVIDENCE)
def test_evidence_that_says_so_passes_every_item_of_its_step(run: MigrationRun, step: str) -> None:
    proved(run, step, EVIDENCE[step])
    states = dict(run.items.filter(step_name=step, prover="system").values_list("code", "state"))
    assert states and {code: s for code, s in states.items() if s != "passed"} == {}


def test_dates_are_not_taken_for_readable_where_nobody_said_how_the_encrypted_ones_read(run: MigrationRun) -> None:
    run.application.encrypted_columns = [{**run.application.encrypted_columns[0], "pattern": ""}]
    run.application.save()
    proved(run, "check_integrity", EVIDENCE["check_integrity"])
    assert run.items.get(code="V12").state == "inconclusive"


@pytest.mark.parametrize(("step", "code", "change", "state"), WRONG)
def test_evidence_that_says_otherwise_never_passes(
    run: MigrationRun, step: str, code: str, change: tuple[Any, ...], state: str
) -> None:
    evidence = copy.deepcopy(EVIDENCE[step])
    *path, last, value = change
    inner = evidence
    for name in path:
        inner = inner[name]
    inner[last] = value
    proved(run, step, evidence)
    assert run.items.get(code=code).state == state


def test_no_proof_passes_on_evidence_that_says_nothing(run: MigrationRun) -> None:
    """A step of another version, a damaged row: whatever is missing is inconclusive, and nothing raises."""
    for evidence in ({}, {"target": None, "tables": None, "endpoints": None, "proof": {}}):
        for step in set(run.items.exclude(step_name="").values_list("step_name", flat=True)):
            if run.steps.filter(name=step).exists():
                proved(run, step, evidence)
    named = run.items.filter(prover="system", proof__in=PROOFS).exclude(phase="rollback")
    assert named.count() > 60
    assert not named.filter(state="passed").exists()


def test_proof_keeps_its_inputs_output_duration_and_digest(run: MigrationRun) -> None:
    proved(run, "verify", EVIDENCE["verify"])
    item = run.items.get(code="D09")
    assert item.evidence["inputs"]["plan"] == run.plan.digest
    assert item.evidence["output"] == {"employees": [41, 41]}
    assert item.evidence["message"] == "1 of 1 tables equal, 41 rows"
    assert item.evidence["step_digest"] == "e" * 64
    assert len(item.evidence["digest"]) == 64 and "seconds" in item.evidence
    change = ItemChange.objects.get(item=item)
    assert (change.was, change.state, change.by, change.evidence) == ("open", "passed", "system", item.evidence)


def test_failed_step_fails_its_items_but_for_what_its_evidence_proves(run: MigrationRun) -> None:
    evidence = copy.deepcopy(EVIDENCE["check_performance"])
    evidence["judged"][0]["p95_after"] = 900.0
    proved(run, "check_performance", evidence, state="failed")
    assert run.items.get(code="V08").state == "failed"
    assert run.items.get(code="V10").state == "passed"
    proved(run, "stop_application", EVIDENCE["stop_application"], state="failed")
    assert run.items.get(code="D01").state == "failed"


def test_what_follows_from_others_is_as_good_as_the_worst_of_them(run: MigrationRun) -> None:
    def state(code: str) -> str:
        return str(run.items.get(code=code).state)

    proved(run, "verify", EVIDENCE["verify"])
    assert (state("C06"), state("C01")) == ("passed", "open")
    proved(run, "load", EVIDENCE["load"])
    assert state("C01") == "passed"
    proved(run, "verify", {**EVIDENCE["verify"], "difference_count": 2, "equal": False})
    assert state("C06") == "failed"
    assert "D08" in run.items.get(code="C06").evidence["message"]


def test_step_that_runs_again_makes_its_items_stale_until_it_ends(stage: Stage) -> None:
    run = make.run(stage.plan, stage.who.ops)
    make.reach(run, "verify", state="pending", run_state="running", signers={})
    for result, state in ((StepResult("failed", "2 differ", code="DIFFERENT"), "failed"), (None, "stale")):
        step = claim_step(run_id=run.pk, holder="worker", now=timezone.now())
        assert step is not None
        if result is not None:
            record_step(step=step, token=step.lease_token, result=result, now=timezone.now())
            run.steps.filter(pk=step.pk).update(state="pending")
            MigrationRun.objects.filter(pk=run.pk).update(state="running")
        assert run.items.get(code="D10").state == state
