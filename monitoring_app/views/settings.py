"""What is watched of an application: volumes, logs, endpoints, replicas, the monitor's own role."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from controlplane.refusals import FieldsRefused, ServiceRefused
from monitoring_app.forms import TargetForm
from monitoring_app.models import Target
from monitoring_app.services import targets
from monitoring_app.services.markers import cut_over_of
from monitoring_app.services.permissions import require_change
from monitoring_app.views.common import page, person_of, refused, render_page, target_frame, target_of


@page
@require_http_methods(["GET", "POST"])
def show(request: HttpRequest, name: str) -> HttpResponse:
    target = target_of(request, name)
    if request.method == "GET":
        return _page(request, target, TargetForm(target=target))
    form = TargetForm(request.POST, target=target)
    try:
        require_change(request.user, target.application, "change what is watched")
        if not form.is_valid():
            return _page(request, target, form, status=400)
        changed = targets.change(target=target, actor=person_of(request), values=form.values())
    except FieldsRefused as refusal:
        for field, sentence in refusal.fields.items():
            form.add_error(field if field in form.fields else None, sentence)
        return _page(request, target, form, status=refusal.status)
    except ServiceRefused as refusal:
        said = refused(request, refusal, about=target, application=name, tried="change what is watched")
        return _page(request, target, form, status=refusal.status, **said)
    except targets.TargetUnusable as unusable:
        form.add_error("monitor_url", f"{unusable.message} {unusable.hint}".strip())
        return _page(request, target, form, status=400)
    messages.success(request, "Saved: the next round measures it." if changed else "Nothing was changed.")
    return HttpResponseRedirect(reverse("target_settings", args=[name]))


def _page(request: HttpRequest, target: Target, form: TargetForm, *, status: int = 200, **more: Any) -> HttpResponse:
    context = {
        **target_frame(request, target, "settings"),
        "cut_over": cut_over_of(target.application),
        "form": form,
        "has_monitor": bool(str(target.monitor_url)),
        "endpoints": target.application.endpoints,
        **more,
    }
    return render_page(request, "monitoring/settings.html", context, status=status)
