"""Applications and who holds which role on them. Every change stands in the trail; secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from controlplane.audit.trail import record
from controlplane.registry.models import Application, Membership, Role

SECRETS = ("target_url", "rehearsal_target_url")
KEPT = "Stored encrypted, never shown. Leave it empty to keep what is there."


class ApplicationForm(forms.ModelForm):  # type: ignore[type-arg]
    """The description, and write-only fields for the addresses that hold passwords."""

    target_url = forms.CharField(
        label="Target's address",
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "size": 60}),
        help_text="postgresql://user:password@host:port/database",
    )
    rehearsal_target_url = forms.CharField(
        label="Rehearsals' server",
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "size": 60}),
        help_text="Where scratch databases may be created; empty: the target's own server.",
    )

    class Meta:
        model = Application
        exclude = SECRETS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            for name in SECRETS:
                self.fields[name].help_text = f"{KEPT} {self.fields[name].help_text}"

    def clean_target_url(self) -> str:
        text: str = self.cleaned_data["target_url"]
        if not text and not self.instance.pk:
            raise forms.ValidationError("An application needs the address of its target.")
        return _checked_address(text)

    def clean_rehearsal_target_url(self) -> str:
        return _checked_address(self.cleaned_data["rehearsal_target_url"])

    def save(self, commit: bool = True) -> Any:
        """Secrets are assigned to the instance: the field encrypts them for exactly this row."""
        for name in SECRETS:
            if self.cleaned_data[name]:
                setattr(self.instance, name, self.cleaned_data[name])
        return super().save(commit)


def _checked_address(text: str) -> str:
    """Shape only, and without ever quoting what was typed: what the address accepts is for the engine to say."""
    if text and not text.startswith(("postgresql://", "postgres://")):
        raise forms.ValidationError("It must begin with postgresql://.")
    if any(ord(letter) < 32 for letter in text):
        raise forms.ValidationError("It holds control characters.")
    return text


def _is_ops(user: Any, application: Application | None = None) -> bool:
    rows = Membership.objects.filter(user=user, role=Role.OPS)
    return rows.exists() if application is None else rows.filter(application=application).exists()


@admin.register(Application)
class ApplicationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Ops of the application (with access to this site) and superusers change it. Nobody deletes it: its runs stay."""

    form = ApplicationForm
    list_display = ("name", "title", "host", "schema_mode", "target_schema", "created_at")
    list_filter = ("schema_mode", "host")
    search_fields = ("name", "title", "host")
    readonly_fields = ("created_at",)
    fieldsets = (
        (None, {"fields": ("name", "title", "host", "source_path", "busy_timeout_ms")}),
        ("Target", {"fields": ("target_url", "rehearsal_target_url", "target_schema", "schema_mode")}),
        ("How it runs", {"fields": ("processes", "commands", "pointing", "rehearsal")}),
        ("How it proves that it is well", {"fields": ("endpoints", "identity", "encrypted_columns")}),
        (None, {"fields": ("created_at",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Application]:
        return Application.objects.visible_to(request.user).order_by("name")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # The name is typed in to confirm, and the trail filters by it: it stays.
        return (*self.readonly_fields, "name") if obj is not None else self.readonly_fields

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and (request.user.is_superuser or _is_ops(request.user))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request) and (request.user.is_superuser or _is_ops(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change and not request.user.is_superuser:
            # Who registers an application runs it; otherwise it would vanish from the own list at once.
            Membership.objects.create(application=obj, user=request.user, role=Role.OPS)  # type: ignore[misc]

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        entry = super().log_addition(request, obj, message)
        _record("application.registered", request, obj, obj.name, {})
        return entry

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        entry = super().log_change(request, obj, message)
        fields = [
            name for part in message if isinstance(part, dict) for name in part.get("changed", {}).get("fields", [])
        ]
        _record("application.changed", request, obj, obj.name, {"fields": fields})
        return entry


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Roles are given and taken by superusers, who hold none themselves. Never edited: one is taken, another given."""

    list_display = ("application", "user", "role", "created_at")
    list_filter = ("role", "application")
    search_fields = ("user__username", "application__name")
    autocomplete_fields = ("user", "application")
    list_select_related = ("application", "user")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        entry = super().log_addition(request, obj, message)
        _record("membership.granted", request, obj, obj.application.name, _whose(obj))
        return entry

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            application, whose, subject = obj.application.name, _whose(obj), str(obj)
            super().delete_model(request, obj)
            _record("membership.revoked", request, subject, application, whose)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership in queryset.select_related("application", "user"):
            self.delete_model(request, membership)


def _whose(membership: Membership) -> dict[str, str]:
    return {"person": membership.user.get_username(), "role": membership.role}


def _record(action: str, request: HttpRequest, about: Any, application: str, payload: dict[str, Any]) -> None:
    role = "superuser" if request.user.is_superuser else Role.OPS.value
    with transaction.atomic():
        record(action=action, actor=request.user, role=role, obj=about, application=application, payload=payload)
