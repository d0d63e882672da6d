"""Rows for tests of pages and services: plain functions, each of which makes one thing and says so.

Runs are drafted by the real service; `reach()` then writes the rows as workers would have left them, so that a page
can be shown at any point of the way without a worker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Application, Membership, Role
from migrations_app.engine import plan as engine
from migrations_app.models import (
    Approval,
    Artifact,
    Finding,
    Gate,
    MigrationPlan,
    MigrationRun,
    Replication,
    RunStep,
    StepLogLine,
)
from migrations_app.models.states import (
    ApprovalState,
    GateState,
    ItemState,
    PlanState,
    RunKind,
    RunState,
    StepState,
    Strategy,
)
from migrations_app.services import gates
from migrations_app.services.checklist_items import derive_items
from migrations_app.services.evidence import digest_of, evidence_digest
from migrations_app.services.runs import create_run

PASSWORD = "correct horse battery"
TABLES = {
    "leave_requests": 500_000,
    "yukyu_usage_details": 641_002,
    "audit_log": 890_431,
    "employees": 52_114,
    "genzai": 41_870,
    "ukeoi": 9_204,
    "users": 412,
}
ENDPOINTS = ("employees", "leave-requests", "charts", "search", "health")
# How long each step takes, in proportion.
SECONDS = {
    "gate_plan": 0,
    "preflight": 20,
    "prepare_target": 45,
    "baseline": 40,
    "backup": 150,
    "copy_source": 60,
    "start_copy": 20,
    "export": 360,
    "copy_online": 620,
    "catch_up": 40,
    "full_check": 240,
    "cut_over": 6,
    "gate_go": 90,
    "stop_application": 20,
    "final_backup": 130,
    "load": 570,
    "verify": 220,
    "start_application": 20,
    "check_application": 15,
    "check_integrity": 60,
    "check_performance": 90,
    "gate_qa": 600,
    "soak": 3600,
    "rehearse_rollback": 130,
}
SAID = {
    "preflight": "PostgreSQL 18.6, every right is there, 38 GB free",
    "prepare_target": "alembic upgrade head: 7 tables, head 0003",
    "baseline": "5 endpoints measured, the slowest 212 ms",
    "backup": "4.1 GB, restored to a scratch file and compared",
    "export": "7 tables, 2,135,033 rows",
    "rehearsal_is_fresh": "rehearsed today, same plan and schema",
    "stop_application": "no process, port closed, no lock on the file",
    "final_backup": "taken after the stop, restored and compared",
    "refresh_export": "unchanged since the export",
    "load": "7 tables, 2,135,033 rows",
    "verify": "17,080,264 cells equal",
    "arm_change_queue": "7 tables watched",
    "switch_configuration": "DATABASE_TYPE and DATABASE_URL",
    "start_application": "web and worker are up",
    "check_application": "5 endpoints green, the application says postgresql",
    "check_integrity": "no orphan, every sequence ahead, encrypted columns open",
    "check_performance": "slowest p95 231 ms, limit 500 ms",
    "install_capture": "7 tables, each touched key is noted",
    "copy_online": "7 tables, 2,135,033 rows, at position 14,203",
    "catch_up": "12 rows behind, three times under 200",
    "full_check": "17,080,264 cells equal at position 18,411",
    "arm_back": "7 tables watched, every column has a way back",
    "cut_over": "writers waited 85 ms, 1.4 s with the restart",
}


@dataclass(frozen=True)
class People:
    """ben and emi lead, ana runs, chika tests, dora looks on, boss is a superuser, eve is of another application."""

    lead: User
    second_lead: User
    ops: User
    qa: User
    viewer: User
    boss: User
    stranger: User


def user(name: str, **fields: Any) -> User:
    return User.objects.create_user(name, password=PASSWORD, **fields)


def application(name: str = "yukyu", **fields: Any) -> Application:
    """An application with a full description; its target's address leads nowhere unless one is given."""
    described: dict[str, Any] = {
        "title": "Paid leave",
        "host": "apphost",
        "source_path": f"/srv/{name}/{name}.db",
        "target_url": "postgresql://yukyu:secret-word@127.0.0.1:1/yukyu",
        "schema_mode": "existing",
        "processes": [
            {"name": "web", "command": f"{name}-web", "order": 1, "port": 8010, "rehearsal_port": 8110},
            {"name": "worker", "command": f"{name}-worker", "order": 2},
        ],
        "pointing": {
            "mechanism": "file",
            "file": f"/srv/{name}/.env",
            "keys": {"DATABASE_URL": {"sqlite": "sqlite:///{path}", "postgresql": "{url}"}},
        },
        "commands": {"driver": f"{name}-driver", "schema_heads": f"{name}-schema-heads"},
        "endpoints": [{"name": "employees", "process": "web", "path": "/api/employees"}],
        "encrypted_columns": [{"table": "genzai", "column": "birth_date", "scheme": "aes-256-gcm", "key_env": "KEY"}],
    }
    return Application.objects.create(name=name, **{**described, **fields})


def member(of: Application, person: User, *roles: str) -> None:
    for role in roles:
        Membership.objects.create(application=of, user=person, role=role)


def people(of: Application) -> People:
    """One person a role, and those who must be kept out."""
    everyone = People(
        lead=user("ben"),
        second_lead=user("emi"),
        ops=user("ana", is_staff=True),
        qa=user("chika"),
        viewer=user("dora"),
        boss=User.objects.create_superuser("boss", password=PASSWORD),
        stranger=user("eve"),
    )
    member(of, everyone.lead, Role.LEAD)
    member(of, everyone.second_lead, Role.LEAD)
    member(of, everyone.ops, Role.OPS)
    member(of, everyone.qa, Role.QA)
    member(of, everyone.viewer, Role.VIEWER)
    return everyone


def column(name: str, declared: str, target: str, reason: str = "", **fields: Any) -> engine.ColumnPlan:
    return engine.ColumnPlan(name, name, declared, target, fields.pop("conversion", "text"), reason=reason, **fields)


def table(name: str, columns: Sequence[engine.ColumnPlan] = (), **fields: Any) -> engine.TablePlan:
    chosen = tuple(columns) or (
        column("id", "INTEGER", "bigint", "as the application made it", not_null=True),
        column("name", "TEXT", "text", "text fits"),
        column("amount", "REAL", "double precision", "8-byte floats on both sides"),
        column("created_at", "TIMESTAMP", "timestamp without time zone", "naive times stay naive"),
    )
    return engine.TablePlan(name, name, fields.pop("rule", engine.LOAD), chosen, ("id",), **fields)


def move_plan(tables: Sequence[str] = tuple(TABLES)) -> engine.MovePlan:
    index = engine.ObjectPlan("index", "leave_by_day", "CREATE INDEX", True)
    trigger = engine.ObjectPlan("trigger", "touch", carried=False, why="triggers are listed, not translated")
    first, *others = tables
    return engine.MovePlan(
        mode="existing",
        target_schema="public",
        schema_digest="5" * 64,
        encoding="UTF-8",
        tables=(table(first, objects=(index,)), *(table(name) for name in others)),
        objects=(trigger,),
    )


def plan(
    of: Application, author: User, *, state: str = PlanState.DRAFT, findings: int = 0, **fields: Any
) -> MigrationPlan:
    """A plan that was made, with `findings` of them without a choice."""
    move = move_plan(fields.pop("tables", tuple(TABLES)))
    revision = of.plans.count() + 1
    made = MigrationPlan.objects.create(
        application=of,
        revision=revision,
        author=author,
        state=state,
        settings={"jobs": 2, "soak_seconds": 3600, "endpoint_limit_ms": 500},
        document=move.to_document(),
        digest=move.digest,
        profile={"tables": {name: TABLES.get(name, 100) for name in (t.name for t in move.tables)}, "bytes": 4_100_000},
        source_schema_digest=move.schema_digest,
        application_version="1.4.2",
        **fields,
    )
    for number in range(findings):
        finding(made, table=f"shifts_{number}" if number else "shifts")
    return made


def finding(of: MigrationPlan, **fields: Any) -> Finding:
    described: dict[str, Any] = {
        "code": "VALUE_DOES_NOT_FIT",
        "severity": "refuse",
        "table": "shifts",
        "column": "minutes",
        "row_key": "[48213]",
        "count": 3,
        "message": "3 values are larger than the target's integer column can hold.",
        "choices": ["skip_rows", "stored_bytes", "skip_column"],
    }
    return Finding.objects.create(plan=of, **{**described, **fields})


def run(
    of: MigrationPlan, by: User, *, kind: str = RunKind.PRODUCTION, strategy: str = Strategy.OFFLINE
) -> MigrationRun:
    """A draft, as the service makes it: with its steps, gates and checklist."""
    return create_run(actor=by, plan=of, kind=kind, strategy=strategy)


def digest(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()


def reach(
    of: MigrationRun,
    step: str,
    *,
    state: str = StepState.RUNNING,
    run_state: str = RunState.RUNNING,
    minutes: float = 30,
    signers: dict[str, User] | None = None,
) -> RunStep:
    """The run at `step`: all before it is done, over the last `minutes`; the step itself is in `state`."""
    steps = list(of.steps.order_by("position"))
    here = next(number for number, row in enumerate(steps) if row.name == step)
    now = timezone.now()
    start = now - timedelta(minutes=minutes)
    weight = sum(SECONDS.get(row.name, 5) for row in steps[:here]) + SECONDS.get(step, 5) * 0.5
    moment = start
    for row in steps[:here]:
        share = timedelta(minutes=minutes) * (SECONDS.get(row.name, 5) / weight)
        if row.name == "gate_plan":  # signed the evening before
            _finish(of, row, start - timedelta(hours=9), start - timedelta(hours=8), signers or {})
            continue
        _finish(of, row, moment, moment + share, signers or {})
        moment += share
    target = steps[here]
    _stand(of, target, state, moment)
    _moments(of, steps[:here], run_state, start)
    derive_items(of, now)
    of.refresh_from_db()
    target.refresh_from_db()
    return target


def complete(
    of: MigrationRun, *, minutes: float = 30, signers: dict[str, User] | None = None, **fields: Any
) -> MigrationRun:
    """The run with every step done."""
    last = of.steps.order_by("-position").first()
    assert last is not None
    reach(
        of, last.name, state=StepState.SUCCEEDED, run_state=RunState.COMPLETED, minutes=minutes, signers=signers or {}
    )
    now = timezone.now()
    MigrationRun.objects.filter(pk=of.pk).update(finished_at=now, **fields)
    of.refresh_from_db()
    return of


def rehearsed(of: MigrationPlan, by: User, *, strategy: str = Strategy.OFFLINE) -> MigrationRun:
    """A completed rehearsal, with what it measured."""
    made = run(of, by, kind=RunKind.REHEARSAL, strategy=strategy)
    away = {"rollback_seconds": 2, "downtime_seconds": 1.4}
    measured = away if strategy == Strategy.ONLINE else {"rollback_seconds": 130, "downtime_seconds": 540}
    return complete(made, minutes=32, facts=measured)


def people_passed(of: MigrationRun, *phases: str) -> None:
    """What people prove in these phases (in all, where none is named) has passed."""
    items = of.items.exclude(prover="system")
    (items.filter(phase__in=phases) if phases else items).update(state=ItemState.PASSED, changed_at=timezone.now())
    derive_items(of, timezone.now())


def load_progress(step: RunStep, done: float = 0.42) -> None:
    """A load under way: the large tables in part, the small ones whole."""
    tables = {}
    for number, (name, total) in enumerate(sorted(TABLES.items(), key=lambda item: item[1])):
        tables[name] = [total if number < 4 else int(total * done / (number - 3)), total]
    RunStep.objects.filter(pk=step.pk).update(progress={"phase": "load", "tables": tables, "message": ""})
    StepLogLine.objects.create(step=step, at=timezone.now(), text="leave_requests: chunk 21 of 50")


def verified(of: MigrationRun, *, differences: Sequence[dict[str, Any]] = ()) -> None:
    """The verify step's evidence, as the engine writes it."""
    evidence = {
        "equal": not differences,
        "tables": [
            {
                "name": name,
                "target_name": name,
                "rows": rows,
                "target_rows": rows,
                "cells": rows * 8,
                "differences": sum(1 for row in differences if row["table"] == name),
                "changed": 0,
            }
            for name, rows in TABLES.items()
        ],
        "differences": list(differences),
        "difference_count": len(differences),
        "objects": [
            {"kind": "index", "table": "leave_requests", "name": "leave_by_day", "carried": True, "why": ""},
            {"kind": "foreign_key", "table": "genzai", "name": "genzai_employee", "carried": True, "why": ""},
            {"kind": "sequence", "table": "employees", "name": "employees_id_seq", "carried": True, "why": ""},
        ],
        "decrypted": [{"table": "genzai", "column": "birth_date", "cells": 41_870, "opened": 41_870, "nulls": 0}],
        "inconclusive": [],
        "changed": 0,
        "seconds": {"rows": 21.4},
    }
    row = of.steps.get(name__in=["verify", "full_check"])
    if row.name == "full_check":
        evidence |= {"position": 18_411}
    RunStep.objects.filter(pk=row.pk).update(evidence=evidence)
    RunStep.objects.filter(pk=row.pk).update(evidence_digest=proof(row.name, row.state, evidence))


def reality(
    of: MigrationRun, *, dialect: str = "sqlite", up: bool = True, crossing: dict[str, Any] | None = None
) -> None:
    """The probe's last answer; crossing: its part about a live one."""
    probed = {
        "application": {
            "state": "up" if up else "stopped",
            "processes": ["web", "worker"] if up else [],
            "ports": [8010] if up else [],
            "configuration": dialect,
            "launched_for": dialect if up else None,
            "holders": [],
            "message": "",
        },
        "sqlite": {"state": "unchanged since the stop", "fingerprint": digest("file")},
        "postgresql": {"state": "answers", "version": "PostgreSQL 18.6"},
        **({"crossing": crossing} if crossing else {}),
        "at": timezone.now().isoformat(),
    }
    MigrationRun.objects.filter(pk=of.pk).update(reality=probed, reality_at=timezone.now() - timedelta(seconds=2))
    of.refresh_from_db()


def replicating(of: MigrationRun, *, back: bool = False, **fields: Any) -> Replication:
    """The row of a live crossing: what its follower saw two seconds ago, with ten minutes of backlog."""
    now = timezone.now()
    facts = {
        "live": "postgresql" if back else "sqlite",
        "sqlite": "fenced" if back else "capture",
        "postgresql": "taken_over" if back else "following",
        "configuration": "postgresql" if back else "sqlite",
        "action": "flow_back" if back else "follow",
    }
    sentence = "The application works on SQLite, PostgreSQL follows."
    if back:
        sentence = "The application works on PostgreSQL, writes flow back."
    described: dict[str, Any] = {
        "plan": of.plan,
        "run": of,
        "identity": digest(of.pk)[:32],
        "direction": "back" if back else "forward",
        "facts": {**facts, "sentence": sentence},
        "copied_at": now - timedelta(minutes=21),
        "position": 18_411,
        "head": 18_423,
        "lag_rows": 0 if back else 12,
        "lag_seconds": 0.0 if back else 0.4,
        "queue_rows": 0 if back else None,
        "flowed_rows": 214 if back else 0,
        "checked_at": now - timedelta(minutes=6),
        "checked_position": 18_211,
        "checked_digest": digest("full check"),
        "window_open": True,
        "window_since": now - timedelta(minutes=14 if back else 21),
        "trend": [[now.timestamp() - 590 + 5 * n, (7 * n) % 31 + (90 if n % 40 == 20 else 0), 0.3] for n in range(118)],
        "begun_at": now - timedelta(minutes=34),
        "seen_at": now - timedelta(seconds=2),
    }
    return Replication.objects.create(application=of.application, **{**described, **fields})


def endpoint_times(of: MigrationRun, *, slow: Sequence[str] = (), names: Sequence[str] = ENDPOINTS) -> None:
    """What check_performance proved: each endpoint under a stated load, before and after."""
    judged, asked = [], []
    for number, name in enumerate(names, start=1):
        before, after = 41.0 * number, 612.0 if name in slow else 28.5 * number
        problem = f"p95 {after:,.0f} ms, limit 500 ms" if name in slow else ""
        times = {"p50_before": before * 0.6, "p95_before": before, "p50_after": after * 0.5, "p95_after": after}
        judged.append({"name": name, **times, "limit_ms": 500, "problem": problem})
        asked.append({"name": name, "requests": 200, "failures": 0, "p50_ms": after * 0.5, "p95_ms": after})
    evidence = {
        "limit_ms": 500,
        "load": {"clients": 4, "per_second": 20, "seconds": 10},
        "judged": judged,
        "under_load": asked,
    }
    row = of.steps.get(name="check_performance")
    RunStep.objects.filter(pk=row.pk).update(evidence=evidence, evidence_digest=proof(row.name, row.state, evidence))


def sign(gate: Gate, person: User, role: str, reason: str = "Looked at it, it is right.") -> Approval:
    """A signature by the real service, on what is there now."""
    return gates.sign_gate(
        actor=person,
        gate=gate,
        role=role,
        reason=reason,
        plan_digest=gate.run.plan.digest,
        evidence_digest=evidence_digest(gate.run),
        typed_name=gate.run.application.name,
        reauthenticated=True,
    )


def proof(step: str, state: str, evidence: dict[str, Any]) -> str:
    """A step's digest, as the service that records a result makes it."""
    return digest_of({"step": step, "state": state, "evidence": evidence})


def event(action: str, actor: Any, of: MigrationRun, **payload: Any) -> None:
    with transaction.atomic():
        record(action=action, actor=actor, obj=of, application=of.application.name, payload={"run": of.pk, **payload})


def _finish(of: MigrationRun, row: RunStep, start: datetime, end: datetime, signers: dict[str, User]) -> None:
    evidence = {"step": row.name, "said": SAID.get(row.name, "done")}
    RunStep.objects.filter(pk=row.pk).update(
        state=StepState.SUCCEEDED,
        attempts=1,
        message=SAID.get(row.name, ""),
        evidence=evidence,
        evidence_digest=proof(row.name, StepState.SUCCEEDED, evidence),
        started_at=start,
        finished_at=end,
    )
    StepLogLine.objects.create(step=row, at=start, text=f"{row.title}: began")
    if row.is_gate:
        gate = Gate.objects.get(step=row)
        Gate.objects.filter(pk=gate.pk).update(state=GateState.PASSED, opened_at=start, decided_at=end)
        for role in gates.required_roles(gate):
            if role in signers:
                _consumed(gate, signers[role], role, end)
    if row.name in ("backup", "final_backup", "export"):
        Artifact.objects.create(
            run=of,
            step=row,
            kind=row.name,
            path=f"/srv/causeway/{of.pk}/{row.name}",
            sha256=digest(row.name),
            size=4_100_000,
        )
    of.items.filter(step_name=row.name, prover="system").update(
        state=ItemState.PASSED,
        evidence={
            "step": row.name,
            "digest": proof(row.name, StepState.SUCCEEDED, evidence),
            "message": SAID.get(row.name, ""),
        },
        changed_at=end,
    )


def _consumed(gate: Gate, person: User, role: str, at: datetime) -> None:
    Approval.objects.create(
        gate=gate,
        role=role,
        user=person,
        user_name=person.get_username(),
        state=ApprovalState.CONSUMED,
        reason="Rehearsed, and the window is agreed.",
        plan_digest=gate.run.plan.digest,
        evidence_digest=digest("seen"),
        signed_at=at,
        expires_at=at + timedelta(hours=72),
        ended_at=at,
        ended_reason="The gate passed.",
    )


def _stand(of: MigrationRun, row: RunStep, state: str, at: datetime) -> None:
    fields: dict[str, Any] = {"state": state, "started_at": at, "attempts": 1}
    if state == StepState.SUCCEEDED:
        evidence = {"step": row.name, "said": "done"}
        fields |= {"finished_at": timezone.now(), "evidence": evidence}
        fields["evidence_digest"] = proof(row.name, StepState.SUCCEEDED, evidence)
    if state == StepState.FAILED:
        fields |= {
            "finished_at": timezone.now(),
            "error_code": "TARGET_GONE",
            "error_message": "PostgreSQL closed the connection while the table shifts was loaded.",
            "error_hint": "Look at the server's log, then resume.",
        }
    if row.is_gate:
        fields["state"] = StepState.PENDING
        Gate.objects.filter(step=row).update(state=GateState.OPEN, opened_at=at)
    RunStep.objects.filter(pk=row.pk).update(**fields)


def _moments(of: MigrationRun, done: Sequence[RunStep], run_state: str, start: datetime) -> None:
    fields: dict[str, Any] = {
        "state": run_state,
        "started_at": start,
        "started_by": of.requested_by,
        "version": of.version + 1,
    }
    ended = dict(of.steps.filter(pk__in=[row.pk for row in done]).values_list("name", "finished_at"))
    for field, name in (("down_since", "stop_application"), ("switched_at", "switch_configuration")):
        if name in ended or "cut_over" in ended:
            fields[field] = ended.get(name) or ended["cut_over"]
    if "check_application" in ended:
        fields["up_since"] = ended["check_application"]
    MigrationRun.objects.filter(pk=of.pk).update(**fields)
