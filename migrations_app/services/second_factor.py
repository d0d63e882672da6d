"""A person's second factor: add an authenticator, check a code, make recovery codes, take it away."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.people import changes, codes
from controlplane.people.models import AccountChange, RecoveryCode, SecondFactor
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale


def factor_of(person: Any) -> SecondFactor | None:
    """The person's authenticator that counts; None where there is none."""
    return SecondFactor.objects.filter(user=person, confirmed_at__isnull=False).first()


def recovery_codes_left(factor: SecondFactor) -> int:
    return factor.recovery_codes.filter(used_at__isnull=True).count()


def begin_enrolment(*, actor: Any) -> SecondFactor:
    """A new secret that doesn't count yet; the one that was begun before and never confirmed goes."""
    with transaction.atomic():
        _refuse_second(actor)
        SecondFactor.objects.filter(user=actor, confirmed_at__isnull=True).delete()
        return SecondFactor.objects.create(user=actor, secret=codes.new_secret(), created_at=timezone.now())


def begun_enrolment(person: Any) -> SecondFactor | None:
    """The authenticator that waits for its first code."""
    return SecondFactor.objects.filter(user=person, confirmed_at__isnull=True).first()


def finish_enrolment(*, actor: Any, code: str, reauthenticated: bool = False) -> list[str]:
    """The first code makes the authenticator count; answers the recovery codes, shown this once.

    Raises Forbidden without the password, ServiceRefused WRONG_CODE, Stale when nothing was begun.
    """
    _require_confirmation(reauthenticated)
    factor = begun_enrolment(actor)
    if factor is None:
        raise Stale("No authenticator was begun.")
    now = timezone.now()
    with transaction.atomic():
        step = _free_step(factor, codes.normal_code(code), now)
        if step is None or not _take_step(factor, step, confirmed_at=now):
            raise ServiceRefused(
                "WRONG_CODE", "That is not the code of now.", hint="Is the phone's clock right?", status=400
            )
        made = _make_recovery_codes(factor)
        record(action="person.second_factor_enrolled", actor=actor)
    return made


def check_code(*, person: Any, code: str) -> bool:
    """Whether it is the authenticator's code of now, or an unused recovery code; either is used up by this."""
    factor = factor_of(person)
    typed = codes.normal_code(code)
    if factor is None or not typed:
        return False
    now = timezone.now()
    step = _free_step(factor, typed, now)
    if step is not None:
        return _take_step(factor, step)
    return _use_recovery_code(factor, typed, person, now)


def renew_recovery_codes(*, actor: Any, reauthenticated: bool = False) -> list[str]:
    """Ten new ones; the old ones are void. Raises Forbidden, Stale."""
    _require_confirmation(reauthenticated)
    factor = _required(actor)
    with transaction.atomic():
        made = _make_recovery_codes(factor)
        record(action="person.recovery_codes_made", actor=actor, payload={"count": len(made)})
    return made


def remove_factor(*, actor: Any, reauthenticated: bool = False) -> None:
    """A person takes the own second factor away. Raises Forbidden, Stale."""
    _require_confirmation(reauthenticated)
    _remove(_required(actor), actor)


def remove_factor_by_operator(*, name: str, login: str) -> None:
    """From the command line, for a phone and codes that are lost: whoever has the machine is `cli:<login>`."""
    factor = SecondFactor.objects.filter(user__username=name).first()
    if factor is None:
        raise ServiceRefused("NO_SECOND_FACTOR", f"{name} has no second factor.", status=404)
    with transaction.atomic():
        _remove(factor, f"cli:{login}")
        changes.note(person=factor.user, what=AccountChange.What.SECOND_FACTOR, by=f"cli:{login}")


def _remove(factor: SecondFactor, actor: Any) -> None:
    with transaction.atomic():
        name = factor.user.get_username()
        factor.delete()
        record(action="person.second_factor_removed", actor=actor, payload={"person": name})


def _required(person: Any) -> SecondFactor:
    factor = factor_of(person)
    if factor is None:
        raise Stale("There is no second factor any more.")
    return factor


def _refuse_second(person: Any) -> None:
    if factor_of(person) is not None:
        raise ServiceRefused(
            "SECOND_FACTOR_EXISTS", "You have an authenticator already.", hint="Remove it first, then add another."
        )


def _require_confirmation(reauthenticated: bool) -> None:
    if not reauthenticated:
        raise Forbidden("PASSWORD_NEEDED", "Give your password again to change how you sign in.")


def _free_step(factor: SecondFactor, typed: str, now: datetime) -> int | None:
    step = codes.step_of_code(factor.secret.reveal(), typed, now)
    return step if step is not None and step > factor.last_step else None


def _take_step(factor: SecondFactor, step: int, **fields: Any) -> bool:
    """Use the code up, unless someone was faster with the same one."""
    rows = SecondFactor.objects.filter(pk=factor.pk, last_step__lt=step)
    return rows.update(last_step=step, **fields) == 1


def _make_recovery_codes(factor: SecondFactor) -> list[str]:
    made = codes.new_recovery_codes()
    factor.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(factor=factor, digest=codes.recovery_digest(code)) for code in made)
    return made


def _use_recovery_code(factor: SecondFactor, typed: str, person: Any, now: datetime) -> bool:
    with transaction.atomic():
        rows = RecoveryCode.objects.filter(factor=factor, digest=codes.recovery_digest(typed), used_at__isnull=True)
        if rows.update(used_at=now) != 1:
            return False
        record(action="person.recovery_code_used", actor=person, payload={"left": recovery_codes_left(factor)})
    return True
