"""Changing one section of an application: typed, looked at by the host's worker where only that can tell, saved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from controlplane.registry.models import Application, Host, Look, LookState
from migrations_app.forms.applications import FORMS
from migrations_app.forms.sections import SectionForm
from migrations_app.services import looks, registration
from migrations_app.services.errors import FieldsRefused, ServiceRefused
from migrations_app.services.sections import SECTIONS, Section
from migrations_app.views.application_facts import FACTS, host_word
from migrations_app.views.common import note_refusal, page, render_page
from migrations_app.views.found import visible_application

PATIENCE = timedelta(seconds=15)  # after this the page says that no worker answers
ZONES = ("Asia/Tokyo", "UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Sao_Paulo", "Asia/Manila")


@page
@require_http_methods(["GET", "POST"])
def change(request: HttpRequest, name: str, section: str) -> HttpResponse:
    application = visible_application(request, name)
    if section not in SECTIONS:
        raise Http404(f"An application has no section {section}.")
    host = Host.objects.filter(name=application.host).first()
    more = request.POST.get("more", "") if request.method == "POST" else ""
    form = FORMS[section](request.POST or None, application, host, more)
    if request.method != "POST" or more:
        return _form(request, application, SECTIONS[section], form)
    if not form.is_valid():
        return _form(request, application, SECTIONS[section], form, status=400)
    return _save(request, application, SECTIONS[section], form)


def _save(request: HttpRequest, application: Application, section: Section, form: SectionForm) -> HttpResponse:
    look: Look | None = None
    try:
        if section.look and _is_worth_a_look(form, section):
            look = looks.ask_look(
                actor=request.user,
                application=application,
                kind=section.look,
                values=form.values(),
                address=form.address(),
                version=form.cleaned_data["version"],
            )
            look = looks.await_answer(look)
            if look.state == LookState.ASKED:
                return HttpResponseRedirect(reverse("application_look", args=[application.name, look.pk]))
            looks.save_look(actor=request.user, look=look)
        else:
            registration.change_section(
                actor=request.user,
                application=application,
                section=section.name,
                values=form.values(),
                version=form.cleaned_data["version"],
                address=form.address(),
            )
    except FieldsRefused as refused:
        form.mark(refused.fields)
        return _form(request, application, section, form, look=look, status=refused.status)
    except ServiceRefused as refused:
        note_refusal(request, refused, about=application, application=application.name, tried="change an application")
        return _form(request, application, section, form, refusal=refused, status=refused.status)
    messages.success(request, _saved(section, look))
    return HttpResponseRedirect(reverse("application", args=[application.name]))


def _is_worth_a_look(form: SectionForm, section: Section) -> bool:
    """Nothing is asked about a file or a server that isn't named."""
    values = form.values()
    if section.look == "source":
        return bool(values["source_path"])
    return form.address() is not None or bool(values.get("without_address"))


def _saved(section: Section, look: Look | None) -> str:
    told = FACTS[look.kind]((look.answer or {}).get("facts") or {}) if look is not None else ""
    return f"{section.title}: saved.{f' {told}.' if told else ''}"


def _form(
    request: HttpRequest,
    application: Application,
    section: Section,
    form: SectionForm,
    *,
    look: Look | None = None,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    host = Host.objects.filter(name=application.host).first()
    context = {
        "place": "applications",
        "application": application,
        "section": section,
        "form": form,
        "host": host,
        "host_word": host_word(host),
        "offer": registration.change_offers(request.user, application)[section.name],
        "look": look if look is not None and looks.may_save_unchecked(look) else None,
        "refusal": refusal,
        "zones": ZONES,
    }
    return render_page(request, f"applications/sections/{section.name}.html", context, status=status)


@page
@require_http_methods(["POST"])
def check(request: HttpRequest, name: str, section: str) -> HttpResponse:
    """Look again at what is stored."""
    application = visible_application(request, name)
    if section not in SECTIONS or not SECTIONS[section].look:
        raise Http404("There is nothing to look at.")
    try:
        look = looks.ask_look(
            actor=request.user,
            application=application,
            kind=SECTIONS[section].look,
            values={},
            address=None,
            version=application.version,
        )
    except ServiceRefused as refused:
        note_refusal(request, refused, about=application, application=application.name, tried="look at an application")
        messages.error(request, refused.message)
        return HttpResponseRedirect(reverse("application", args=[application.name]))
    look = looks.await_answer(look)
    where = ["application_look", [application.name, look.pk]]
    if look.state == LookState.SAVED:
        _tell(request, look)
        where = ["application", [application.name]]
    return HttpResponseRedirect(reverse(str(where[0]), args=where[1]))  # type: ignore[arg-type]


def _tell(request: HttpRequest, look: Look) -> None:
    problem = look.answer.get("problem")
    if problem:
        messages.warning(request, f"{look.get_kind_display()}: {problem['message']}")
    else:
        messages.success(request, f"{look.get_kind_display()}: {FACTS[look.kind](look.answer.get('facts') or {})}.")


@page
@require_http_methods(["GET", "POST"])
def look(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """What the host's worker says to what was typed; saved from here, also unchecked where a draft may hold it."""
    application = visible_application(request, name)
    found = Look.objects.select_related("application").filter(application=application, pk=number).first()
    if found is None:
        raise Http404("There is no such look.")
    refusal: ServiceRefused | None = None
    if request.method == "POST":
        try:
            looks.save_look(actor=request.user, look=found, unchecked=request.POST.get("unchecked") == "1")
            messages.success(request, _saved(SECTIONS[found.kind], found))
            return HttpResponseRedirect(reverse("application", args=[application.name]))
        except ServiceRefused as refused:
            note_refusal(request, refused, about=application, application=application.name, tried="change it")
            refusal = refused
    context: dict[str, Any] = {
        "place": "applications",
        "application": application,
        "section": SECTIONS[found.kind],
        "look": found,
        "problem": found.answer.get("problem"),
        "facts": FACTS[found.kind](found.answer.get("facts") or {}),
        "waits": found.state == LookState.ASKED,
        "is_late": timezone.now() - found.asked_at > PATIENCE,
        "may_save": found.state == LookState.ANSWERED and not found.answer.get("problem"),
        "may_save_unchecked": looks.may_save_unchecked(found) and bool(found.answer.get("problem") or _is_late(found)),
        "refusal": refusal,
    }
    answer = render_page(request, "applications/look.html", context, status=refusal.status if refusal else 200)
    if found.state == LookState.ASKED:
        answer.headers["Refresh"] = "2"  # works without a script, and sends nothing again
    return answer


def _is_late(found: Look) -> bool:
    return found.state == LookState.ASKED and timezone.now() - found.asked_at > PATIENCE
