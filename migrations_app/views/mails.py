"""A person's own mails: which to get, what was sent and whether it arrived; and what failed, for who can mend it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from controlplane.mail import sent
from migrations_app.forms.mails import MailSettingsForm
from migrations_app.services import mail_settings
from migrations_app.services.errors import ServiceRefused
from migrations_app.views.common import page, person_of, render_page


@page
@require_http_methods(["GET", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    """The person's switches and latest mails, and those of the own applications that did not arrive."""
    topics = mail_settings.settings_of(request.user)
    if request.method == "POST":
        form = MailSettingsForm(request.POST, topics=topics)
        if form.is_valid():
            mail_settings.change_mail_settings(actor=request.user, wanted=form.wanted())
            messages.success(request, "Saved: from now on you get the mails that are ticked.")
            return HttpResponseRedirect(reverse("mail_settings"))
    person = person_of(request)
    context: dict[str, Any] = {
        "place": "account",
        "topics": topics,
        "address": person.email,
        "latest": sent.latest_of(person),
        "failed": sent.failed_for(person),
    }
    return render_page(request, "mails/settings.html", context)


@page
@require_POST
def again(request: HttpRequest, number: int) -> HttpResponse:
    """Put a mail that failed back in the queue."""
    try:
        sent.retry_mail(actor=request.user, mail_id=number)
    except ServiceRefused as refused:
        if refused.status == 404:
            raise Http404(refused.message) from None
        messages.error(request, f"{refused.message} {refused.hint}".strip())
    else:
        messages.success(request, "It is in the queue again; this page says what becomes of it.")
    return HttpResponseRedirect(reverse("mail_settings"))
