"""Recipients: who hears of an application's alerts without an account; adding, changing, taking away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from controlplane.mail.models import OutgoingMail
from controlplane.refusals import FieldsRefused, ServiceRefused
from controlplane.registry.models import Application
from monitoring_app.forms import HEARS_OF, RecipientForm
from monitoring_app.models import Recipient, Target
from monitoring_app.services import recipients
from monitoring_app.services.permissions import changeable, people_who_change, visible_targets
from monitoring_app.views.common import page, person_of, refused, render_page, target_frame, target_of


@page
@require_http_methods(["GET"])
def show(request: HttpRequest) -> HttpResponse:
    """All applications of the viewer: who is told there."""
    person = person_of(request)
    targets = list(visible_targets(person))
    applications = [target.application for target in targets]
    may, people, lines = changeable(person, applications), people_who_change(applications), _lines(applications)
    context = {
        "place": "alerts",
        "tab": "recipients",
        "groups": [
            {
                "target": target,
                "lines": lines.get(target.application_id, []),
                "people": people.get(target.application_id, []),
                "may": target.application_id in may,
            }
            for target in targets
        ],
    }
    return render_page(request, "monitoring/recipients.html", context)


@page
@require_http_methods(["GET", "POST"])
def of_target(request: HttpRequest, name: str) -> HttpResponse:
    """Those of one application, with the form."""
    target = target_of(request, name)
    if request.method == "GET":
        return _page(request, target, RecipientForm())
    form = RecipientForm(request.POST) if request.POST.get("do") == "add" else RecipientForm()
    try:
        said = _do(request, target, form)
    except ServiceRefused as refusal:
        if isinstance(refusal, FieldsRefused):
            for field, sentence in refusal.fields.items():
                form.add_error(field if field in form.fields else None, sentence)
        told = refused(request, refusal, about=target, application=name, tried="change recipients")
        return _page(request, target, form, status=refusal.status, **told)
    if not said:
        return _page(request, target, form, status=400)
    messages.success(request, said)
    return HttpResponseRedirect(reverse("target_recipients", args=[name]))


def _do(request: HttpRequest, target: Target, form: RecipientForm) -> str:
    """What was done, in words; '' where the form is wrong."""
    actor, what = person_of(request), request.POST.get("do", "")
    if what == "add":
        if not form.is_valid():
            return ""
        row = recipients.add(application=target.application, actor=actor, **form.cleaned_data)
        return f"A mail asks {row.address} to confirm. Until then nothing else is sent there."
    row = _row(request, target)
    if what == "remove":
        recipients.remove(recipient=row, actor=actor)
        return f"{row.address} hears of nothing any more; links that were sent there have lost their force."
    if what == "ask_again":
        recipients.ask_again(recipient=row, actor=actor)
        return f"Another mail asks {row.address} to confirm; the earlier one has lost its force."
    values = {
        "severity": request.POST.get("severity", row.severity),
        "digest": "digest" in request.POST,
        "escalation": "escalation" in request.POST,
    }
    recipients.change(recipient=row, actor=actor, values=values)
    return f"Saved: what {row.address} hears of."


def _row(request: HttpRequest, target: Target) -> Recipient:
    number = request.POST.get("recipient", "")
    if number.isascii() and number.isdigit() and len(number) < 19:
        row = Recipient.objects.filter(pk=int(number), application=target.application).first()
        if row is not None:
            row.application = target.application
            return row
    raise Http404("There is no such recipient.")


def _page(request: HttpRequest, target: Target, form: RecipientForm, *, status: int = 200, **more: Any) -> HttpResponse:
    context = {
        **target_frame(request, target, ""),
        "place": "alerts",
        "lines": _lines([target.application]).get(target.application_id, []),
        "people": people_who_change([target.application]).get(target.application_id, []),
        "form": form,
        "severities": HEARS_OF,
        "escalation_label": RecipientForm.base_fields["escalation"].label,
        **more,
    }
    return render_page(request, "monitoring/recipients_of.html", context, status=status)


def _lines(applications: Iterable[Application]) -> dict[int, list[dict[str, Any]]]:
    """Recipients with their newest mail, by application."""
    rows = list(Recipient.objects.filter(application__in=list(applications)).order_by("application", "address"))
    last = _last_mails([recipients.mail_id(row) for row in rows])
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        line = {"row": row, "state": _state(row), "last": last.get(recipients.mail_id(row))}
        found.setdefault(row.application_id, []).append(line)
    return found


def _last_mails(ids: list[str]) -> dict[str, OutgoingMail]:
    found: dict[str, OutgoingMail] = {}
    for mail in OutgoingMail.objects.filter(recipient__in=ids).defer("context").order_by("pk"):
        found[mail.recipient] = mail
    return found


def _state(row: Recipient) -> str:
    if row.unsubscribed_at is not None:
        return "unsubscribed"
    return "confirmed" if row.confirmed_at is not None else "waiting"
