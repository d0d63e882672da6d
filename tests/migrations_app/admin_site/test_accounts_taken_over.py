"""A superuser sets somebody's password and signs in with it: the person hears of it, and it is good for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.mail.models import OutgoingMail
from controlplane.people.models import AccountChange, SecondFactor
from migrations_app.models import Approval, MigrationRun
from migrations_app.models.states import RunState
from migrations_app.services import permissions
from migrations_app.services.evidence import evidence_digest
from tests import factories as make
from tests.migrations_app.admin_site.conftest import as_

SET = "set-by-the-superuser"


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


@pytest.fixture
def waiting(who: make.People, run: MigrationRun) -> MigrationRun:
    """At gate 1, where ben could sign; ben has an address and has been here before."""
    User.objects.filter(pk=who.lead.pk).update(email="ben@example.org", last_login=timezone.now())
    other = make.run(make.plan(run.application, who.second_lead), who.ops)
    as_(who.ops).post(reverse("run_action", args=[other.pk, "submit"]), {})
    other.refresh_from_db()
    assert other.state == RunState.AWAITING_APPROVAL
    return other


def take_over(who: make.People, person: User) -> Client:
    """The superuser's form in the admin, then the sign-in page, both by raw posts."""
    sent = {"password1": SET, "password2": SET, "usable_password": "true"}
    address = reverse("admin:auth_user_password_change", args=[person.pk])
    assert as_(who.boss).post(address, sent).status_code == 302
    impostor = Client()
    impostor.post(reverse("login"), {"username": person.username, "password": SET})
    assert impostor.session.get("_auth_user_id") == str(person.pk)
    return impostor


def sign(client: Client, run: MigrationRun, password: str = SET) -> int:
    sent = {
        "do": "sign",
        "reason": "All looks well to me.",
        "role": "lead",
        "password": password,
        "plan_digest": run.plan.digest,
        "evidence_digest": evidence_digest(run),
    }
    return client.post(reverse("run_sign", args=[run.pk, "plan"]), sent).status_code


def test_whoever_sets_a_password_cannot_sign_with_it_that_night(
    who: make.People, waiting: MigrationRun, clock: time_machine.Coordinates
) -> None:
    impostor = take_over(who, who.lead)
    page = impostor.get(reverse("run_sign", args=[waiting.pk, "plan"])).content.decode()
    assert "boss set the password of your account" in page and 'value="sign"' not in page
    assert sign(impostor, waiting) == 403
    # To change it once more, as ben could, changes nothing: who knows the new password can do that too.
    own = {"password": SET, "new_password": "known-to-one-alone", "again": "known-to-one-alone"}
    assert impostor.post(reverse("password"), own).status_code == 302
    assert sign(impostor, waiting) == 403
    clock.shift(timedelta(hours=23, minutes=59))
    impostor.force_login(User.objects.get(pk=who.lead.pk))
    assert sign(impostor, waiting, "known-to-one-alone") == 403
    assert not Approval.objects.filter(gate__run=waiting).exists()
    assert AuditEvent.objects.filter(action="permission.refused", actor="ben").exists()
    clock.shift(timedelta(minutes=2))
    assert sign(as_(User.objects.get(pk=who.lead.pk)), waiting, "known-to-one-alone") == 302
    assert Approval.objects.get(gate__run=waiting).user_name == "ben"


def test_nothing_else_is_decided_in_that_persons_name(
    who: make.People, waiting: MigrationRun, run: MigrationRun
) -> None:
    User.objects.filter(pk__in=[who.ops.pk, who.qa.pk]).update(last_login=timezone.now())
    ops, qa = take_over(who, who.ops), take_over(who, who.qa)
    assert not any(offer.allowed for offer in permissions.offers(who.ops, run).values())
    item = run.items.filter(prover="qa").first()
    assert item is not None
    answer = qa.post(
        reverse("run_result", args=[run.pk, item.code]), {"do": "record", "outcome": "passed", "note": "I saw it all."}
    )
    assert answer.status_code == 403
    back = {"do": "request", "reason": "Too slow.", "typed_name": run.application.name, "password": SET}
    assert ops.post(reverse("run_rollback", args=[run.pk]), back).status_code == 403
    run.refresh_from_db()
    assert run.state == RunState.WAITING


def test_who_is_named_as_able_to_decide_is_awake_or_said_to_rest(
    who: make.People, waiting: MigrationRun, clock: time_machine.Coordinates
) -> None:
    def named() -> str:
        page = as_(who.viewer).get(reverse("run_sign", args=[waiting.pk, "plan"])).content.decode()
        assert permissions.who_can(waiting.application, ["lead"]) in page
        return permissions.who_can(waiting.application, ["lead"])

    assert named() == "team lead (ben, emi)"
    take_over(who, who.lead)
    again = f"{AccountChange.objects.get().counts_again_at:%Y-%m-%d %H:%M} UTC"
    assert named() == f"team lead (emi, ben from {again})"
    who.second_lead.memberships.all().delete()
    assert named() == f"team lead (ben from {again}, before that whom a superuser gives the role)"
    clock.shift(timedelta(hours=24, minutes=1))
    assert named() == "team lead (ben)"


def test_the_person_is_told_by_mail_and_the_trail_says_who_did_it(who: make.People, waiting: MigrationRun) -> None:
    take_over(who, who.lead)
    mail = OutgoingMail.objects.get(kind="account_changed")
    assert mail.to_address == "ben@example.org" and "boss set the password of your account" in mail.subject
    event = AuditEvent.objects.get(action="person.changed_by_another")
    assert (event.actor, event.payload["person"], event.payload["what"]) == ("boss", "ben", "password")
    assert SET not in f"{mail.context}{event.payload}"
    shown = as_(who.viewer).get(reverse("application_people", args=[waiting.application.name])).content.decode()
    assert "boss set the password" in shown


def test_who_changes_the_address_first_is_found_out_at_the_old_one(who: make.People, waiting: MigrationRun) -> None:
    sent = {"email": "elsewhere@example.org", "is_active": "on", "is_staff": "on"}
    changed = as_(who.boss).post(reverse("admin:auth_user_change", args=[who.lead.pk]), sent)
    assert changed.status_code == 302
    take_over(who, who.lead)
    told = OutgoingMail.objects.filter(kind="account_changed").order_by("pk").values_list("to_address", flat=True)
    assert list(told) == ["elsewhere@example.org", "ben@example.org"] * 2


def test_raw_fields_of_the_form_change_neither_password_nor_name_nor_when_one_was_here(
    who: make.People, waiting: MigrationRun
) -> None:
    before = User.objects.get(pk=who.lead.pk)
    sent = {"username": "eve2", "password": "plain", "last_login_0": "", "last_login_1": "", "is_active": "on"}
    as_(who.boss).post(reverse("admin:auth_user_change", args=[who.lead.pk]), sent)
    after = User.objects.get(pk=who.lead.pk)
    assert (after.username, after.password, after.last_login) == (before.username, before.password, before.last_login)


def test_password_set_at_the_machine_counts_as_set_by_another(
    who: make.People, waiting: MigrationRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt="": SET)
    call_command("changepassword", "ben", stdout=StringIO())
    change = AccountChange.objects.get(user=who.lead)
    assert change.by.startswith("cli:")
    assert sign(as_(User.objects.get(pk=who.lead.pk)), waiting) == 403


def test_second_factor_removed_at_the_machine_rests_the_account_too(who: make.People, waiting: MigrationRun) -> None:
    now = timezone.now()
    SecondFactor.objects.create(user=who.lead, secret="JBSWY3DPEHPK3PXP", created_at=now, confirmed_at=now)
    call_command("second_factor_remove", "ben", stdout=StringIO())
    assert sign(as_(who.lead), waiting, make.PASSWORD) == 403
    assert "removed the second factor" in OutgoingMail.objects.get(kind="account_changed").subject


def test_own_password_is_changed_with_the_old_one_and_the_account_goes_on_deciding(
    who: make.People, waiting: MigrationRun
) -> None:
    client = as_(who.lead)
    new = {"new_password": "known-to-one-alone", "again": "known-to-one-alone"}
    assert client.post(reverse("password"), {**new, "password": "not the old one"}).status_code == 403
    assert "known-to-one-alone" not in "".join(attempt.post_data for attempt in AccessAttempt.objects.all())
    assert client.post(reverse("password"), {**new, "password": make.PASSWORD, "again": "x"}).status_code == 400
    short = {"new_password": "short", "again": "short", "password": make.PASSWORD}
    assert client.post(reverse("password"), short).status_code == 400
    assert client.post(reverse("password"), {**new, "password": make.PASSWORD}).status_code == 302
    assert User.objects.get(pk=who.lead.pk).check_password("known-to-one-alone")
    assert AuditEvent.objects.filter(action="person.password_changed", actor="ben").count() == 1
    assert sign(client, waiting) == 302  # the session goes on too
    assert not AccountChange.objects.exists()


def test_first_password_of_an_account_that_nobody_used_is_handed_over(who: make.People) -> None:
    sent = {"username": "fumi", "password1": SET, "password2": SET, "usable_password": "true"}
    assert as_(who.boss).post(reverse("admin:auth_user_add"), sent).status_code == 302
    assert not AccountChange.objects.exists()


def test_what_was_noted_is_not_taken_back_in_the_database(who: make.People, waiting: MigrationRun) -> None:
    take_over(who, who.lead)
    with pytest.raises(DatabaseError), transaction.atomic():
        AccountChange.objects.all().update(counts_again_at=timezone.now())
    with pytest.raises(DatabaseError), transaction.atomic():
        AccountChange.objects.all().delete()
