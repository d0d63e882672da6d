"""What people see of a live crossing: what flows, how long one can go back, what is true, and its end."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from controlplane.registry.models import Application
from migrations_app.models import MigrationPlan, MigrationRun, Replication
from migrations_app.models.states import PlanState, Price, RunState, StepState, Strategy
from migrations_app.services.price import PriceTag
from tests import factories as make

SignIn = Callable[[User], Client]
MENDS = {"queue": 0, "action": "finish_crossing", "sentence": "It is started there."}
OBSTACLE = {"code": "ONLINE_NO_KEY", "table": "audit_log", "message": "audit_log has no key. Give it one."}


@pytest.fixture
def plan(application: Application, who: make.People) -> MigrationPlan:
    made = make.plan(application, who.second_lead, state=PlanState.SUBMITTED)
    make.rehearsed(made, who.ops, strategy=Strategy.ONLINE)
    return made


@pytest.fixture
def drafted(plan: MigrationPlan, who: make.People) -> MigrationRun:
    return make.run(plan, who.ops, strategy=Strategy.ONLINE)


@pytest.fixture
def crossing(drafted: MigrationRun, who: make.People) -> MigrationRun:
    """At gate 2."""
    make.reach(drafted, "gate_go", run_state=RunState.WAITING, signers={"lead": who.lead})
    return drafted


def _tag(**fields: Any) -> PriceTag:
    said: dict[str, Any] = {"price": Price.R3, "rows": 0, "seconds": 2, "sentence": "A sentence.", "people": 1}
    return PriceTag(**{**said, "flows_back": True, "flowed": 1820, "waiting": 3, **fields})


@pytest.fixture
def switched(drafted: MigrationRun, who: make.People, monkeypatch: pytest.MonkeyPatch) -> MigrationRun:
    """On PostgreSQL, at gate 3; nothing is lost by going back."""
    make.reach(drafted, "gate_qa", run_state=RunState.WAITING, signers={"lead": who.lead, "ops": who.ops})
    monkeypatch.setattr("migrations_app.services.price.price_of", lambda run: _tag())
    return MigrationRun.objects.get(pk=drafted.pk)


def _page(client: Client, run: MigrationRun, name: str = "run") -> str:
    return client.get(reverse(name, args=[run.pk])).content.decode()


def _words(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def _of_application(run: MigrationRun) -> str:
    return reverse("application_replication", args=[run.application.name])


def test_the_panel_says_how_far_postgresql_is_behind(as_: SignIn, who: make.People, crossing: MigrationRun) -> None:
    make.replicating(crossing, lag_rows=12, lag_seconds=0.4)
    text = _words(_page(as_(who.viewer), crossing))
    assert "PostgreSQL is 12 rows behind" in text
    assert re.search(r"Behind\s+12 rows, 0\.4 s", text)
    assert "SQLite → PostgreSQL" in text and "18,411 of 18,423" in text
    assert re.search(r"Every cell\s+equal .* at position 18,211", text)


def test_a_backlog_of_nothing_is_said_in_words(as_: SignIn, who: make.People, crossing: MigrationRun) -> None:
    make.replicating(crossing, lag_rows=0)
    assert "PostgreSQL has every write" in _words(_page(as_(who.viewer), crossing))


def test_a_follower_that_fell_silent_is_not_shown_as_live(
    as_: SignIn, who: make.People, crossing: MigrationRun
) -> None:
    make.replicating(crossing, lag_rows=0, seen_at=timezone.now() - timedelta(seconds=20))
    text = _words(_page(as_(who.viewer), crossing))
    assert "The follower is silent" in text and "PostgreSQL has every write" not in text


def test_what_flows_is_news_although_the_run_has_not_changed(
    as_: SignIn, who: make.People, crossing: MigrationRun
) -> None:
    make.replicating(crossing)
    client, address = as_(who.viewer), reverse("run_live", args=[crossing.pk])
    with time_machine.travel(timezone.now(), tick=False):
        tag = client.get(address).headers["ETag"]
        assert client.get(address, headers={"If-None-Match": tag}).status_code == 304
        Replication.objects.update(version=7, lag_rows=99)
        answer = client.get(address, headers={"If-None-Match": tag})
    assert answer.status_code == 200 and "99 rows behind" in answer.content.decode()


def test_after_the_switch_the_clock_says_since_when_going_back_loses_nothing(
    as_: SignIn, who: make.People, switched: MigrationRun
) -> None:
    make.replicating(switched, back=True, queue_rows=3, window_since=timezone.now() - timedelta(minutes=14))
    text = _words(_page(as_(who.viewer), switched))
    assert "You can still go back: nothing is lost." in text
    assert re.search(r"Still safe\s+yes, since .{3,12} , 14 min ago", text)
    assert "3 rows are on the way to SQLite" in text and "one person: ops or team lead" in text


def test_a_way_back_that_has_ended_says_why_and_what_it_costs_now(
    as_: SignIn, who: make.People, switched: MigrationRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = _tag(rows=214, people=2, flows_back=False, sentence="214 rows can't flow back.")
    monkeypatch.setattr("migrations_app.services.price.price_of", lambda run: costs)
    why = "The way back has ended: leave_requests.approved_at has microseconds."
    row = make.replicating(switched, back=True, state="paused", direction="none", window_open=False, window_reason=why)
    make.reality(switched, dialect="postgresql", crossing=row.facts)  # by the sides alone all is well
    page = _page(as_(who.viewer), switched)
    text = _words(page)
    assert "You can still go back, but 214 rows leave the application." in text
    assert 'class="tone-alarm">no' in page and why in text
    assert "Nothing flows back any more" in text and "Recovery has nothing to do" not in text


def test_what_is_true_stands_above_every_button_while_a_step_is_in_doubt(
    as_: SignIn, who: make.People, drafted: MigrationRun
) -> None:
    make.reach(drafted, "cut_over", state=StepState.IN_DOUBT, run_state=RunState.HELD)
    facts = {"live": "nobody", "sqlite": "fenced", "postgresql": "taken_over", "configuration": "sqlite"}
    make.reality(
        drafted,
        up=False,
        crossing={**facts, "queue": 0, "sentence": "It is started there.", "action": "finish_crossing"},
    )
    page = _page(as_(who.ops), drafted)
    assert page.index('id="p-true"') < page.index('id="do-resume"')
    text = _words(page)
    assert re.search(r"Live\s+nobody\s*, both sides refuse", text)
    assert re.search(r"SQLite's fence\s+fenced", text) and "0 rows on the way back" in text
    assert "Recovery would go on: It is started there." in text


def test_a_run_that_fell_back_goes_on_telling_that_postgresql_follows(
    as_: SignIn, who: make.People, switched: MigrationRun
) -> None:
    MigrationRun.objects.filter(pk=switched.pk).update(state=RunState.ROLLED_BACK, finished_at=timezone.now())
    make.replicating(switched, lag_rows=0)
    page = _page(as_(who.viewer), switched)
    assert "hx-get" in page and "PostgreSQL has every write" in page
    assert "Nothing was lost: what was written to PostgreSQL flowed back." in _words(page)


def test_a_way_back_that_gave_rows_up_is_not_said_to_have_brought_everything(
    as_: SignIn, who: make.People, switched: MigrationRun
) -> None:
    facts = {"way_back": "gave_up", "delta": {"rows": 214, "sha256": "ab"}}
    runs = MigrationRun.objects.filter(pk=switched.pk)
    runs.update(state=RunState.ROLLED_BACK, finished_at=timezone.now(), facts=facts)
    text = _words(_page(as_(who.viewer), switched))
    assert "with everything that was written meanwhile" not in text
    assert "The application runs on SQLite, as of the last row that flowed back." in text


def test_going_back_does_not_promise_a_copy_that_is_not_followed(
    as_: SignIn, who: make.People, crossing: MigrationRun
) -> None:
    make.replicating(crossing)
    client, promises = as_(who.ops), ("PostgreSQL goes on following it.", "PostgreSQL’s copy is kept and followed")
    text = _words(_page(client, crossing, "run_rollback"))
    assert all(promise in text for promise in promises)
    for said in ({"state": "broken"}, {"state": "following", "copied_at": None}):
        Replication.objects.update(**said)
        text = _words(_page(client, crossing, "run_rollback"))
        assert "Nothing is lost" in text and not any(promise in text for promise in promises)


def test_a_replication_that_a_later_run_took_over_is_not_shown_on_the_earlier_one(
    as_: SignIn, who: make.People, switched: MigrationRun, plan: MigrationPlan
) -> None:
    MigrationRun.objects.filter(pk=switched.pk).update(state=RunState.ROLLED_BACK, finished_at=timezone.now())
    make.replicating(switched, run=make.run(plan, who.ops, strategy=Strategy.ONLINE))
    page = _page(as_(who.viewer), switched)
    assert "What flows" not in page and "hx-get" not in page


def test_rolling_back_says_what_has_flowed_what_waits_and_that_one_person_decides(
    as_: SignIn, who: make.People, switched: MigrationRun
) -> None:
    make.replicating(switched, back=True)
    text = _words(_page(as_(who.ops), switched, "run_rollback"))
    assert re.search(r"Leaves the application\s+nothing", text) and "SQLite, current" in text
    assert re.search(r"Flowed back\s+1,820 rows", text) and re.search(r"Waiting\s+3 rows", text)
    assert "going forward again needs no new copy" in text
    assert "One person is enough: nothing is lost." in text and "break the glass" not in text.lower()


def test_drafting_names_what_stands_against_online_and_the_form_refuses_it(
    as_: SignIn, who: make.People, plan: MigrationPlan
) -> None:
    MigrationPlan.objects.filter(pk=plan.pk).update(profile={**plan.profile, "online": [OBSTACLE]})
    client, before = as_(who.ops), MigrationRun.objects.count()
    page = client.get(reverse("run_new")).content.decode()
    assert "audit_log has no key. Give it one." in page
    assert re.search(r'value="online"\s+id="\w+" disabled', page)
    sent = {"plan": plan.pk, "kind": "rehearsal", "strategy": "online"}
    answer = client.post(reverse("run_new"), sent)
    assert answer.status_code == 400 and "can't cross online" in html.unescape(answer.content.decode())
    assert MigrationRun.objects.count() == before


def test_online_is_drafted_where_nothing_stands_against_it(as_: SignIn, who: make.People, plan: MigrationPlan) -> None:
    sent = {"plan": plan.pk, "kind": "production", "strategy": "online"}
    assert as_(who.ops).post(reverse("run_new"), sent).status_code == 302
    made = MigrationRun.objects.order_by("-pk")[0]
    assert made.strategy == Strategy.ONLINE and made.steps.filter(name="cut_over").exists()


def test_an_application_that_does_not_wait_for_locks_can_not_cross_online(
    as_: SignIn, who: make.People, plan: MigrationPlan
) -> None:
    plan.application.busy_timeout_ms = 0
    plan.application.save()
    text = _words(as_(who.ops).get(reverse("plan", args=[plan.pk])).content.decode())
    assert "its busy timeout is 0" in text and "say it under Source on its page" in text


def test_the_plan_says_when_it_can_cross_online_as_far_as_it_knows(
    as_: SignIn, who: make.People, plan: MigrationPlan
) -> None:
    client, address = as_(who.viewer), reverse("plan", args=[plan.pk])
    assert "made before that was looked at" in _words(client.get(address).content.decode())
    MigrationPlan.objects.filter(pk=plan.pk).update(profile={**plan.profile, "online": []})
    assert "As far as the plan can tell, yes." in _words(client.get(address).content.decode())


LEARNED = {"online": [], "online_forms": {"learned": True, "why": ""}}
NOTE = {
    "code": "SPELLING",
    "table": "shifts",
    "column": "day",
    "message": "values come back as most others.",
    "hint": "",
}
RIGHT = {
    "code": "ONLINE_NO_APPLIER_RIGHT",
    "table": "",
    "column": "",
    "message": "The role may not. GRANT it.",
    "hint": "",
}


@pytest.mark.parametrize(
    ("profile", "said", "unsaid"),
    [
        (LEARNED, ["Yes, as the file was when this plan was made."], "To know before"),
        ({**LEARNED, "online_notes": [NOTE]}, ["Yes, as", "To know before", "shifts.day : values come back"], "Not as"),
        ({**LEARNED, "online_mend": [RIGHT]}, ["Not as it stood when this plan was made", "GRANT it."], "Yes, as"),
        (
            {"online": [], "online_forms": {"learned": False, "why": "A value of shifts.day in row 7 doesn't fit."}},
            ["once every finding has a choice: A value of shifts.day in row 7"],
            "Yes, as",
        ),
        ({**LEARNED, "online": [{**NOTE, "message": "It has no way back."}]}, ["It has no way back."], "Yes, as"),
    ],
)
def test_the_plan_says_what_its_worker_saw_and_no_more(
    as_: SignIn, who: make.People, plan: MigrationPlan, profile: dict[str, object], said: list[str], unsaid: str
) -> None:
    MigrationPlan.objects.filter(pk=plan.pk).update(profile={**plan.profile, **profile})
    text = _words(as_(who.viewer).get(reverse("plan", args=[plan.pk])).content.decode())
    assert all(words in text for words in said) and unsaid not in text


def test_ops_end_a_replication_that_no_run_uses(as_: SignIn, who: make.People, switched: MigrationRun) -> None:
    MigrationRun.objects.filter(pk=switched.pk).update(state=RunState.ROLLED_BACK, finished_at=timezone.now())
    make.replicating(switched)
    sent = {"reason": "We cross offline.", "typed_name": "yukyu", "password": make.PASSWORD}
    answer = as_(who.ops).post(_of_application(switched), sent, follow=True)
    assert "Its traces are being removed" in _words(answer.content.decode())


def test_a_replication_can_not_be_ended_while_postgresql_is_live(
    as_: SignIn, who: make.People, switched: MigrationRun
) -> None:
    make.replicating(switched, back=True)
    client = as_(who.ops)
    text = _words(client.get(_of_application(switched)).content.decode())
    assert "The application runs on PostgreSQL: the way back would be lost." in text
    assert "goes on as it is, on SQLite" not in text
    sent = {"reason": "Tidying up.", "typed_name": "yukyu", "password": make.PASSWORD}
    assert client.post(_of_application(switched), sent).status_code == 409
    assert Replication.objects.get().state == "following"


def test_a_wrong_name_ends_nothing(as_: SignIn, who: make.People, switched: MigrationRun) -> None:
    MigrationRun.objects.filter(pk=switched.pk).update(state=RunState.ROLLED_BACK, finished_at=timezone.now())
    make.replicating(switched)
    sent = {"reason": "We cross offline.", "typed_name": "zaiko", "password": make.PASSWORD}
    answer = as_(who.ops).post(_of_application(switched), sent)
    assert answer.status_code == 400 and "Type the application's name, yukyu." in _words(answer.content.decode())
    assert Replication.objects.get().state == "following"
