"""Mails about alerts: what was sent, to whom, what failed; sending one again."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from controlplane.mail import sent
from controlplane.mail.models import MailState
from controlplane.refusals import ServiceRefused
from monitoring_app.views.common import page, person_of, render_page

PAGE = 40
ABOUT = ("alert:", "recipient:", "verification:", "target:")


@page
@require_GET
def show(request: HttpRequest) -> HttpResponse:
    """Newest first, in keyset pages."""
    person = person_of(request)
    before = request.GET.get("before", "")
    start = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    rows = sent.of_my_applications(person, about=ABOUT, before=start, limit=PAGE + 1)
    shown = rows[:PAGE]
    context = {
        "place": "alerts",
        "tab": "mails",
        "mails": shown,
        "again": sent.may_send_again(person, shown),
        "failed": sum(1 for mail in shown if mail.state == MailState.FAILED),
        "waiting": sum(1 for mail in shown if mail.state in (MailState.WAITING, MailState.SENDING)),
        "older": shown[-1].pk if len(rows) > PAGE else None,
    }
    return render_page(request, "monitoring/mails.html", context)


@page
@require_POST
def again(request: HttpRequest, number: int) -> HttpResponse:
    """Put a mail that failed back in the queue."""
    try:
        sent.retry_mail(actor=person_of(request), mail_id=number)
    except ServiceRefused as refusal:
        if refusal.status == 404:
            raise Http404(refusal.message) from None
        messages.error(request, f"{refusal.message} {refusal.hint}".strip())
    else:
        messages.success(request, "It is in the queue again; this page says what becomes of it.")
    return HttpResponseRedirect(reverse("alert_mails"))
