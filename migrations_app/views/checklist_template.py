"""An application's checklist: what its next run begins with, and what the team has made of it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from controlplane.registry.models import Application
from migrations_app.forms.checklist import TemplateItemForm, TemplateReasonForm
from migrations_app.models import ChecklistVersion
from migrations_app.models.states import Phase
from migrations_app.services import checklist_templates as templates
from migrations_app.services.checklist_file import TemplateItem
from migrations_app.services.checklist_items import provable
from migrations_app.services.errors import ServiceRefused
from migrations_app.views.common import note_refusal, page, render_page
from migrations_app.views.found import visible_application

NEW = "new"
_VERSIONS = 12


@page
@require_http_methods(["GET", "POST"])
def show(request: HttpRequest, name: str) -> HttpResponse:
    """The whole checklist; copy it, or give the copy up."""
    application = visible_application(request, name)
    if request.method == "GET":
        return _render_list(request, application)
    form = TemplateReasonForm(request.POST)
    if not form.is_valid():
        return _render_list(request, application, form=form, status=400)
    reason, number = form.cleaned_data["reason"], form.cleaned_data["number"]
    try:
        if request.POST.get("do") == "retire":
            templates.retire_template(actor=request.user, application=application, number=number, reason=reason)
            messages.success(request, "New runs begin with the checklist that ships again.")
        else:
            templates.copy_template(actor=request.user, application=application, reason=reason)
            messages.success(request, "This is the application’s own checklist now. Its next run begins with it.")
    except ServiceRefused as refused:
        note_refusal(request, refused, about=application, application=name, tried="change the checklist")
        return _render_list(request, application, form=form, refusal=refused, status=refused.status)
    return HttpResponseRedirect(reverse("checklist_template", args=[name]))


@page
@require_http_methods(["GET", "POST"])
def item(request: HttpRequest, name: str, code: str) -> HttpResponse:
    """One item of the application's own checklist: change it, take it out, or add one."""
    application = visible_application(request, name)
    view = templates.template_view(request.user, application)
    old = next((each for each in view.items if each.code == code), None)
    if old is None and code != NEW:
        raise Http404(f"The checklist of {name} has no item {code}.")
    options = {"existing": old is not None, "system": old is not None and old.prover == "system"}
    if request.method == "GET":
        initial = {**(old.to_document() if old else {}), "number": view.version.number}
        return _render_item(request, application, old, TemplateItemForm(initial=initial, **options))
    removes = request.POST.get("do") == "remove"
    form = TemplateReasonForm(request.POST) if removes else TemplateItemForm(request.POST, **options)
    if not form.is_valid():
        return _render_item(request, application, old, form, status=400)
    try:
        _change(request.user, application, old, dict(form.cleaned_data), removes)
    except ServiceRefused as refused:
        note_refusal(request, refused, about=application, application=name, tried="change the checklist")
        return _render_item(request, application, old, form, refusal=refused, status=refused.status)
    messages.success(request, "The checklist is changed. Runs under way keep the one that they began with.")
    return HttpResponseRedirect(reverse("checklist_template", args=[name]))


def _change(
    actor: Any, application: Application, old: TemplateItem | None, given: dict[str, Any], removes: bool
) -> None:
    reason, number = given.pop("reason"), given.pop("number")
    if old is None:
        templates.add_item(actor=actor, application=application, number=number, item=given, reason=reason)
    elif removes:
        templates.remove_item(actor=actor, application=application, number=number, code=old.code, reason=reason)
    else:
        templates.edit_item(
            actor=actor, application=application, number=number, code=old.code, changes=given, reason=reason
        )


def _render_list(
    request: HttpRequest,
    application: Application,
    *,
    form: TemplateReasonForm | None = None,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    view = templates.template_view(request.user, application)
    lines = [{"item": each, "people": _by_people(each, application)} for each in view.items]
    phases = [
        {"title": phase.label, "lines": [line for line in lines if line["item"].phase == phase]}  # type: ignore[union-attr]
        for phase in Phase
    ]
    versions = ChecklistVersion.objects.filter(template=view.version.template_id).order_by("-number")
    context = {
        "place": "applications",
        "application": application,
        "view": view,
        "phases": [phase for phase in phases if phase["lines"]],
        "versions": list(versions[:_VERSIONS]),
        "form": form or TemplateReasonForm(initial={"number": view.version.number}),
        "refusal": refusal,
    }
    return render_page(request, "applications/checklist.html", context, status=status)


def _by_people(each: TemplateItem, application: Application) -> str:
    """Who proves it here: 'System', or people where the application lacks what the system needs."""
    here = each.prover if not each.needs or provable(each.needs, application) else each.otherwise
    return {"system": "System", "qa": "QA", "ops": "Ops"}[here]


def _render_item(
    request: HttpRequest,
    application: Application,
    old: TemplateItem | None,
    form: Any,
    *,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    view = templates.template_view(request.user, application)
    options = {"existing": old is not None, "system": old is not None and old.prover == "system"}
    initial = {**(old.to_document() if old else {}), "number": view.version.number}
    edits = isinstance(form, TemplateItemForm)
    context = {
        "place": "applications",
        "application": application,
        "view": view,
        "old": old,
        "form": form if edits else TemplateItemForm(initial=initial, **options),
        "removal": TemplateReasonForm(initial={"number": view.version.number}, auto_id="remove_%s") if edits else form,
        "refusal": refusal,
    }
    return render_page(request, "applications/checklist_item.html", context, status=status)
