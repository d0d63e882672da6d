"""Asking for the password and the second factor again, and remembering for ten minutes that they were right."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_login_failed
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from controlplane.audit.trail import record
from migrations_app.forms.proof import Proof, ProofForm
from migrations_app.services import confirmation, second_factor

KEPT = "confirmed"  # in the session: who, and when
WRONG_PASSWORD = "That is not your password. Wrong ones count, as at the sign-in."
WRONG_CODE = "That is not a code of now, or it was used already. Wrong ones count, as at the sign-in."


def proof_of(request: HttpRequest) -> Proof:
    """What this session has proved lately, and what it would have to prove."""
    kept = request.session.get(KEPT) or {}
    at = read_moment(str(kept.get("at", "")))
    person = request.user
    holds = confirmation.still_holds(
        person=person, confirmed_by=kept.get("person"), confirmed_at=at, now=timezone.now()
    )
    until = confirmation.holds_until(at) if holds and at is not None else None
    return Proof(enrolled=second_factor.factor_of(person) is not None, until=until)


def confirm(request: HttpRequest, form: ProofForm) -> bool:
    """Whether the person is who signed in: by an earlier proof that holds, or by what the valid form carries.

    A wrong password or code is said at its field and counts towards the lock, as at the sign-in.
    """
    if form.proof.until is not None:
        return True
    if not _right_password(request, form.cleaned_data["password"]):
        form.add_error("password", WRONG_PASSWORD)
        return False
    if form.proof.enrolled and not right_code(request, request.user, form.cleaned_data["code"]):
        form.add_error("code", WRONG_CODE)
        return False
    request.session[KEPT] = {"person": request.user.pk, "at": timezone.now().isoformat()}
    note("person.confirmed", request.user.get_username())
    form.settle(proof_of(request))
    return True


def forget(request: HttpRequest) -> None:
    """The proof is used up: the next dangerous action asks again."""
    request.session.pop(KEPT, None)


def right_code(request: HttpRequest, person: Any, code: str) -> bool:
    """Whether the code is right; a wrong one counts, and while the name is locked from here none is looked at."""
    credentials = {"username": person.get_username()}
    if not AxesProxyHandler.is_allowed(request, credentials):
        request.axes_locked_out = True  # type: ignore[attr-defined]  # the middleware answers with the locked page
        return False
    if second_factor.check_code(person=person, code=code):
        return True
    user_login_failed.send(sender=__name__, credentials=credentials, request=request)
    return False


def note(action: str, name: str) -> None:
    """An event of a person in the trail, in a transaction of its own."""
    with transaction.atomic():
        record(action=action, actor=name)


def _right_password(request: HttpRequest, password: str) -> bool:
    confirmed = authenticate(request, username=request.user.get_username(), password=password)
    return confirmed is not None and confirmed.pk == request.user.pk


def read_moment(text: str) -> datetime | None:
    """A moment from the session; nonsense is none."""
    try:
        return parse_datetime(text)
    except ValueError:
        return None
