"""Who hears of what: each event tells those whom it concerns, once, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.mail.models import MailTopic, OutgoingMail
from controlplane.mail.sending import send_due
from controlplane.registry.models import Membership
from migrations_app.models import MigrationRun
from migrations_app.models.states import RunState, StepState
from migrations_app.services import announcement_texts, gates, rollback
from migrations_app.services.advance import advance_run
from migrations_app.services.announcements import announce
from migrations_app.services.mail_settings import change_mail_settings, settings_of
from migrations_app.services.runs import cancel_run
from migrations_app.services.signatures import lapse_expired
from tests import factories as make
from tests.migrations_app.services.conftest import Stage
from tests.smtp import Postbox, postbox, text_of


@pytest.fixture(autouse=True)
def addresses(stage: Stage) -> None:
    """Everyone has an address: name@example.org."""
    for person in User.objects.all():
        User.objects.filter(pk=person.pk).update(email=f"{person.username}@example.org")


@pytest.fixture
def box(settings: Any) -> Iterator[Postbox]:
    with postbox(settings) as made:
        yield made


def told(kind: str) -> list[str]:
    """Names of those who are told, in order."""
    return sorted(OutgoingMail.objects.filter(kind=kind).values_list("to_name", flat=True))


def forget() -> None:
    OutgoingMail.objects.all().delete()


def test_gate_1_asks_the_leads_who_may_approve_but_not_the_plans_author(stage: Stage) -> None:
    stage.at("plan")
    assert told("gate_opened") == ["ben"]
    mail = OutgoingMail.objects.get()
    assert mail.subject.startswith("[yukyu production] sign Gate 1 (Plan) of run ")
    assert mail.context["path"].endswith("/sign/plan/")


def test_gate_2_asks_leads_and_ops(stage: Stage) -> None:
    gate = stage.at("go")
    type(gate).objects.filter(pk=gate.pk).update(state="closed")
    with transaction.atomic():
        advance_run(run=gate.run, now=timezone.now())
    assert told("gate_opened") == ["ana", "ben", "emi"]


def test_a_lapsed_signature_asks_for_another_one_and_says_why(stage: Stage) -> None:
    gate = stage.at("go")
    stage.sign(gate, "ops", "ops")
    forget()
    Membership.objects.filter(user=stage.who.ops).delete()
    make.member(stage.application, stage.who.viewer, "ops")
    lapse_expired(now=timezone.now())
    assert told("signature_ended") == ["dora"]
    (mail,) = OutgoingMail.objects.filter(kind="signature_ended", to_name="dora")
    assert ["Reason", "ana no longer has the role."] in mail.context["facts"]
    assert "ana" in mail.context["sentence"] and "Ops" in mail.context["sentence"]


def test_a_passed_gate_tells_everyone_who_works_on_it(stage: Stage) -> None:
    gate = stage.at("qa")
    forget()
    stage.sign(gate, "qa", "qa")
    assert told("gate_passed") == ["ana", "ben", "chika", "emi"]


def test_a_refused_gate_tells_the_others_what_to_mend_and_the_run_is_not_announced_as_held_too(stage: Stage) -> None:
    gate = stage.at("go")
    forget()
    gates.refuse_gate(actor=stage.who.lead, gate=gate, role="lead", reason="The window is too short.")
    assert told("gate_refused") == ["ana", "chika", "emi"]
    mail = OutgoingMail.objects.filter(kind="gate_refused").first()
    assert mail is not None and ["Reason", "The window is too short."] in mail.context["facts"]
    assert told("run_held") == []


def test_a_held_run_calls_ops_and_leads_and_quotes_no_value(stage: Stage, box: Postbox) -> None:
    canary = "Yamada Taro 1990-04-01"
    gate = stage.at("go")
    run = gate.run
    make.reach(run, "load", state=StepState.FAILED)
    run.steps.filter(name="load").update(error_message=f"Row [7] of genzai holds {canary}.", error_hint=canary)
    forget()
    run.refresh_from_db()
    with transaction.atomic():
        advance_run(run=run, now=timezone.now())
    assert canary in MigrationRun.objects.get(pk=run.pk).held_reason  # the page says it, the mail must not
    assert told("run_held") == ["ana", "ben", "emi"]
    send_due()
    assert len(box.letters) == 3
    for letter in box.letters:
        assert canary not in text_of(letter) and canary not in text_of(letter, "html")
        assert "TARGET_GONE" in text_of(letter) and f"/runs/{run.pk}/" in text_of(letter)


def test_a_rollback_tells_leads_and_ops_even_when_they_wanted_no_mails_at_all(stage: Stage) -> None:
    run = stage.at("go").run
    everything = {topic.value: False for topic in MailTopic}
    for person in (stage.who.lead, stage.who.ops, stage.who.qa, stage.who.viewer):
        change_mail_settings(actor=person, wanted=everything)
    forget()
    rollback.request_rollback(
        actor=stage.who.ops, run=run, reason="It is late.", typed_name=run.application.name, reauthenticated=True
    )
    assert told("rollback_started") == ["ana", "ben", "emi"]


@pytest.mark.parametrize("kind", ["break_glass", "countersign_overdue", "rolled_back"])
def test_everyone_of_the_application_hears_of_a_rollback_and_of_broken_glass(stage: Stage, kind: str) -> None:
    run = stage.at("go").run
    forget()
    with transaction.atomic():
        announce(kind, run, stage.who.ops, {"rows": 214, "reason": "Nobody answers."})
    assert told(kind) == ["ana", "ben", "chika", "dora", "emi"]


def test_a_rollback_that_needs_two_asks_those_of_the_other_role(stage: Stage) -> None:
    run = stage.at("go").run
    forget()
    facts = {"price": "R3", "rows": 214, "reason": "Numbers are wrong.", "role": "ops"}
    with transaction.atomic():
        announce("rollback_requested", run, stage.who.ops, facts)
    assert told("rollback_requested") == ["ben", "emi"]
    mail = OutgoingMail.objects.first()
    assert mail is not None and ["Rows that would leave", "214"] in mail.context["facts"]
    assert mail.context["path"] == f"/runs/{run.pk}/roll-back/"


def test_what_was_switched_off_is_not_sent(stage: Stage) -> None:
    change_mail_settings(actor=stage.who.qa, wanted={"gate": False})
    gate = stage.at("qa")
    forget()
    stage.sign(gate, "qa", "qa")
    assert told("gate_passed") == ["ana", "ben", "emi"]


def test_a_viewer_is_told_of_ends_only_until_more_is_wished_for(stage: Stage) -> None:
    run = stage.at("plan").run
    cancel_run(actor=stage.who.lead, run=run, reason="Not this week.")
    assert told("run_finished") == ["ana", "chika", "dora", "emi"]
    change_mail_settings(actor=stage.who.viewer, wanted={"gate": True})
    assert [row.topic for row in settings_of(stage.who.viewer) if row.wanted] == [
        "gate",
        "finished",
        "rollback",
        "break_glass",
    ]


def test_choices_stand_in_the_trail_and_forged_ones_change_nothing(stage: Stage) -> None:
    change_mail_settings(actor=stage.who.lead, wanted={"rollback": False, "break_glass": False, "nonsense": True})
    assert not AuditEvent.objects.filter(action="mail.settings_changed").exists()
    change_mail_settings(actor=stage.who.lead, wanted={"rollback": False, "held": False})
    event = AuditEvent.objects.get(action="mail.settings_changed")
    assert event.payload["topics"] == {"held": False}
    assert next(row for row in settings_of(stage.who.lead) if row.topic == "rollback").wanted


def test_a_rehearsal_tells_only_who_asked_for_it(stage: Stage) -> None:
    run = make.run(stage.plan, stage.who.ops, kind="rehearsal")
    make.reach(run, "load", state=StepState.FAILED)
    run.refresh_from_db()
    with transaction.atomic():
        advance_run(run=run, now=timezone.now())
    assert told("run_held") == ["ana"]


def test_who_left_hears_nothing_more(stage: Stage) -> None:
    run = stage.at("go").run
    User.objects.filter(username="ben").update(is_active=False)
    Membership.objects.filter(user=stage.who.qa).delete()
    forget()
    with transaction.atomic():
        announce("rolled_back", run, "system")
    assert told("rolled_back") == ["ana", "dora", "emi"]


def test_an_event_that_is_announced_twice_is_mailed_once(stage: Stage) -> None:
    run = stage.at("go").run
    forget()
    with transaction.atomic():
        assert announce("rolled_back", run, "system") == 5
        assert announce("rolled_back", run, "system") == 0


@pytest.mark.parametrize("kind", announcement_texts.KINDS)
def test_every_kind_says_application_environment_and_what_to_do(stage: Stage, box: Postbox, kind: str) -> None:
    gate = stage.at("go")
    run = gate.run
    forget()
    detail = {"gate": "go", "signer": "ana", "role": "ops", "reason": "Because.", "rows": 3, "price": "R3"}
    with transaction.atomic():
        assert announce(kind, run, stage.who.lead, detail)
    send_due()
    assert box.letters and not OutgoingMail.objects.exclude(state="sent").exists()
    for letter in box.letters:
        assert letter["Subject"].startswith("[yukyu production] ")
        assert len(letter["Subject"]) < 120
        for kind_of_text in ("plain", "html"):
            said = text_of(letter, kind_of_text)
            assert said.count(f"/runs/{run.pk}/") == 1  # the one link that matters
            assert "secret-word" not in said


def test_the_run_that_waits_is_the_state_that_the_mail_speaks_of(stage: Stage) -> None:
    gate = stage.at("sign_off")
    forget()
    for name, role in (("lead", "lead"), ("qa", "qa"), ("ops", "ops")):
        stage.sign(gate, name, role)
    assert MigrationRun.objects.get(pk=gate.run_id).state == RunState.RUNNING
    mail = OutgoingMail.objects.filter(kind="gate_passed").first()
    assert mail is not None and "signed off" in mail.subject
    assert ["Signed by", "ben as Team lead, chika as QA, ana as Ops"] in mail.context["facts"]
