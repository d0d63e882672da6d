"""A run at a gate, its rows as workers would have left them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from controlplane.registry.models import Application
from migrations_app.models import Approval, Gate, MigrationPlan, MigrationRun
from migrations_app.models.states import ItemState, PlanState, RunState, StepState
from migrations_app.services.checklist_items import derive_items
from migrations_app.services.evidence import evidence_digest
from migrations_app.services.gates import sign_gate
from migrations_app.services.runs import submit_run
from tests import factories as make

STEPS = {"go": "gate_go", "qa": "gate_qa", "sign_off": "gate_sign_off"}


@dataclass
class Stage:
    """Who there is, and the run. The plan's author is emi (second_lead)."""

    application: Application
    who: make.People
    plan: MigrationPlan

    def person(self, name: str) -> User:
        person: User = getattr(self.who, name)
        return person

    def at(self, code: str, *, rehearsed: bool = True) -> Gate:
        """A production run that waits at the gate; every item before it is proved."""
        if rehearsed:
            make.rehearsed(self.plan, self.who.ops)
        run = make.run(self.plan, self.who.ops)
        if code == "plan":
            submit_run(actor=self.who.ops, run=run)
        else:
            signers = {"lead": self.who.lead, "ops": self.who.ops, "qa": self.who.qa}
            make.reach(run, STEPS[code], state=StepState.PENDING, run_state=RunState.WAITING, signers=signers)
            run.items.exclude(prover="system").update(state=ItemState.PASSED)
            derive_items(run, timezone.now())
        return self.gate(run, code)

    def gate(self, run: MigrationRun, code: str) -> Gate:
        return Gate.objects.select_related("run__application", "run__plan", "step").get(run=run, code=code)

    def sign(self, gate: Gate, name: str, role: str, **more: object) -> Approval:
        gate = self.gate(gate.run, gate.code)
        return sign_gate(
            **{
                "actor": self.person(name),
                "gate": gate,
                "role": role,
                "reason": "looked at the evidence",
                "plan_digest": gate.run.plan.digest,
                "evidence_digest": evidence_digest(gate.run),
                "typed_name": self.application.name,
                "reauthenticated": True,
                **more,
            }
        )

    def small_team(self) -> None:
        self.plan.settings = {**self.plan.settings, "small_team": True}
        self.plan.save(update_fields=["settings"])


def build() -> Stage:
    application = make.application()
    who = make.people(application)
    return Stage(application, who, make.plan(application, who.second_lead, state=PlanState.SUBMITTED))


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Nobody signs in here, and a slow hash for each of seven people is all that these tests would wait for."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def stage(quick_passwords: None, db: None) -> Stage:
    return build()


@pytest.fixture
def committed_stage(quick_passwords: None, transactional_db: None) -> Stage:
    """For tests with several connections: the rows are committed."""
    return build()


@pytest.fixture
def change() -> Callable[..., None]:
    """change(row, name=value): past the services, as a fault or another process would."""

    def apply(row: object, **fields: object) -> None:
        type(row).objects.filter(pk=row.pk).update(**fields)  # type: ignore[attr-defined]
        row.refresh_from_db()  # type: ignore[attr-defined]

    return apply
