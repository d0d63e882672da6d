"""The person's own password."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from controlplane.people import changes
from migrations_app.forms import NewPasswordForm, Proof
from migrations_app.services import account, second_factor
from migrations_app.views.common import page, person_of, render_page
from migrations_app.views.confirm import confirm


@sensitive_post_parameters()
@page
@require_http_methods(["GET", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    """Asks for the old one even where a proof holds: a screen that was left open must not give the account away."""
    person = person_of(request)
    proof = Proof(enrolled=second_factor.factor_of(person) is not None)
    form = NewPasswordForm(request.POST or None, proof=proof, person=person)
    status = 200
    if request.method == "POST":
        if not form.is_valid():
            status = 400
        elif not confirm(request, form):
            status = 403
        else:
            account.change_password(actor=person, new=form.cleaned_data["new_password"], reauthenticated=True)
            update_session_auth_hash(request, person)
            messages.success(request, "Your password is changed. Other browsers that were signed in as you are out.")
            return HttpResponseRedirect(reverse("password"))
    context = {"place": "account", "form": form, "resting": changes.resting(person)}
    return render_page(request, "password.html", context, status=status)
