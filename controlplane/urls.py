"""Where everything is."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from migrations_app.views import session

urlpatterns = [
    path("admin/login/", session.admin_entry),
    path("admin/logout/", session.SignOut.as_view()),
    path("admin/password_change/", RedirectView.as_view(pattern_name="password")),
    path("admin/", admin.site.urls),
    path("", include("monitoring_app.urls")),
    path("", include("migrations_app.urls")),
]

handler400 = "migrations_app.views.problems.bad_request"
handler403 = "migrations_app.views.problems.forbidden"
handler404 = "migrations_app.views.problems.not_found"
handler500 = "migrations_app.views.problems.server_error"
