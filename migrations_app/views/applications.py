"""Applications: what is moved, by whom, how far each is, and what it still lacks; registering one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.db.models import OuterRef, Prefetch, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from controlplane.registry.models import Application, Host, Membership, Role
from migrations_app.forms.applications import RegisterForm
from migrations_app.models import MigrationRun
from migrations_app.services import gaps, members, permissions, registration
from migrations_app.services.errors import FieldsRefused, ServiceRefused
from migrations_app.views.application_facts import section_lines
from migrations_app.views.common import note_refusal, page, person_of, render_page
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
    may_register = is_ops or registration.may_register(request.user)
    context = {"place": "applications", "lines": lines, "may_register": may_register}
    return render_page(request, "applications/list.html", context)


@page
@require_http_methods(["GET", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    """A name and a host; everything else is filled in on the application's page, in any order."""
    form = RegisterForm(request.POST or None)
    refusal, status = None, 200
    if request.method == "POST" and form.is_valid():
        try:
            made = registration.register_application(actor=request.user, **form.cleaned_data)
            messages.success(request, f"{made.name} is registered. Fill in what is missing, in any order.")
            return HttpResponseRedirect(reverse("application", args=[made.name]))
        except FieldsRefused as refused:
            for field, sentence in refused.fields.items():
                form.add_error(field, sentence)
            status = refused.status
        except ServiceRefused as refused:
            note_refusal(request, refused, about="application", application="", tried="register an application")
            refusal, status = refused, refused.status
    elif request.method == "POST":
        status = 400
    context = {
        "place": "applications",
        "form": form,
        "refusal": refusal,
        "may_register": registration.may_register(request.user),
        "hosts": Host.objects.values_list("name", flat=True) if registration.may_register(request.user) else [],
    }
    return render_page(request, "applications/register.html", context, status=status)


@page
@require_GET
def show(request: HttpRequest, name: str) -> HttpResponse:
    application = visible_application(request, name)
    people = Prefetch(
        "memberships", queryset=Membership.objects.select_related("user").order_by("role", "user__username")
    )
    application = Application.objects.prefetch_related(people).get(pk=application.pk)
    held: dict[str, list[str]] = {role: [] for role in Role.values}
    active: set[str] = set()
    for membership in application.memberships.all():
        held[membership.role].append(membership.user.get_username())
        if membership.user.is_active and not membership.user.is_superuser:
            active.add(membership.role)
    host = Host.objects.filter(name=application.host).first()
    missing = gaps.gaps_of(application, host, active)
    plans = list(application.plans.select_related("author").order_by("-revision")[:SHOWN])
    mine = permissions.roles_of(request.user, application)
    lines = section_lines(request.user, application, host, missing)
    context = {
        "place": "applications",
        "application": application,
        "host": host,
        "sections": lines,
        "may_change": any(line.offer.allowed for line in lines),
        "who_changes": next((line.offer.who for line in lines if not line.offer.allowed and line.offer.who), ""),
        "why_not": next((line.offer.why for line in lines if not line.offer.allowed and not line.offer.who), ""),
        "may_manage": members.may_manage(request.user),
        "people": [{"role": Role(role).label, "names": ", ".join(names)} for role, names in held.items()],
        "runs": list(application.runs.select_related("plan", "requested_by").order_by("-pk")[:SHOWN]),
        "plans": plans,
        "may_act": bool(mine & {Role.OPS, Role.LEAD}),
        "who_may": permissions.who_can(application, ("ops", "lead")),
        "has_ready_plan": any(plan.state in ("draft", "submitted") for plan in plans),
        **_readiness(missing, {line.section.name for line in lines if line.state == "unchecked"}),
    }
    return render_page(request, "applications/detail.html", context)


def _readiness(missing: Sequence[gaps.Gap], unchecked: set[str]) -> dict[str, Any]:
    """What is missing for each goal, the sentence that says how far it is, and the section to go on with.

    What no worker has looked at is not called ready, although every run looks again before it begins.
    """
    goal = gaps.next_goal(missing)
    first = next((gap for gap in missing if gap.stops == goal and gap.section != "people"), None)
    goals = [
        {
            "name": name,
            "word": {"plan": "Plan", "rehearsal": "Rehearsal", "production": "Production run"}[name],
            "gaps": [gap for gap in missing if gap.stops == name],
            "ready": name not in _stopped(missing),
            "state": _goal_state(name, missing, unchecked),
        }
        for name in gaps.GOALS
    ]
    return {
        "goals": goals,
        "goal": goal,
        "goal_word": gaps.GOALS.get(goal, ""),
        "missing_count": sum(1 for gap in missing if gap.stops == goal),
        "next_gap": first,
        "ready_to_plan": gaps.PLAN not in _stopped(missing),
    }


def _goal_state(goal: str, missing: Sequence[gaps.Gap], unchecked: set[str]) -> str:
    if goal in _stopped(missing):
        return "missing"
    return (
        "unchecked" if unchecked & ({"source"} if goal == gaps.PLAN else {"source", "target", "rehearsal"}) else "ready"
    )


def _stopped(missing: Sequence[gaps.Gap]) -> set[str]:
    """A goal is stopped by what is missing for it and for those before it."""
    order = list(gaps.GOALS)
    first = min((order.index(gap.stops) for gap in missing), default=len(order))
    return set(order[first:])
