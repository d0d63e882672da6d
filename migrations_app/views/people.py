"""Who holds which role on an application, and giving and taking roles."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from controlplane.people.changes import resting_among
from controlplane.registry.models import Application, Membership, Role
from migrations_app.forms.applications import RoleForm
from migrations_app.services import members
from migrations_app.services.errors import FieldsRefused, ServiceRefused
from migrations_app.views.common import note_refusal, page, render_page
from migrations_app.views.found import visible_application

OFFERED = 200  # names of accounts that are suggested
DUTIES = {
    Role.LEAD: "approves plans, says go, signs off",
    Role.QA: "proves what people must see, accepts",
    Role.OPS: "runs it, says go, signs off; changes what is registered",
    Role.VIEWER: "sees everything, touches nothing",
}


@page
@require_http_methods(["GET", "POST"])
def show(request: HttpRequest, name: str) -> HttpResponse:
    application = visible_application(request, name)
    form = RoleForm(request.POST if "person" in request.POST else None)
    refusal, status = None, 200
    if request.method == "POST":
        try:
            said = _change(request, application, form)
            if said:
                messages.success(request, said)
                return HttpResponseRedirect(reverse("application_people", args=[application.name]))
            status = 400
        except FieldsRefused as refused:
            for field, sentence in refused.fields.items():
                form.add_error(field, sentence)
            status = refused.status
        except ServiceRefused as refused:
            note_refusal(request, refused, about=application, application=application.name, tried="change roles")
            refusal, status = refused, refused.status
    held = Membership.objects.filter(application=application).select_related("user")
    resting = resting_among({row.user_id for row in held})
    for row in held:
        row.rest = resting.get(row.user_id)  # type: ignore[attr-defined]
    may = members.may_manage(request.user)
    context = {
        "place": "applications",
        "application": application,
        "roles": [
            {"label": role.label, "duty": duty, "held": [row for row in held if row.role == role]}
            for role, duty in DUTIES.items()
        ],
        "form": form,
        "may_manage": may,
        "who_manages": members.who_manages(),
        "accounts": _accounts() if may else [],
        "refusal": refusal,
    }
    return render_page(request, "applications/people.html", context, status=status)


def _change(request: HttpRequest, application: Application, form: RoleForm) -> str:
    """What was done; '' when the form is wrong."""
    take = request.POST.get("take", "")
    if take:
        number = int(take) if take.isascii() and take.isdigit() and len(take) < 19 else 0
        members.revoke_role(actor=request.user, application=application, membership_id=number)
        return "The role is taken. Signatures given in it that were not used yet have lapsed."
    if not form.is_valid():
        return ""
    made = members.grant_role(actor=request.user, application=application, **form.cleaned_data)
    return f"{made.user.get_username()} is now {made.get_role_display()}."


def _accounts() -> list[str]:
    people = User.objects.filter(is_active=True, is_superuser=False).order_by("username")
    return list(people.values_list("username", flat=True)[:OFFERED])
