"""The certificate of a run that is over: can I show this to somebody who wasn't there?"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from migrations_app.views.common import page, render_page, run_frame, visible_run


@page
@require_GET
def show(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request, number)
    return render_page(request, "runs/certificate.html", run_frame(run, "certificate"))
