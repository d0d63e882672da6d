"""Signing in and out, and the theme."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model, login
from django.contrib.auth.views import LoginView, LogoutView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from migrations_app.forms import CodeForm, SignInForm
from migrations_app.services.second_factor import factor_of
from migrations_app.views.confirm import WRONG_CODE, note, read_moment, right_code

YEAR = 365 * 24 * 3600
SECOND_STEP = "second_step"  # in the session: whose password was right, when, and where to go then
SECOND_STEP_LASTS = timedelta(minutes=5)
BACKEND = "django.contrib.auth.backends.ModelBackend"


class SignIn(LoginView):
    """The sign-in page. Failures are counted by name and address, and both ends stand in the trail."""

    template_name = "login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: Any) -> HttpResponse:
        person = form.get_user()
        if factor_of(person) is not None:
            self.request.session[SECOND_STEP] = {
                "person": person.pk,
                "hash": person.get_session_auth_hash(),
                "at": timezone.now().isoformat(),
                "next": self.get_redirect_url(),
            }
            return HttpResponseRedirect(reverse("login_code"))
        note("person.signed_in", person.get_username())
        return super().form_valid(form)

    def form_invalid(self, form: Any) -> HttpResponse:
        locked = bool(getattr(self.request, "axes_locked_out", False))
        note("person.locked_out" if locked else "person.sign_in_failed", form.data.get("username", "")[:150] or "?")
        answer = super().form_invalid(form)
        answer.status_code = 401
        return answer


@never_cache
@require_http_methods(["GET", "POST"])
def second_step(request: HttpRequest) -> HttpResponse:
    """After a right password, the authenticator's code; only then is the person signed in."""
    person = _whose_password_was_right(request)
    if person is None:
        return HttpResponseRedirect(reverse("login"))
    form = CodeForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return render(request, "login_code.html", {"form": form}, status=200 if request.method == "GET" else 400)
    if not right_code(request, person, form.cleaned_data["code"]):
        locked = bool(getattr(request, "axes_locked_out", False))
        note("person.locked_out" if locked else "person.sign_in_failed", person.get_username())
        form.add_error("code", WRONG_CODE)
        return render(request, "login_code.html", {"form": form}, status=401)
    following = request.session.pop(SECOND_STEP).get("next") or reverse("runs")
    note("person.signed_in", person.get_username())
    login(request, person, backend=BACKEND)
    return HttpResponseRedirect(following)


def _whose_password_was_right(request: HttpRequest) -> Any:
    """None where there is none, or it was too long ago, or the account has changed since."""
    kept = request.session.get(SECOND_STEP) or {}
    at = read_moment(str(kept.get("at", "")))
    if at is None or not at <= timezone.now() < at + SECOND_STEP_LASTS:
        return None
    person = get_user_model().objects.filter(pk=kept.get("person"), is_active=True).first()
    if person is None or not constant_time_compare(person.get_session_auth_hash(), kept.get("hash", "")):
        return None
    return person


class SignOut(LogoutView):
    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            note("person.signed_out", request.user.get_username())
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
