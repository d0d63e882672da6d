"""The second factor in the pages: at the sign-in, in the dialogs, and in the settings; guessing it locks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import AuditEvent
from controlplane.people.models import SecondFactor
from migrations_app.models import MigrationRun
from migrations_app.models.states import RunState
from migrations_app.services import second_factor
from tests import factories as make

SignIn = Callable[[User], Client]


class Clock:
    """Time stands still until a test moves it, so that a code is of this half minute and no other."""

    def __init__(self, traveller: time_machine.Coordinates) -> None:
        self._traveller = traveller

    def forward(self, seconds: float) -> None:
        self._traveller.shift(timedelta(seconds=seconds))


@pytest.fixture
def clock() -> Iterator[Clock]:
    with time_machine.travel(datetime.now(UTC), tick=False) as traveller:
        yield Clock(traveller)


def code_of(person: User) -> str:
    return pyotp.TOTP(SecondFactor.objects.get(user=person).secret.reveal()).at(datetime.now(UTC))


@pytest.fixture
def recovery(who: make.People, clock: Clock) -> list[str]:
    """ana's recovery codes; her authenticator was added a minute ago."""
    second_factor.begin_enrolment(actor=who.ops)
    made = second_factor.finish_enrolment(actor=who.ops, code=code_of(who.ops), reauthenticated=True)
    clock.forward(60)
    return made


def _give_password(client: Client, password: str = make.PASSWORD) -> None:
    answer = client.post(reverse("login"), {"username": "ana", "password": password, "next": "/audit/"})
    assert answer.status_code == 302 and answer.headers["Location"] == reverse("login_code")


def _is_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def test_a_right_password_alone_lets_nobody_in(client: Client, who: make.People, recovery: list[str]) -> None:
    _give_password(client)
    assert not _is_in(client)
    assert not AuditEvent.objects.filter(action="person.signed_in").exists()
    answer = client.post(reverse("login_code"), {"code": code_of(who.ops)})
    assert answer.headers["Location"] == "/audit/" and _is_in(client)
    assert AuditEvent.objects.filter(action="person.signed_in", actor="ana").count() == 1


def test_a_recovery_code_lets_in_once(client: Client, who: make.People, recovery: list[str]) -> None:
    for wanted in (True, False):
        _give_password(client)
        client.post(reverse("login_code"), {"code": recovery[0]})
        assert _is_in(client) is wanted
        client.post(reverse("logout"))


def test_without_a_password_there_is_no_second_step(client: Client, who: make.People, recovery: list[str]) -> None:
    assert client.get(reverse("login_code")).headers["Location"] == reverse("login")
    answer = client.post(reverse("login_code"), {"code": code_of(who.ops)})
    assert answer.headers["Location"] == reverse("login") and not _is_in(client)


def test_the_second_step_must_follow_within_five_minutes(
    client: Client, who: make.People, recovery: list[str], clock: Clock
) -> None:
    _give_password(client)
    clock.forward(301)
    client.post(reverse("login_code"), {"code": code_of(who.ops)})
    assert not _is_in(client)


def test_a_password_that_was_changed_meanwhile_opens_nothing(
    client: Client, who: make.People, recovery: list[str]
) -> None:
    _give_password(client)
    who.ops.set_password("another long word")
    who.ops.save()
    client.post(reverse("login_code"), {"code": code_of(who.ops)})
    assert not _is_in(client)


def test_five_wrong_codes_lock_and_then_a_right_one_helps_no_more(
    client: Client, who: make.People, recovery: list[str]
) -> None:
    _give_password(client)
    statuses = [client.post(reverse("login_code"), {"code": "000000"}).status_code for _ in range(5)]
    assert statuses[:4] == [401] * 4 and statuses[4] == 429
    assert client.post(reverse("login_code"), {"code": code_of(who.ops)}).status_code == 429
    assert not _is_in(client)
    assert AuditEvent.objects.filter(action="person.locked_out").exists()


def test_a_right_password_does_not_forgive_wrong_codes(client: Client, who: make.People, recovery: list[str]) -> None:
    """Else whoever has the password could guess for ever, four codes at a time."""
    for _ in range(2):
        _give_password(client)
        for _ in range(2):
            client.post(reverse("login_code"), {"code": "000000"})
    _give_password(client)
    assert client.post(reverse("login_code"), {"code": "000000"}).status_code == 429


def _way_back(**fields: str) -> dict[str, str]:
    return {"do": "request", "reason": "Too slow.", "typed_name": "yukyu", "password": make.PASSWORD, **fields}


def test_a_decision_needs_the_code_where_there_is_a_second_factor(
    as_: SignIn, who: make.People, recovery: list[str], loading: MigrationRun
) -> None:
    client, address = as_(who.ops), reverse("run_rollback", args=[loading.pk])
    assert "authenticator’s code" in client.get(address).content.decode()
    assert client.post(address, _way_back()).status_code == 400
    wrong = client.post(address, _way_back(code="000000"))
    assert wrong.status_code == 403 and "not a code of now" in wrong.content.decode()
    loading.refresh_from_db()
    assert loading.state == RunState.RUNNING
    client.post(address, _way_back(code=code_of(who.ops)))
    loading.refresh_from_db()
    assert loading.state == RunState.ROLLING_BACK


def test_wrong_codes_in_a_dialog_lock_and_leave_no_code_in_the_log_of_attempts(
    as_: SignIn, who: make.People, recovery: list[str], loading: MigrationRun
) -> None:
    client, address = as_(who.ops), reverse("run_rollback", args=[loading.pk])
    mistyped = f"{recovery[0]}x"
    statuses = [client.post(address, _way_back(code=mistyped)).status_code for _ in range(6)]
    assert statuses[0] == 403 and statuses[-1] == 429
    kept = "".join(attempt.post_data for attempt in AccessAttempt.objects.all())
    assert recovery[0] not in kept and make.PASSWORD not in kept and "Too slow" not in kept


def test_a_proof_holds_ten_minutes_and_then_is_asked_again(
    as_: SignIn, who: make.People, loading: MigrationRun, clock: Clock
) -> None:
    client, address = as_(who.ops), reverse("run_rollback", args=[loading.pk])
    assert 'name="password"' in client.get(address).content.decode()
    answer = client.post(address, _way_back(typed_name="yukyuu"))  # the password is right, the name is not
    assert answer.status_code == 400
    text = answer.content.decode()
    assert 'name="password"' not in text and "it holds until" in text and "Too slow." in text
    clock.forward(599)
    assert 'name="password"' not in client.get(address).content.decode()
    clock.forward(2)
    assert 'name="password"' in client.get(address).content.decode()
    without = {name: value for name, value in _way_back().items() if name != "password"}
    assert client.post(address, without).status_code == 400
    client.post(address, _way_back(typed_name="yukyuu"))
    assert client.post(address, without).status_code == 302  # proved a moment ago


def test_a_proof_ends_with_its_session(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client, address = as_(who.ops), reverse("run_rollback", args=[loading.pk])
    client.post(address, _way_back(typed_name="yukyuu"))
    client.post(reverse("logout"))
    assert 'name="password"' in as_(who.ops).get(address).content.decode()


def test_an_authenticator_is_added_with_a_picture_and_recovery_codes(
    as_: SignIn, who: make.People, clock: Clock
) -> None:
    client, address = as_(who.qa), reverse("second_factor")
    assert "Your password alone signs you in" in client.get(address).content.decode()
    page = client.post(address, {"do": "begin"}, follow=True).content.decode()
    assert "<svg" in page and 'class="qr"' in page and not re.search(r"\sstyle\s*=", page)
    secret = SecondFactor.objects.get(user=who.qa).secret.reveal()
    assert " ".join(re.findall("....", secret)) in page
    sent = {"do": "finish", "first_code": "000000", "password": make.PASSWORD}
    assert client.post(address, {**sent, "password": "wrong"}).status_code == 403
    assert client.post(address, sent).status_code == 400
    made = client.post(address, {**sent, "first_code": code_of(who.qa)})
    codes = re.findall(r"<code>([a-z0-9]{5}-[a-z0-9]{5})</code>", made.content.decode())
    assert len(codes) == 10 and "no-store" in made.headers["Cache-Control"]
    again = client.get(address).content.decode()
    assert "Your authenticator is on" in again and codes[0] not in again and secret not in again


def test_it_is_removed_only_with_password_and_code(as_: SignIn, who: make.People, recovery: list[str]) -> None:
    client, address = as_(who.ops), reverse("second_factor")
    assert client.post(address, {"do": "remove", "password": make.PASSWORD}).status_code == 400
    assert client.post(address, {"do": "remove", "password": make.PASSWORD, "code": "000000"}).status_code == 403
    assert second_factor.factor_of(who.ops) is not None
    client.post(address, {"do": "remove", "password": make.PASSWORD, "code": recovery[1]})
    assert second_factor.factor_of(who.ops) is None


def test_nobody_sees_or_changes_anothers(as_: SignIn, who: make.People, recovery: list[str]) -> None:
    """The page is of whoever is signed in; there is no address of another's."""
    client = as_(who.boss)
    secret = SecondFactor.objects.get(user=who.ops).secret.reveal()
    assert "Your password alone signs you in" in client.get(reverse("second_factor")).content.decode()
    listed = client.get(reverse("admin:people_secondfactor_changelist")).content.decode()
    factor = SecondFactor.objects.get(user=who.ops)
    shown = client.get(reverse("admin:people_secondfactor_change", args=[factor.pk])).content.decode()
    assert "ana" in listed and secret not in listed + shown
    assert (
        client.post(reverse("admin:people_secondfactor_delete", args=[factor.pk]), {"post": "yes"}).status_code == 403
    )
