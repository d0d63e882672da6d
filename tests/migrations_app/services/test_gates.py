"""Gates and signatures: who may, who may not and why, and how a signature ends before it is used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.registry.models import Membership
from migrations_app.models import Approval, Gate, RunStep
from migrations_app.services import gates
from migrations_app.services.checklist import record_result
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from migrations_app.services.signatures import lapse_expired
from tests.migrations_app.services.conftest import Stage

REQUIRED = {
    "plan": {"lead": "lead"},
    "go": {"lead": "lead", "ops": "ops"},
    "qa": {"qa": "qa"},
    "sign_off": {"lead": "lead", "qa": "qa", "ops": "ops"},
}
PEOPLE = {"lead": "lead", "ops": "ops", "qa": "qa", "viewer": "viewer"}
MAY = [(code, role) for code, roles in REQUIRED.items() for role in roles]
MAY_NOT = [(code, role) for code in REQUIRED for role in PEOPLE if role not in REQUIRED[code]]


def events(action: str) -> int:
    return AuditEvent.objects.filter(action=action).count()


@pytest.mark.parametrize(("code", "role"), MAY)
def test_gate_takes_the_signature_of_each_role_that_it_asks_for(stage: Stage, code: str, role: str) -> None:
    gate = stage.at(code)
    approval = stage.sign(gate, role, role)
    assert (approval.role, approval.user_name) == (role, stage.person(role).username)
    assert events("gate.signed") == 1


@pytest.mark.parametrize(("code", "role"), MAY_NOT)
def test_gate_refuses_each_role_that_it_does_not_ask_for(stage: Stage, code: str, role: str) -> None:
    gate = stage.at(code)
    with pytest.raises(Forbidden) as refused:
        stage.sign(gate, role, role)
    assert refused.value.code == "NOT_ALLOWED"
    assert refused.value.who  # says who can
    assert not gate.approvals.exists()


@pytest.mark.parametrize("code", REQUIRED)
@pytest.mark.parametrize("name", ["boss", "stranger"])
def test_superusers_and_strangers_sign_nothing(stage: Stage, code: str, name: str) -> None:
    gate = stage.at(code)
    if name == "boss":  # not even with every role on paper
        for role in ("lead", "qa", "ops"):
            Membership.objects.create(application=stage.application, user=stage.who.boss, role=role)
    for role in REQUIRED[code]:
        with pytest.raises(Forbidden) as refused:
            stage.sign(gate, name, role)
        assert refused.value.code == ("SUPERUSER_DECIDES_NOTHING" if name == "boss" else "NOT_ALLOWED")
        with pytest.raises(Forbidden):
            gates.refuse_gate(actor=stage.person(name), gate=gate, role=role, reason="no")
    assert not gate.approvals.exists()


@pytest.mark.parametrize("code", REQUIRED)
def test_gate_passes_with_the_last_signature_and_uses_them_all(stage: Stage, code: str) -> None:
    gate = stage.at(code)
    roles = REQUIRED[code]
    for count, role in enumerate(roles, start=1):
        stage.sign(gate, role, role)
        gate.refresh_from_db()
        assert gate.state == ("passed" if count == len(roles) else "open")
    assert set(gate.approvals.values_list("state", flat=True)) == {"consumed"}
    assert RunStep.objects.get(pk=gate.step_id).state == "succeeded"
    gate.run.refresh_from_db()
    assert gate.run.state == ("approved" if code == "plan" else "running")
    assert events("run.approved" if code == "plan" else "gate.passed") == 1
    with pytest.raises(ServiceRefused) as refused:
        stage.sign(gate, next(iter(roles)), next(iter(roles)))
    assert refused.value.code == "GATE_NOT_OPEN"


def test_author_of_the_plan_cannot_approve_it(stage: Stage) -> None:
    gate = stage.at("plan")
    with pytest.raises(Forbidden) as refused:
        stage.sign(gate, "second_lead", "lead")
    assert refused.value.code == "MAY_NOT_SIGN"
    assert "You wrote this plan" in refused.value.message


def test_one_person_fills_one_role_at_a_gate(stage: Stage) -> None:
    gate = stage.at("go")
    Membership.objects.create(application=stage.application, user=stage.who.lead, role="ops")
    stage.sign(gate, "lead", "lead")
    with pytest.raises(Forbidden) as refused:
        stage.sign(gate, "lead", "ops")
    assert "one person fills one role" in refused.value.message
    assert gate.approvals.count() == 1


def test_role_that_the_gate_does_not_ask_for_is_no_signature(stage: Stage) -> None:
    """A person of two roles can't put down the other one."""
    gate = stage.at("go")
    Membership.objects.create(application=stage.application, user=stage.who.ops, role="qa")
    with pytest.raises(Forbidden):
        stage.sign(gate, "ops", "qa")
    with pytest.raises(Forbidden):
        stage.sign(gate, "ops", "lead")
    assert not gate.approvals.exists()


def test_small_team_may_sign_qa_and_ops_by_one_person_but_never_the_lead_too(stage: Stage) -> None:
    stage.small_team()
    gate = stage.at("sign_off")
    for role in ("qa", "lead"):
        Membership.objects.create(application=stage.application, user=stage.who.ops, role=role)
    stage.sign(gate, "ops", "ops")
    stage.sign(gate, "ops", "qa")
    with pytest.raises(Forbidden):
        stage.sign(gate, "ops", "lead")
    stage.sign(gate, "lead", "lead")
    gate.refresh_from_db()
    assert gate.state == "passed"


@pytest.mark.parametrize("code", ["plan", "go", "sign_off"])
def test_small_team_never_lets_the_author_sign_as_lead(stage: Stage, code: str) -> None:
    stage.small_team()
    gate = stage.at(code)
    with pytest.raises(Forbidden):
        stage.sign(gate, "second_lead", "lead")


@pytest.mark.parametrize("code", ["go", "sign_off"])
def test_signature_that_starts_something_needs_the_password_again(stage: Stage, code: str) -> None:
    gate = stage.at(code)
    with pytest.raises(Forbidden) as refused:
        stage.sign(gate, "lead", "lead", reauthenticated=False)
    assert refused.value.code == "PASSWORD_NEEDED"
    assert not gate.approvals.exists()


@pytest.mark.parametrize("typed", ["", "yuky", "YUKYU", "yukyu "])
def test_go_needs_the_name_typed_exactly(stage: Stage, typed: str) -> None:
    gate = stage.at("go")
    with pytest.raises(ServiceRefused) as refused:
        stage.sign(gate, "lead", "lead", typed_name=typed)
    assert refused.value.code == "NAME_NOT_TYPED"


@pytest.mark.parametrize("code", REQUIRED)
def test_signature_and_refusal_need_a_reason(stage: Stage, code: str) -> None:
    gate = stage.at(code)
    role = next(iter(REQUIRED[code]))
    with pytest.raises(ServiceRefused) as refused:
        stage.sign(gate, role, role, reason="  ")
    assert refused.value.code == "REASON_MISSING"
    with pytest.raises(ServiceRefused) as refused:
        gates.refuse_gate(actor=stage.person(role), gate=gate, role=role, reason=" ")
    assert refused.value.code == "REASON_MISSING"


@pytest.mark.parametrize("shown", ["plan_digest", "evidence_digest"])
@pytest.mark.parametrize("code", REQUIRED)
def test_signature_on_an_old_page_is_stale(stage: Stage, code: str, shown: str) -> None:
    gate = stage.at(code)
    role = next(iter(REQUIRED[code]))
    with pytest.raises(Stale):
        stage.sign(gate, role, role, **{shown: "0" * 64})
    assert not gate.approvals.exists()
    assert events("gate.signed") == 0


def test_go_is_refused_outside_the_window(stage: Stage, change: Callable[..., None]) -> None:
    gate = stage.at("go")
    hour, now = timedelta(hours=1), timezone.now()
    change(stage.plan, window_start=now + hour, window_end=now + 2 * hour)
    with pytest.raises(Forbidden) as early:
        stage.sign(gate, "ops", "ops")
    assert "The window opens at" in early.value.message
    change(stage.plan, window_start=now - 2 * hour, window_end=now - hour)
    with pytest.raises(Forbidden) as late:
        stage.sign(gate, "ops", "ops")
    assert "The window closed at" in late.value.message
    change(stage.plan, window_start=now - hour, window_end=now + hour)
    assert stage.sign(gate, "ops", "ops").state == "valid"


def test_go_is_refused_without_a_fresh_rehearsal(stage: Stage, change: Callable[..., None]) -> None:
    gate = stage.at("go", rehearsed=False)
    with pytest.raises(Forbidden) as refused:
        stage.sign(gate, "ops", "ops")
    assert "No rehearsal of this plan has run" in refused.value.message
    from tests import factories as make

    rehearsal = make.rehearsed(stage.plan, stage.who.ops)
    change(rehearsal, finished_at=timezone.now() - timedelta(days=8))
    with pytest.raises(Forbidden):
        stage.sign(gate, "ops", "ops")
    change(rehearsal, finished_at=timezone.now() - timedelta(days=6))
    assert stage.sign(gate, "ops", "ops").state == "valid"


def test_gate_is_refused_while_a_step_before_it_is_not_done(stage: Stage) -> None:
    gate = stage.at("go")
    RunStep.objects.filter(run=gate.run, name="backup").update(state="failed")
    with pytest.raises(Forbidden) as refused:
        stage.sign(gate, "ops", "ops")
    assert "is failed" in refused.value.message


@pytest.mark.parametrize("state", ["open", "failed", "inconclusive"])
def test_qa_gate_is_refused_while_a_mandatory_item_is_not_passed(stage: Stage, state: str) -> None:
    gate = stage.at("qa")
    gate.run.items.filter(code="V03").update(state=state)
    with pytest.raises(Forbidden) as refused:
        stage.sign(gate, "qa", "qa")
    assert "V03" in refused.value.message


@pytest.mark.parametrize("code", ["go", "qa", "sign_off"])
def test_gate_that_is_not_reached_takes_no_signature(stage: Stage, code: str) -> None:
    first = stage.at("plan")
    gate = stage.gate(first.run, code)
    role = next(iter(REQUIRED[code]))
    with pytest.raises(ServiceRefused) as refused:
        stage.sign(gate, role, role)
    assert refused.value.code == "GATE_NOT_OPEN"


@pytest.mark.parametrize("code", REQUIRED)
def test_refusal_ends_the_signatures_and_stops_the_run(stage: Stage, code: str) -> None:
    gate = stage.at(code)
    *others, role = REQUIRED[code]
    for other in others:
        stage.sign(gate, other, other)
    gates.refuse_gate(actor=stage.person(role), gate=gate, role=role, reason="not like this")
    gate.refresh_from_db()
    gate.run.refresh_from_db()
    assert gate.state == "refused"
    assert gate.run.state == ("draft" if code == "plan" else "held")
    assert "not like this" in gate.run.held_reason
    assert sorted(gate.approvals.values_list("state", flat=True)) == ["lapsed"] * len(others) + ["refusal"]
    assert events("gate.refused") == 1
    with pytest.raises(Stale):
        gates.refuse_gate(actor=stage.person(role), gate=gate, role=role, reason="again")


def test_signer_takes_the_signature_back_while_the_gate_is_open(stage: Stage) -> None:
    gate = stage.at("go")
    approval = stage.sign(gate, "lead", "lead")
    with pytest.raises(Forbidden) as refused:
        gates.withdraw_approval(actor=stage.who.ops, approval=approval, reason="not mine")
    assert refused.value.code == "NOT_YOURS"
    with pytest.raises(ServiceRefused):
        gates.withdraw_approval(actor=stage.who.lead, approval=approval, reason="")
    gates.withdraw_approval(actor=stage.who.lead, approval=approval, reason="saw something")
    approval.refresh_from_db()
    assert (approval.state, approval.ended_reason) == ("withdrawn", "saw something")
    assert events("gate.withdrawn") == 1
    stage.sign(gate, "ops", "ops")
    gate.refresh_from_db()
    assert gate.state == "open"
    stage.sign(gate, "lead", "lead")
    gate.refresh_from_db()
    assert gate.state == "passed"
    with pytest.raises(Stale):
        gates.withdraw_approval(actor=stage.who.ops, approval=gate.approvals.get(role="ops"), reason="too late")


def _expire(stage: Stage, approval: Approval) -> None:
    Approval.objects.filter(pk=approval.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def _lose_role(stage: Stage, approval: Approval) -> None:
    Membership.objects.filter(user=approval.user, role=approval.role).delete()


def _deactivate(stage: Stage, approval: Approval) -> None:
    type(approval.user).objects.filter(pk=approval.user_id).update(is_active=False)


def _new_evidence(stage: Stage, approval: Approval) -> None:
    RunStep.objects.filter(run=approval.gate.run, name="backup").update(evidence_digest="9" * 64)


def _new_plan(stage: Stage, approval: Approval) -> None:
    type(stage.plan).objects.filter(pk=stage.plan.pk).update(digest="8" * 64)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (_expire, "not used in time"),
        (_lose_role, "no longer has the role"),
        (_deactivate, "no longer has the role"),
        (_new_evidence, "Step “Backup, restored and compared” was proved anew"),
        (_new_plan, "The plan changed"),
    ],
)
def test_signature_that_no_longer_counts_does_not_help_the_last_one(
    stage: Stage, what: Callable[[Stage, Approval], None], said: str
) -> None:
    """Also before the sweep came by: what is counted is looked at when it is counted."""
    gate = stage.at("sign_off")
    approval = stage.sign(gate, "lead", "lead")
    what(stage, approval)
    stage.sign(gate, "qa", "qa")
    stage.sign(gate, "ops", "ops")
    gate.refresh_from_db()
    assert gate.state == "open"
    approval.refresh_from_db()
    assert approval.state == "lapsed"
    assert said in approval.ended_reason
    assert said in gates.gate_view(gate, stage.who.qa).changed_since[0]
    assert events("gate.lapsed") == 1


@pytest.mark.parametrize("what", [_expire, _lose_role, _deactivate])
def test_sweep_ends_signatures_that_are_over(stage: Stage, what: Callable[[Stage, Approval], None]) -> None:
    gate = stage.at("go")
    approval = stage.sign(gate, "lead", "lead")
    what(stage, approval)
    lapse_expired(now=timezone.now())
    lapse_expired(now=timezone.now())
    approval.refresh_from_db()
    assert approval.state == "lapsed"
    assert events("gate.lapsed") == 1


def test_new_result_of_qa_ends_the_signatures_on_the_old_ones(stage: Stage) -> None:
    gate = stage.at("sign_off")
    approval = stage.sign(gate, "lead", "lead")
    item = gate.run.items.get(code="V04")
    record_result(actor=stage.who.qa, item=item, outcome="failed", note="the chart is empty")
    approval.refresh_from_db()
    assert approval.state == "lapsed"
    with pytest.raises(Forbidden) as refused:
        stage.sign(gate, "lead", "lead")
    assert "V04" in refused.value.message


@pytest.mark.parametrize("name", ["lead", "second_lead", "ops", "qa", "viewer", "boss"])
@pytest.mark.parametrize("code", REQUIRED)
def test_button_works_exactly_where_the_service_would(stage: Stage, code: str, name: str) -> None:
    gate = stage.at(code)
    view = gates.gate_view(gate, stage.person(name))
    for role in ("lead", "qa", "ops"):
        if role in view.my_roles:
            continue
        with pytest.raises(ServiceRefused):
            stage.sign(gate, name, role)
    assert view.mine.allowed == bool(view.my_roles)
    if view.mine.allowed:
        stage.sign(gate, name, view.my_roles[0])
    else:
        assert view.mine.why and view.mine.who


def test_twenty_hands_at_once_leave_one_signature(committed_stage: Stage) -> None:
    """Doubled posts and two people in one role: one wins, the others are told."""
    stage = committed_stage
    gate = stage.at("go")
    names = ["lead", "second_lead"] * 10
    outcomes: list[str] = []
    start = threading.Barrier(len(names))

    def hand(name: str) -> None:
        try:
            start.wait(30)
            stage.sign(gate, name, "lead")
            outcomes.append("signed")
        except (Stale, Forbidden) as refused:
            outcomes.append(refused.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=hand, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == len(names)
    assert outcomes.count("signed") == 1
    assert Approval.objects.filter(gate=gate, state__in=["valid", "consumed"]).count() == 1
    assert Gate.objects.get(pk=gate.pk).state == "open"
    assert events("gate.signed") == 1


def test_approvals_by_the_author_never_pass_in_a_hundred_parallel_tries(committed_stage: Stage) -> None:
    stage = committed_stage
    gate = stage.at("plan")
    outcomes: list[str] = []

    def try_often() -> None:
        try:
            for _ in range(10):
                try:
                    stage.sign(gate, "second_lead", "lead")
                    outcomes.append("signed")
                except Forbidden as refused:
                    outcomes.append(refused.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=try_often) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes == ["MAY_NOT_SIGN"] * 100
    assert not Approval.objects.exists()
