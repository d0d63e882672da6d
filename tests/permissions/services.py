"""What each service lets whom do, past the pages: the second half of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from migrations_app.models import Approval
from migrations_app.services import (
    break_glass,
    checklist,
    checklist_templates,
    gates,
    members,
    plans,
    proving_again,
    replication,
    rollback,
    runs,
)
from migrations_app.services.evidence import evidence_digest
from tests.permissions import world as scenes
from tests.permissions.table import DECIDERS, LEADS
from tests.permissions.world import World

Call = Callable[[World, Any], Any]


@dataclass(frozen=True)
class Service:
    """A function that changes something, called as this person; whoever is not in `may` gets a refusal of 403."""

    name: str
    may: tuple[str, ...]
    scene: scenes.Scene
    call: Call


def _sign(code: str, role: str) -> Call:
    return lambda world, actor: gates.sign_gate(
        actor=actor,
        gate=world.gate(code),
        role=role,
        reason="Looked at it.",
        plan_digest=world.plan.digest,
        evidence_digest=evidence_digest(world.run),
        typed_name="yukyu",
        reauthenticated=True,
    )


def _way_back(function: Callable[..., Any], **more: Any) -> Call:
    return lambda world, actor: function(
        actor=actor, run=world.run, reason="slow", typed_name="yukyu", reauthenticated=True, **more
    )


def _on_run(function: Callable[..., Any], **more: Any) -> Call:
    return lambda world, actor: function(actor=actor, run=world.run, **more)


SERVICES: tuple[Service, ...] = (
    Service(
        "plans.request_plan",
        DECIDERS,
        scenes.loading,
        lambda world, actor: plans.request_plan(actor=actor, application=world.application),
    ),
    Service(
        "plans.choose",
        DECIDERS,
        scenes.undecided,
        lambda world, actor: plans.choose(
            actor=actor, plan=world.plan, finding_id=world.plan.findings.get().pk, choice="skip_rows"
        ),
    ),
    Service(
        "plans.drop_choices",
        DECIDERS,
        scenes.refused_plan,
        lambda world, actor: plans.drop_choices(actor=actor, plan=world.plan, keys=list(world.plan.choices)),
    ),
    Service(
        "runs.create_run",
        DECIDERS,
        scenes.draft,
        lambda world, actor: runs.create_run(actor=actor, plan=world.plan, kind="rehearsal"),
    ),
    Service("runs.submit_run", DECIDERS, scenes.draft, _on_run(runs.submit_run)),
    Service("runs.start_run", ("ops",), scenes.approved, _on_run(runs.start_run)),
    Service("runs.hold_run", DECIDERS, scenes.loading, _on_run(runs.hold_run, reason="wait")),
    Service("runs.resume_run", ("ops",), scenes.held, _on_run(runs.resume_run)),
    Service(
        "replication.end_replication",
        ("ops",),
        scenes.followed,
        lambda world, actor: replication.end_replication(
            actor=actor,
            application=world.application,
            reason="We cross offline.",
            typed_name="yukyu",
            reauthenticated=True,
        ),
    ),
    Service("runs.cancel_run", DECIDERS, scenes.draft, _on_run(runs.cancel_run, reason="not now")),
    Service("runs.fail_run", DECIDERS, scenes.held, _on_run(runs.fail_run, reason="give up")),
    Service("gates.sign_gate", ("lead",), scenes.at_plan, _sign("plan", "lead")),
    Service("gates.sign_gate", LEADS, scenes.at_go, _sign("go", "lead")),
    Service("gates.sign_gate", ("ops",), scenes.at_go, _sign("go", "ops")),
    Service("gates.sign_gate", ("qa",), scenes.at_qa, _sign("qa", "qa")),
    Service("gates.sign_gate", ("ops",), scenes.at_sign_off, _sign("sign_off", "ops")),
    Service(
        "gates.refuse_gate",
        LEADS,
        scenes.at_plan,
        lambda world, actor: gates.refuse_gate(actor=actor, gate=world.gate("plan"), role="lead", reason="no"),
    ),
    Service(
        "gates.withdraw_approval",
        ("lead",),
        scenes.go_signed,
        lambda world, actor: gates.withdraw_approval(
            actor=actor, approval=Approval.objects.get(gate=world.gate("go")), reason="saw something"
        ),
    ),
    Service("rollback.request_rollback", DECIDERS, scenes.loading, _way_back(rollback.request_rollback)),
    Service(
        "rollback.agree_rollback",
        LEADS,
        scenes.rollback_asked,
        lambda world, actor: rollback.agree_rollback(actor=actor, request=world.request, reauthenticated=True),
    ),
    Service(
        "rollback.refuse_rollback",
        DECIDERS,
        scenes.rollback_asked,
        lambda world, actor: rollback.refuse_rollback(actor=actor, request=world.request, reason="fast again"),
    ),
    Service("break_glass.break_glass", DECIDERS, scenes.at_qa, _way_back(break_glass.break_glass, understood=True)),
    Service(
        "break_glass.countersign",
        LEADS,
        scenes.rolled_back_alone,
        lambda world, actor: break_glass.countersign(
            actor=actor, request=world.request, note="complete", reauthenticated=True
        ),
    ),
    Service(
        "checklist.record_result",
        ("qa",),
        scenes.at_qa,
        lambda world, actor: checklist.record_result(
            actor=actor, item=world.item(prover="qa"), outcome="passed", note="Opened it and compared it."
        ),
    ),
    Service(
        "checklist.record_result",
        DECIDERS,
        scenes.at_qa,
        lambda world, actor: checklist.record_result(
            actor=actor, item=world.item(prover="ops"), outcome="passed", note="Opened it and compared it."
        ),
    ),
    Service(
        "checklist.reopen_item",
        ("qa",),
        scenes.at_qa,
        lambda world, actor: checklist.reopen_item(
            actor=actor, item=world.item(prover="qa"), reason="Looked at the wrong page."
        ),
    ),
    Service(
        "proving_again.prove_again",
        ("qa", "ops"),
        scenes.measured_badly,
        lambda world, actor: proving_again.prove_again(
            actor=actor, item=world.item(step_name="check_integrity"), reason="The index was mended."
        ),
    ),
    Service(
        "checklist_templates.copy_template",
        ("qa", *LEADS),
        scenes.loading,
        lambda world, actor: checklist_templates.copy_template(
            actor=actor, application=world.application, reason="Ours has more pages."
        ),
    ),
    Service(
        "members.revoke_role",
        ("superuser",),
        scenes.loading,
        lambda world, actor: members.revoke_role(
            actor=actor,
            application=world.application,
            membership_id=world.application.memberships.get(user=world.people["qa"]).pk,
        ),
    ),
    Service(
        "members.grant_role",
        ("superuser",),
        scenes.loading,
        lambda world, actor: members.grant_role(actor=actor, application=world.application, person="dora", role="qa"),
    ),
)

# Functions with an actor that need no row of their own, and why.
ELSEWHERE = {
    "announcements": "writes mails of what was decided elsewhere",
    "gate_rules": "asks, changes nothing",
    "account": "one's own; tests/migrations_app/admin_site/test_accounts_taken_over.py",
    "certificate": "made by the system; who may ask for one is an address",
    "checklist_overview.mark_seen": "one's own: what one has looked at",
    "mail_settings": "one's own",
    "second_factor": "one's own; tests/migrations_app/services/test_second_factor.py",
    "plans.submit_plan": "a part of runs.submit_run",
    "rollback.file_request": "a part of request_rollback, break_glass and the command",
    "rollback.require_way_back": "asks, changes nothing",
    "rollback.require_second_person": "asks, changes nothing",
    "checklist.waive_item": "leads alone; tests/migrations_app/services/test_checklist_decisions.py",
    "checklist.why_not_waive": "asks, changes nothing",
    "checklist_templates.retire_template": "as copy_template; tests/migrations_app/services",
    "checklist_templates.edit_item": "as copy_template; tests/migrations_app/services",
    "checklist_templates.add_item": "as copy_template; tests/migrations_app/services",
    "checklist_templates.remove_item": "as copy_template; tests/migrations_app/services",
    "looks": "ops and superusers; tests/migrations_app/services/test_looks.py",
    "registration": "ops and superusers; tests/migrations_app/services/test_registration.py",
}
