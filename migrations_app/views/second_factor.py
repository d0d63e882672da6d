"""The person's own second factor: add an authenticator, make recovery codes, take it away."""

from __future__ import annotations

from collections.abc import Callable

import segno
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_http_methods

from controlplane.people.codes import provisioning_uri
from controlplane.people.models import SecondFactor
from migrations_app.forms import EnrolForm, OnlyProofForm
from migrations_app.services import second_factor
from migrations_app.services.errors import ServiceRefused
from migrations_app.views.common import note_refusal, page, person_of, render_page
from migrations_app.views.confirm import confirm, proof_of


@page
@require_http_methods(["GET", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    if request.method == "GET":
        return _render(request)
    doing: dict[str, Callable[[HttpRequest], HttpResponse]] = {
        "begin": _begin,
        "finish": _finish,
        "renew": _renew,
        "remove": _remove,
    }
    chosen = doing.get(request.POST.get("do", ""))
    if chosen is None:
        raise Http404("There is no such action.")
    try:
        return chosen(request)
    except ServiceRefused as refused:
        note_refusal(request, refused, about="second factor", application="", tried="change the second factor")
        return _render(request, refusal=refused, status=refused.status)


def _begin(request: HttpRequest) -> HttpResponse:
    second_factor.begin_enrolment(actor=person_of(request))
    return HttpResponseRedirect(reverse("second_factor"))


def _finish(request: HttpRequest) -> HttpResponse:
    form = EnrolForm(request.POST, proof=proof_of(request))
    if not form.is_valid():
        return _render(request, form=form, status=400)
    if not confirm(request, form):
        return _render(request, form=form, status=403)
    made = second_factor.finish_enrolment(
        actor=person_of(request), code=form.cleaned_data["first_code"], reauthenticated=True
    )
    return _render(request, made=made)


def _renew(request: HttpRequest) -> HttpResponse:
    form = OnlyProofForm(request.POST, proof=proof_of(request), auto_id="renew_%s")
    if not form.is_valid():
        return _render(request, renew_form=form, status=400)
    if not confirm(request, form):
        return _render(request, renew_form=form, status=403)
    return _render(request, made=second_factor.renew_recovery_codes(actor=person_of(request), reauthenticated=True))


def _remove(request: HttpRequest) -> HttpResponse:
    form = OnlyProofForm(request.POST, proof=proof_of(request), auto_id="remove_%s")
    if not form.is_valid():
        return _render(request, remove_form=form, status=400)
    if not confirm(request, form):
        return _render(request, remove_form=form, status=403)
    second_factor.remove_factor(actor=person_of(request), reauthenticated=True)
    messages.success(request, "Your authenticator is removed. Your password alone signs you in now.")
    return HttpResponseRedirect(reverse("second_factor"))


def _render(
    request: HttpRequest,
    *,
    form: EnrolForm | None = None,
    renew_form: OnlyProofForm | None = None,
    remove_form: OnlyProofForm | None = None,
    made: list[str] | None = None,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    person = person_of(request)
    proof = proof_of(request)
    factor = second_factor.factor_of(person)
    begun = None if factor else second_factor.begun_enrolment(person)
    context = {
        "place": "account",
        "factor": factor,
        "left": second_factor.recovery_codes_left(factor) if factor else 0,
        "begun": begun,
        "picture": _picture(begun, person.get_username()) if begun else "",
        "secret": _spaced(begun.secret.reveal()) if begun else "",
        "made": made or [],
        "form": form or EnrolForm(proof=proof),
        "renew_form": renew_form or OnlyProofForm(proof=proof, auto_id="renew_%s"),
        "remove_form": remove_form or OnlyProofForm(proof=proof, auto_id="remove_%s"),
        "refusal": refusal,
    }
    return render_page(request, "second_factor.html", context, status=status)


def _picture(factor: SecondFactor, name: str) -> SafeString:
    """The QR code as SVG without any style of its own: dark on light in both themes, or phones don't read it."""
    code = segno.make(provisioning_uri(factor.secret.reveal(), name), error="m")
    # Safe: segno draws paths from numbers; the text itself is not in the picture.
    return mark_safe(code.svg_inline(scale=5, border=4, dark="#000", light="#fff", svgclass="qr", omitsize=False))


def _spaced(secret: str) -> str:
    """In groups of four, to be typed."""
    return " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
