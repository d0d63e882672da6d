"""Signing, rolling back, recording, steering: a form does it once, a refusal says why, and stands in the trail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import AuditEvent
from migrations_app.engine.back import change_queue
from migrations_app.engine.target.target_url import parse_target_url
from migrations_app.models import Approval, ChecklistItem, Gate, MigrationPlan, MigrationRun, RollbackRequest
from migrations_app.models.states import GateState, ItemState, PlanState, RunKind, RunState
from migrations_app.services.evidence import evidence_digest
from migrations_app.services.runs import submit_run
from tests import factories as make

SignIn = Callable[[User], Client]


@pytest.fixture
def waiting(plan: MigrationPlan, who: make.People) -> MigrationRun:
    """A run at gate 1; emi wrote its plan."""
    run = make.run(plan, who.ops)
    submit_run(actor=who.ops, run=run)
    return MigrationRun.objects.get(pk=run.pk)


def _signature(run: MigrationRun, **fields: str) -> dict[str, str]:
    return {
        "do": "sign",
        "role": "lead",
        "reason": "The mapping is right.",
        "plan_digest": run.plan.digest,
        "evidence_digest": evidence_digest(run),
        "password": make.PASSWORD,
        **fields,
    }


def _refusals() -> list[Any]:
    return [(event.actor, event.payload["code"]) for event in AuditEvent.objects.filter(action="permission.refused")]


def test_a_lead_signs_gate_1(as_: SignIn, who: make.People, waiting: MigrationRun) -> None:
    address = reverse("run_sign", args=[waiting.pk, "plan"])
    client = as_(who.lead)
    page = client.get(address).content.decode()
    assert waiting.plan.digest in page and evidence_digest(waiting) in page
    answer = client.post(address, _signature(waiting), follow=True)
    waiting.refresh_from_db()
    assert waiting.state == RunState.APPROVED
    assert "is signed, by you as Team lead" in answer.content.decode()


def test_the_plans_author_is_refused_with_the_reason(as_: SignIn, who: make.People, waiting: MigrationRun) -> None:
    address = reverse("run_sign", args=[waiting.pk, "plan"])
    client = as_(who.second_lead)
    assert 'aria-disabled="true"' in client.get(address).content.decode()
    answer = client.post(address, _signature(waiting))
    assert answer.status_code == 403
    assert "You wrote this plan; another team lead must approve it." in answer.content.decode()
    assert _refusals() == [("emi", "MAY_NOT_SIGN")]
    assert not Approval.objects.exists()


@pytest.mark.parametrize("name", ["ops", "qa", "viewer", "boss"])
def test_who_lacks_the_role_can_not_sign(as_: SignIn, who: make.People, waiting: MigrationRun, name: str) -> None:
    answer = as_(getattr(who, name)).post(reverse("run_sign", args=[waiting.pk, "plan"]), _signature(waiting))
    assert answer.status_code == 403
    assert "team lead (ben, emi)" in answer.content.decode()
    assert len(_refusals()) == 1
    assert Gate.objects.get(run=waiting, code="plan").state == GateState.OPEN


def test_a_wrong_password_signs_nothing(as_: SignIn, who: make.People, waiting: MigrationRun) -> None:
    answer = as_(who.lead).post(reverse("run_sign", args=[waiting.pk, "plan"]), _signature(waiting, password="wrong"))
    assert answer.status_code == 403
    assert "That is not your password" in answer.content.decode()
    assert not Approval.objects.exists()


def test_an_old_page_signs_nothing_and_shows_what_is_there_now(
    as_: SignIn, who: make.People, waiting: MigrationRun
) -> None:
    client = as_(who.lead)
    answer = client.post(reverse("run_sign", args=[waiting.pk, "plan"]), _signature(waiting, evidence_digest="0" * 64))
    assert answer.status_code == 409
    text = answer.content.decode()
    assert "What you were shown has changed since" in text
    assert f'value="{evidence_digest(waiting)}"' in text  # and a second press would sign what is shown now
    assert "The mapping is right." in text  # what was typed is not lost
    assert not Approval.objects.exists()


def test_go_needs_the_applications_name(as_: SignIn, who: make.People, plan: MigrationPlan) -> None:
    make.rehearsed(plan, who.ops)
    run = make.run(plan, who.ops)
    make.reach(run, "gate_go", run_state=RunState.WAITING, signers={"lead": who.lead})
    make.people_passed(run, "prepare")
    run = MigrationRun.objects.get(pk=run.pk)
    address = reverse("run_sign", args=[run.pk, "go"])
    client = as_(who.lead)
    answer = client.post(address, _signature(run, typed_name="yukyuu"))
    assert answer.status_code == 400
    assert not Approval.objects.filter(gate__code="go").exists()
    client.post(address, _signature(run, typed_name="yukyu"))
    assert Approval.objects.filter(gate__code="go", user=who.lead).exists()


def test_a_signature_can_be_taken_back(as_: SignIn, who: make.People, plan: MigrationPlan) -> None:
    make.rehearsed(plan, who.ops)
    run = make.run(plan, who.ops)
    make.reach(run, "gate_go", run_state=RunState.WAITING, signers={"lead": who.lead})
    make.people_passed(run, "prepare")
    make.sign(Gate.objects.get(run=run, code="go"), who.lead, "lead")
    address = reverse("run_sign", args=[run.pk, "go"])
    client = as_(who.lead)
    bare = client.post(address, {"do": "withdraw", "reason": " "})
    assert bare.status_code == 400 and "Give a reason" in bare.content.decode()
    assert Approval.objects.get(gate__code="go", user=who.lead).state == "valid"
    answer = client.post(address, {"do": "withdraw", "reason": "The disk is filling up."}, follow=True)
    text = answer.content.decode()
    assert "Your signature is withdrawn." in text and "The disk is filling up." in text
    assert Approval.objects.get(gate__code="go", user=who.lead).ended_reason == "The disk is filling up."


def test_refusing_a_gate_needs_a_reason_and_sends_the_run_back(
    as_: SignIn, who: make.People, waiting: MigrationRun
) -> None:
    address = reverse("run_sign", args=[waiting.pk, "plan"])
    client = as_(who.lead)
    assert client.post(address, {"do": "refuse", "role": "lead", "reason": ""}).status_code == 400
    client.post(address, {"do": "refuse", "role": "lead", "reason": "The window is too short."})
    waiting.refresh_from_db()
    assert waiting.state == RunState.DRAFT
    assert "too short" in waiting.held_reason


def _way_back(**fields: str) -> dict[str, str]:
    return {
        "do": "request",
        "reason": "The list is too slow.",
        "typed_name": "yukyu",
        "password": make.PASSWORD,
        **fields,
    }


def test_a_rollback_that_loses_nothing_needs_one_person(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    address = reverse("run_rollback", args=[loading.pk])
    client = as_(who.ops)
    page = client.get(address).content.decode()
    assert "nothing" in page and "about 2 min 10 s" in page and "price-free" in page
    client.post(address, _way_back())
    loading.refresh_from_db()
    assert loading.state == RunState.ROLLING_BACK


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"reason": ""}, 400), ({"typed_name": "other"}, 400), ({"password": "wrong"}, 403), ({"password": ""}, 400)],
)
def test_a_rollback_without_its_proofs_does_nothing(
    as_: SignIn, who: make.People, loading: MigrationRun, fields: dict[str, str], status: int
) -> None:
    assert as_(who.ops).post(reverse("run_rollback", args=[loading.pk]), _way_back(**fields)).status_code == status
    loading.refresh_from_db()
    assert loading.state == RunState.RUNNING
    assert not RollbackRequest.objects.exists()


@pytest.mark.parametrize("name", ["qa", "viewer", "boss"])
def test_who_may_not_roll_back_is_told_who_may(as_: SignIn, who: make.People, loading: MigrationRun, name: str) -> None:
    answer = as_(getattr(who, name)).post(reverse("run_rollback", args=[loading.pk]), _way_back())
    assert answer.status_code == 403
    assert "ops (ana)" in answer.content.decode()
    assert len(_refusals()) == 1


@pytest.fixture
def switched(plan: MigrationPlan, who: make.People, target_url: str) -> MigrationRun:
    """On PostgreSQL since a while; users wrote 5 rows there."""
    import psycopg2

    names = tuple(plan.profile["tables"])
    connection = psycopg2.connect(target_url)
    with connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, name text)")
            cursor.execute(f"INSERT INTO {name} VALUES (1, 'before'), (2, 'before')")
    change_queue.arm(parse_target_url(target_url), make.move_plan(names))
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO employees VALUES (3, 'after'), (4, 'after'), (5, 'after')")
        cursor.execute("UPDATE users SET name = 'after'")
    connection.close()
    plan.application.target_url = target_url
    plan.application.save()
    make.rehearsed(plan, who.ops)
    run = make.run(plan, who.ops)
    make.reach(run, "gate_qa", run_state=RunState.WAITING, signers={"lead": who.lead, "ops": who.ops})
    return MigrationRun.objects.get(pk=run.pk)


def test_a_rollback_that_loses_rows_needs_their_number_and_a_second_person(
    as_: SignIn, who: make.People, switched: MigrationRun
) -> None:
    address = reverse("run_rollback", args=[switched.pk])
    client = as_(who.ops)
    page = client.get(address).content.decode()
    assert "give up 5 rows?" in page and "price-loss" in page and "team lead (ben, emi)" in page
    assert client.post(address, _way_back(rows_typed="4")).status_code == 409
    assert not RollbackRequest.objects.exists()
    client.post(address, _way_back(rows_typed="5"))
    switched.refresh_from_db()
    assert switched.state == RunState.WAITING  # nothing happens yet
    alone = client.post(address, {"do": "agree", "password": make.PASSWORD})
    assert alone.status_code == 403 and "a second person must agree" in alone.content.decode()
    as_(who.lead).post(address, {"do": "agree", "password": make.PASSWORD})
    switched.refresh_from_db()
    assert switched.state == RunState.ROLLING_BACK


def test_a_second_person_can_refuse_the_rollback(as_: SignIn, who: make.People, switched: MigrationRun) -> None:
    address = reverse("run_rollback", args=[switched.pk])
    as_(who.ops).post(address, _way_back(rows_typed="5"))
    as_(who.lead).post(address, {"do": "refuse", "reason": "It is fast again."})
    assert RollbackRequest.objects.get().state == RollbackRequest.State.REFUSED
    switched.refresh_from_db()
    assert switched.state == RunState.WAITING


def test_qa_records_a_result(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    address = reverse("run_result", args=[loading.pk, "V01"])
    client = as_(who.qa)
    client.post(address, {"outcome": "passed", "note": "Opens in a second.", "link": "https://example.org/1"})
    item = ChecklistItem.objects.get(run=loading, code="V01")
    assert item.state == ItemState.PASSED
    assert "Opens in a second." in client.get(reverse("run_checklist", args=[loading.pk])).content.decode()


@pytest.mark.parametrize(
    ("code", "fields", "status"),
    [
        ("V01", {"note": ""}, 400),
        ("V01", {"outcome": "perfect"}, 400),
        ("V01", {"link": "javascript:alert(1)"}, 400),
        ("P01", {}, 409),
    ],
)
def test_a_result_that_proves_nothing_is_refused(
    as_: SignIn, who: make.People, loading: MigrationRun, code: str, fields: dict[str, str], status: int
) -> None:
    sent = {"outcome": "passed", "note": "It works.", "link": "", **fields}
    assert as_(who.qa).post(reverse("run_result", args=[loading.pk, code]), sent).status_code == status
    assert not ChecklistItem.objects.get(run=loading, code=code).results.exists()


def test_only_qa_records_what_qa_proves(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    answer = as_(who.viewer).post(
        reverse("run_result", args=[loading.pk, "V01"]), {"outcome": "passed", "note": "It works."}
    )
    assert answer.status_code == 403
    assert "QA (chika)" in answer.content.decode()
    assert _refusals() == [("dora", "NOT_ALLOWED")]


def test_a_rehearsal_is_drafted_and_started(as_: SignIn, who: make.People, plan: MigrationPlan) -> None:
    client = as_(who.ops)
    client.post(reverse("run_new"), {"plan": plan.pk, "kind": RunKind.REHEARSAL})
    run = MigrationRun.objects.get()
    client.post(reverse("run_action", args=[run.pk, "start"]))
    run.refresh_from_db()
    assert run.state == RunState.RUNNING


def test_a_viewer_drafts_nothing(as_: SignIn, who: make.People, plan: MigrationPlan) -> None:
    answer = as_(who.viewer).post(reverse("run_new"), {"plan": plan.pk, "kind": RunKind.REHEARSAL})
    assert answer.status_code == 403
    assert not MigrationRun.objects.exists()


def test_a_plan_of_others_can_not_be_chosen(as_: SignIn, who: make.People, plan: MigrationPlan) -> None:
    answer = as_(who.stranger).post(reverse("run_new"), {"plan": plan.pk, "kind": RunKind.REHEARSAL})
    assert answer.status_code == 400
    assert not MigrationRun.objects.exists()


def test_holding_asks_for_a_reason(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    address = reverse("run_action", args=[loading.pk, "hold"])
    client = as_(who.ops)
    assert client.post(address, {"reason": ""}).status_code == 400
    client.post(address, {"reason": "The network is being repaired."})
    loading.refresh_from_db()
    assert loading.hold_requested and "repaired" in loading.held_reason


def test_an_action_at_the_wrong_time_says_so(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    answer = as_(who.ops).post(reverse("run_action", args=[loading.pk, "start"]))
    assert answer.status_code == 409
    assert "WRONG_STATE" in answer.content.decode()


def test_a_choice_makes_a_new_revision(as_: SignIn, who: make.People, plan: MigrationPlan) -> None:
    draft = make.plan(plan.application, who.ops, findings=1)
    finding = draft.findings.get()
    client = as_(who.ops)
    bad = client.post(reverse("plan_choose", args=[draft.pk]), {"finding": finding.pk, "choice": "drop_everything"})
    assert bad.status_code == 400 and "UNKNOWN_CHOICE" in bad.content.decode()
    client.post(reverse("plan_choose", args=[draft.pk]), {"finding": finding.pk, "choice": "skip_rows"})
    made = MigrationPlan.objects.order_by("-revision").first()
    assert made is not None and made.revision == draft.revision + 1
    assert made.choices == {"VALUE_DOES_NOT_FIT@shifts.minutes": "skip_rows"}
    draft.refresh_from_db()
    assert draft.state == PlanState.SUPERSEDED


def test_a_plan_with_a_window_is_asked_for_in_the_viewers_zone(
    as_: SignIn, who: make.People, plan: MigrationPlan
) -> None:
    client = as_(who.ops)
    client.cookies["zone"] = "Asia%2FTokyo"
    sent = {
        "window_start": "2030-01-01T22:00",
        "window_end": "2030-01-02T00:00",
        "soak_minutes": "90",
        "endpoint_limit_ms": "500",
        "excluded": "tmp\nlog",
    }
    client.post(reverse("plan_new", args=["yukyu"]), sent)
    made = MigrationPlan.objects.order_by("-revision").first()
    assert made is not None and made.window_start is not None
    assert made.window_start.isoformat() == "2030-01-01T13:00:00+00:00"
    assert made.excluded == ["tmp", "log"] and made.settings["soak_seconds"] == 5400


def test_checks_after_the_switch_are_asked_for_with_the_plan_and_stand_on_its_page(
    as_: SignIn, who: make.People, plan: MigrationPlan
) -> None:
    client = as_(who.ops)
    sent = {"soak_minutes": "90", "endpoint_limit_ms": "400", "parallel_clients": "12", "load_per_second": "30"}
    sent |= {"load_seconds": "20", "baseline_limit_percent": "150", "auto_rollback_minutes": "15"}
    client.post(reverse("plan_new", args=["yukyu"]), sent)
    made = MigrationPlan.objects.order_by("-revision").first()
    assert made is not None
    settings = {name: made.settings[name] for name in ("parallel_clients", "load_per_second", "load_seconds")}
    assert settings == {"parallel_clients": 12, "load_per_second": 30, "load_seconds": 20}
    assert (made.settings["baseline_limit_percent"], made.settings["auto_rollback_seconds"]) == (150, 900)
    shown = " ".join(client.get(reverse("plan", args=[made.pk])).content.decode().split())
    assert "Goes back by itself, if a check fails after the switch within</dt> <dd> 15 min" in shown
    assert "Limit against its time on SQLite</dt> <dd> 150 %" in shown
    again = client.get(reverse("plan_new", args=["yukyu"])).content.decode()
    assert 'name="load_per_second" value="30"' in again and 'name="auto_rollback_minutes" value="15"' in again
    before = client.get(reverse("plan", args=[plan.pk])).content.decode()
    assert "no: a person decides" in before, "a plan from before the setting says what holds for it"
    too_much = client.post(reverse("plan_new", args=["yukyu"]), {**sent, "load_per_second": "100000"})
    assert too_much.status_code == 400 and "less than or equal to 200" in too_much.content.decode()


def test_a_window_that_ends_before_it_starts_is_refused(as_: SignIn, who: make.People, plan: MigrationPlan) -> None:
    sent = {
        "window_start": "2030-01-02T22:00",
        "window_end": "2030-01-02T00:00",
        "soak_minutes": "90",
        "endpoint_limit_ms": "500",
    }
    answer = as_(who.ops).post(reverse("plan_new", args=["yukyu"]), sent)
    assert answer.status_code == 400
    assert "must close after it opens" in answer.content.decode()
