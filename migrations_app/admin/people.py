"""Accounts: superusers add and change them, nobody deletes one, and the trail says what was done.

Roles are not given here but on an application's page. What other packages keep (results of tasks, attempts to sign in)
is to be looked at.
"""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django_celery_results.models import GroupResult, TaskResult

from controlplane.audit.admin import ReadOnlyAdmin
from controlplane.audit.trail import record
from controlplane.mail.models import MailPreference
from controlplane.people import changes
from controlplane.people.models import AccountChange
from migrations_app.admin.ruled import ServicesRule

for _model in (User, Group, TaskResult, GroupResult, AccessAttempt, AccessFailureLog, AccessLog):
    admin.site.unregister(_model)


class SuperusersOnly:
    """Whoever could change an account could make it a superuser's: so no permission of Django's is enough."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # A name that signed something must go on meaning one person: an account is made inactive instead.
        return False


@admin.register(User)
class PersonAdmin(SuperusersOnly, UserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # A name that signed something must go on meaning one person; and who signed in when is not anyone's to write.
        return ("username", "last_login", "date_joined") if obj is not None else ("last_login", "date_joined")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic(), changes.made_by(request.user.get_username()):
            super().save_model(request, obj, form, change)
            if change and "email" in form.changed_data and obj.pk != request.user.pk:
                before = str(form.initial.get("email") or "")
                changes.note(
                    person=obj, what=AccountChange.What.ADDRESS, by=request.user.get_username(), address_before=before
                )

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        """Together with what makes it visible, or not at all. Nobody's own: that needs the old password."""
        if str(request.user.pk) == id and self.has_change_permission(request):
            return HttpResponseRedirect(reverse("password"))
        with transaction.atomic(), changes.made_by(request.user.get_username()):
            return super().user_change_password(request, id, form_url)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return _noted("person.added", super().log_addition(request, obj, message), request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return _noted("person.changed", super().log_change(request, obj, message), request, obj, message)


@admin.register(Group)
class GroupOfPeopleAdmin(SuperusersOnly, GroupAdmin):
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return _noted("person.changed", super().log_addition(request, obj, message), request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return _noted("person.changed", super().log_change(request, obj, message), request, obj, message)


def _noted(action: str, entry: Any, request: HttpRequest, about: Any, message: Any) -> Any:
    """The trail names the fields that were changed, never what was typed."""
    parts = message if isinstance(message, list) else []
    fields = [name for part in parts if isinstance(part, dict) for name in part.get("changed", {}).get("fields", [])]
    with transaction.atomic():
        record(action=action, actor=request.user, role="superuser", obj=about, payload={"fields": fields})
    return entry


@admin.register(MailPreference)
class MailPreferenceAdmin(ServicesRule):
    of = ""
    list_display = ("user", "topic", "wanted", "changed_at")
    list_filter = ("topic", "wanted")
    search_fields = ("user__username",)
    list_select_related = ("user",)


class LookOnly(ReadOnlyAdmin):
    """Of other packages, and of no application: superusers look."""

    list_per_page = 50

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)


@admin.register(TaskResult)
class TaskResultAdmin(LookOnly):
    list_display = ("task_id", "task_name", "status", "date_created", "date_done", "worker")
    list_filter = ("status", "task_name")
    search_fields = ("=task_id", "task_name")


@admin.register(GroupResult)
class GroupResultAdmin(LookOnly):
    list_display = ("group_id", "date_created", "date_done")


@admin.register(AccessAttempt, AccessFailureLog)
class AttemptAdmin(LookOnly):
    list_display = ("attempt_time", "username", "ip_address", "path_info")
    search_fields = ("=username", "=ip_address")


@admin.register(AccessLog)
class AccessLogAdmin(LookOnly):
    list_display = ("attempt_time", "logout_time", "username", "ip_address")
    search_fields = ("=username", "=ip_address")
