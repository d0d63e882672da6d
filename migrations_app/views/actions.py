"""Submit, start, hold, resume, cancel, give up: one press, or first a page that asks for the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from migrations_app.forms import ReasonForm
from migrations_app.models import MigrationRun
from migrations_app.services import permissions, runs
from migrations_app.services.errors import ServiceRefused
from migrations_app.views.common import note_refusal, page, render_page, run_frame, visible_run

# action: (the question, what happens then, whether a reason is asked)
QUESTIONS: dict[str, tuple[str, str, bool]] = {
    "submit": ("Submit run {run} for approval?", "The plan is frozen and gate 1 opens for a team lead.", False),
    "start": ("Start run {run}?", "The first step begins. The run stops by itself at every gate.", False),
    "hold": (
        "Hold run {run}?",
        "The step that runs now is finished, then nothing more happens until someone resumes the run. "
        "Nothing is undone.",
        True,
    ),
    "resume": ("Resume run {run}?", "The step that stopped is done once more, then the run goes on.", False),
    "retry": (
        "Try the step of run {run} again?",
        "The step that stopped is done once more, then the run goes on.",
        False,
    ),
    "cancel": ("Cancel run {run}?", "The run ends before it has begun. It can't be taken up again.", True),
    "fail": (
        "Give up run {run}?",
        "The run ends as failed. The application was not stopped and goes on with SQLite.",
        True,
    ),
}
DONE = {
    "submit": "Submitted. A team lead can sign gate 1 now.",
    "start": "Started.",
    "hold": "The run will hold after the step that runs now.",
    "resume": "The run goes on.",
    "retry": "The step is done again.",
    "cancel": "Cancelled.",
    "fail": "Ended as failed.",
}


@page
@require_http_methods(["GET", "POST"])
def act(request: HttpRequest, number: int, action: str) -> HttpResponse:
    if action not in QUESTIONS:
        raise Http404("There is no such action.")
    run = visible_run(request, number)
    with_reason = QUESTIONS[action][2]
    form = ReasonForm(request.POST or None)
    if request.method == "GET":
        return _ask(request, run, action, form if with_reason else None)
    if with_reason and not form.is_valid():
        return _ask(request, run, action, form, status=400)
    try:
        _service(action)(
            actor=request.user, run=run, **({"reason": form.cleaned_data["reason"]} if with_reason else {})
        )
    except ServiceRefused as refused:
        note_refusal(request, refused, about=run, application=run.application.name, tried=f"{action} the run")
        return _ask(request, run, action, form if with_reason else None, refusal=refused, status=refused.status)
    messages.success(request, DONE[action])
    return HttpResponseRedirect(reverse("run", args=[run.pk]))


def _service(action: str) -> Callable[..., Any]:
    services: dict[str, Callable[..., Any]] = {
        "submit": runs.submit_run,
        "start": runs.start_run,
        "hold": runs.hold_run,
        "resume": runs.resume_run,
        "retry": runs.resume_run,
        "cancel": runs.cancel_run,
        "fail": runs.fail_run,
    }
    return services[action]


def _ask(
    request: HttpRequest,
    run: MigrationRun,
    action: str,
    form: ReasonForm | None,
    *,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    question, then, _ = QUESTIONS[action]
    offers = permissions.offers(request.user, run)
    context = {
        **run_frame(run, "run"),
        "action": action,
        "question": question.format(run=run.pk),
        "then": then,
        "offer": offers["resume" if action == "retry" else action],
        "form": form,
        "refusal": refusal,
    }
    return render_page(request, "runs/action.html", context, status=status)
