"""Signing in and out, the theme, and the proof that the person at the keyboard is still the same."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.views import LoginView, LogoutView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from controlplane.audit.trail import record
from migrations_app.forms import SignInForm

YEAR = 365 * 24 * 3600


def _note(action: str, name: str) -> None:
    with transaction.atomic():
        record(action=action, actor=name)


class SignIn(LoginView):
    """The sign-in page. Failures are counted by name and address, and both ends stand in the trail."""

    template_name = "login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: Any) -> HttpResponse:
        _note("person.signed_in", form.get_user().get_username())
        return super().form_valid(form)

    def form_invalid(self, form: Any) -> HttpResponse:
        locked = bool(getattr(self.request, "axes_locked_out", False))
        _note("person.locked_out" if locked else "person.sign_in_failed", form.data.get("username", "")[:150] or "?")
        answer = super().form_invalid(form)
        answer.status_code = 401
        return answer


class SignOut(LogoutView):
    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            _note("person.signed_out", request.user.get_username())
        return super().post(request, *args, **kwargs)


def admin_entry(request: HttpRequest) -> HttpResponse:
    """The admin site has no door of its own: one sign-in page, one trail. Who is in but not staff is told so."""
    if request.user.is_authenticated and not request.user.is_staff:
        raise PermissionDenied("The admin site is for staff.")
    return redirect_to_login(request.GET.get("next", reverse("admin:index")), reverse("login"))


@require_POST
def switch_theme(request: HttpRequest) -> HttpResponse:
    """Light to dark and back, kept in a cookie. Works without a script; who never chose follows the browser."""
    following = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(following, allowed_hosts={request.get_host()}):
        following = reverse("runs")
    answer = HttpResponseRedirect(following)
    wanted = "light" if request.COOKIES.get("theme") == "dark" else "dark"
    answer.set_cookie("theme", wanted, max_age=YEAR, samesite="Lax", secure=request.is_secure())
    return answer


def confirm_password(request: HttpRequest, password: str) -> bool:
    """Whether the password is the signed-in person's. Wrong ones count towards the lock, as at the sign-in."""
    if not password:
        return False
    confirmed = authenticate(request, username=request.user.get_username(), password=password)
    if confirmed is None or confirmed.pk != request.user.pk:
        return False
    _note("person.confirmed", confirmed.get_username())
    return True
