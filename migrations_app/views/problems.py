"""Our own pages for what goes wrong: what happened, what is safe, what to do. Never a traceback."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse


def _problem(request: HttpRequest, status: int, code: str, title: str, meaning: str, label: str) -> HttpResponse:
    problem = {"title": title, "meaning": meaning, "code": code, "label": label, "url": reverse("runs")}
    return render(request, "components/problem.html", {"problem": problem}, status=status)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    meaning = "The request was not one that this product understands. Nothing was changed."
    return _problem(request, 400, "400 BAD_REQUEST", "That can't be read", meaning, "Back to the runs")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    meaning = "You don't have the right for this. Nothing was changed. Someone with the role, or a superuser, can help."
    return _problem(request, 403, "403 FORBIDDEN", "Not yours to do", meaning, "Back to the runs")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    meaning = "There is nothing at this address, or it belongs to an application that you are no member of."
    return _problem(request, 404, "404 NOT_FOUND", "Nothing here", meaning, "Back to the runs")


def server_error(request: HttpRequest) -> HttpResponse:
    meaning = (
        "This is a fault of Causeway, not of your data. Runs go on without these pages: "
        "what is under way is not touched by this."
    )
    # No query may run here: the database may be the reason.
    return _problem(request, 500, "500 ERRORED", "Something broke on our side", meaning, "Try again")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    meaning = "The page was too old, or it was not ours. Nothing was changed. Open it again and repeat what you did."
    return _problem(request, 403, "403 CSRF_FAILED", "Not sent by this page", meaning, "Back to the runs")
