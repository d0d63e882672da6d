"""Applications: what is moved, by whom, and how far each is."""

from __future__ import annotations

from django.db.models import OuterRef, Prefetch, Subquery
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from controlplane.registry.models import Application, Membership, Role
from migrations_app.models import MigrationRun
from migrations_app.services import permissions
from migrations_app.views.common import page, person_of, render_page
from migrations_app.views.found import visible_application

SHOWN = 12


@page
@require_GET
def show_all(request: HttpRequest) -> HttpResponse:
    newest = MigrationRun.objects.filter(application=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    found = list(Application.objects.visible_to(request.user).annotate(last_run_id=Subquery(newest)).order_by("name"))
    runs = MigrationRun.objects.in_bulk([row.last_run_id for row in found if row.last_run_id])  # type: ignore[attr-defined]
    roles: dict[int, list[str]] = {}
    for key, role in Membership.objects.filter(user=person_of(request)).values_list("application", "role"):
        roles.setdefault(key, []).append(Role(role).label)
    lines = [
        {"row": row, "run": runs.get(row.last_run_id), "roles": ", ".join(roles.get(row.pk, []))}  # type: ignore[attr-defined]
        for row in found
    ]
    is_ops = any(Role.OPS.label in held for held in roles.values())
    may_register = request.user.is_staff and (request.user.is_superuser or is_ops)
    context = {"place": "applications", "lines": lines, "may_register": may_register}
    return render_page(request, "applications/list.html", context)


@page
@require_GET
def show(request: HttpRequest, name: str) -> HttpResponse:
    application = visible_application(request, name)
    people = Prefetch(
        "memberships", queryset=Membership.objects.select_related("user").order_by("role", "user__username")
    )
    application = Application.objects.prefetch_related(people).get(pk=application.pk)
    held: dict[str, list[str]] = {role: [] for role in Role.values}
    for membership in application.memberships.all():
        held[membership.role].append(membership.user.get_username())
    plans = list(application.plans.select_related("author").order_by("-revision")[:SHOWN])
    mine = permissions.roles_of(request.user, application)
    context = {
        "place": "applications",
        "application": application,
        "may_edit": request.user.is_staff and (request.user.is_superuser or Role.OPS in mine),
        "people": [{"role": Role(role).label, "names": ", ".join(names)} for role, names in held.items()],
        "runs": list(application.runs.select_related("plan", "requested_by").order_by("-pk")[:SHOWN]),
        "plans": plans,
        "may_act": bool(mine & {Role.OPS, Role.LEAD}),
        "who_may": permissions.who_can(application, ("ops", "lead")),
        "has_ready_plan": any(plan.state in ("draft", "submitted") for plan in plans),
    }
    return render_page(request, "applications/detail.html", context)
