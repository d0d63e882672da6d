"""An authenticator is added, its codes work once, and it goes with a trace."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.people.models import RecoveryCode, SecondFactor
from controlplane.registry.secrets import PREFIX, SecretUnreadable
from migrations_app.services import second_factor
from migrations_app.services.confirmation import still_holds
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from tests import factories as make

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def code_at(person: User, moment: datetime) -> str:
    factor = SecondFactor.objects.get(user=person)
    return str(pyotp.TOTP(factor.secret.reveal()).at(moment))


def enrolled(person: User, at: datetime = NOON) -> list[str]:
    """An authenticator that was added the minute before, and its recovery codes."""
    before = at - timedelta(minutes=1)
    with time_machine.travel(before, tick=False):
        second_factor.begin_enrolment(actor=person)
        return second_factor.finish_enrolment(actor=person, code=code_at(person, before), reauthenticated=True)


@pytest.fixture
def ana(db: None) -> User:
    return make.user("ana")


def actions() -> list[tuple[str, str]]:
    return list(
        AuditEvent.objects.filter(action__startswith="person.").order_by("sequence").values_list("action", "actor")
    )


@time_machine.travel(NOON, tick=False)
def test_authenticator_counts_once_a_code_of_it_was_given(ana: User) -> None:
    second_factor.begin_enrolment(actor=ana)
    assert second_factor.factor_of(ana) is None
    with pytest.raises(ServiceRefused) as refused:
        second_factor.finish_enrolment(actor=ana, code="000000", reauthenticated=True)
    assert refused.value.code == "WRONG_CODE"
    with pytest.raises(Forbidden) as unproved:
        second_factor.finish_enrolment(actor=ana, code=code_at(ana, NOON))
    assert unproved.value.code == "PASSWORD_NEEDED"
    made = second_factor.finish_enrolment(actor=ana, code=code_at(ana, NOON), reauthenticated=True)
    assert len(made) == 10 and second_factor.factor_of(ana) is not None
    assert actions() == [("person.second_factor_enrolled", "ana")]
    with pytest.raises(ServiceRefused) as second:
        second_factor.begin_enrolment(actor=ana)
    assert second.value.code == "SECOND_FACTOR_EXISTS"


@time_machine.travel(NOON, tick=False)
def test_code_works_once(ana: User) -> None:
    enrolled(ana)
    code = code_at(ana, NOON)
    assert second_factor.check_code(person=ana, code=f"{code[:3]} {code[3:]}")
    assert not second_factor.check_code(person=ana, code=code)
    assert not second_factor.check_code(person=ana, code=code_at(ana, NOON - timedelta(seconds=30)))  # an older one


@time_machine.travel(NOON, tick=False)
def test_code_that_turned_it_on_does_not_sign_in(ana: User) -> None:
    second_factor.begin_enrolment(actor=ana)
    code = code_at(ana, NOON)
    second_factor.finish_enrolment(actor=ana, code=code, reauthenticated=True)
    assert not second_factor.check_code(person=ana, code=code)


@time_machine.travel(NOON, tick=False)
def test_recovery_code_works_once_and_stands_in_the_trail(ana: User) -> None:
    made = enrolled(ana)
    factor = SecondFactor.objects.get(user=ana)
    assert second_factor.check_code(person=ana, code=made[3].upper())
    assert not second_factor.check_code(person=ana, code=made[3])
    assert second_factor.recovery_codes_left(factor) == 9
    assert actions()[-1] == ("person.recovery_code_used", "ana")
    renewed = second_factor.renew_recovery_codes(actor=ana, reauthenticated=True)
    assert not second_factor.check_code(person=ana, code=made[4])
    assert second_factor.check_code(person=ana, code=renewed[0])


@time_machine.travel(NOON, tick=False)
def test_another_persons_code_is_none(ana: User) -> None:
    ben = make.user("ben")
    enrolled(ana)
    made = enrolled(ben)
    assert not second_factor.check_code(person=ana, code=code_at(ben, NOON))
    assert not second_factor.check_code(person=ana, code=made[0])
    assert not second_factor.check_code(person=make.user("chika"), code="123456")


def test_secret_is_encrypted_and_opens_in_its_own_row_alone(ana: User) -> None:
    ben = make.user("ben")
    enrolled(ana)
    enrolled(ben)
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM people_secondfactor WHERE user_id = %s", [ana.pk])
        stored = cursor.fetchone()[0]
        assert stored.startswith(PREFIX)
        cursor.execute("UPDATE people_secondfactor SET secret = %s WHERE user_id = %s", [stored, ben.pk])
    with pytest.raises(SecretUnreadable):
        SecondFactor.objects.get(user=ben).secret.reveal()
    assert not any("-" in code.digest for code in RecoveryCode.objects.all())


@time_machine.travel(NOON, tick=False)
def test_it_is_removed_with_a_trace_by_its_owner_or_at_the_machine(ana: User) -> None:
    enrolled(ana)
    with pytest.raises(Forbidden):
        second_factor.remove_factor(actor=ana)
    second_factor.remove_factor(actor=ana, reauthenticated=True)
    assert second_factor.factor_of(ana) is None
    with pytest.raises(Stale):
        second_factor.remove_factor(actor=ana, reauthenticated=True)
    enrolled(ana)
    second_factor.remove_factor_by_operator(name="ana", login="root")
    assert not SecondFactor.objects.exists()
    assert ("person.second_factor_removed", "cli:root") in actions()
    assert actions()[-1] == ("person.changed_by_another", "cli:root")
    with pytest.raises(ServiceRefused) as refused:
        second_factor.remove_factor_by_operator(name="ana", login="root")
    assert refused.value.code == "NO_SECOND_FACTOR"


def test_twenty_hands_with_one_code_get_in_once(transactional_db: None) -> None:
    ana = make.user("ana")
    made = enrolled(ana, at=timezone.now())
    for code in (made[0], code_at(ana, timezone.now())):
        outcomes: list[Any] = []
        start = threading.Barrier(10)

        def hand(code: str = code, outcomes: list[Any] = outcomes, start: threading.Barrier = start) -> None:
            try:
                start.wait(30)
                outcomes.append(second_factor.check_code(person=ana, code=code))
            finally:
                connection.close()

        threads = [threading.Thread(target=hand) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(outcomes) == [False] * 9 + [True]


@pytest.mark.parametrize(
    ("seconds", "same", "holds"),
    [(0, True, True), (599, True, True), (600, True, False), (-5, True, False), (5, False, False)],
)
def test_proof_holds_ten_minutes_for_the_same_person(ana: User, seconds: int, same: bool, holds: bool) -> None:
    confirmed_by = ana.pk if same else ana.pk + 1
    at = NOON - timedelta(seconds=seconds)
    assert still_holds(person=ana, confirmed_by=confirmed_by, confirmed_at=at, now=NOON) is holds
    assert still_holds(person=ana, confirmed_by=ana.pk, confirmed_at=None, now=NOON) is False
