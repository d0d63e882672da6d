"""Who has a second factor, and what was changed about accounts, for superusers; read-only.

A lost second factor is removed by the command second_factor_remove.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from controlplane.people.models import AccountChange, SecondFactor


class SuperusersLook(admin.ModelAdmin):  # type: ignore[type-arg]
    search_fields = ("user__username",)
    list_select_related = ("user",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(SecondFactor)
class SecondFactorAdmin(SuperusersLook):
    list_display = ("user", "created_at", "confirmed_at")
    fields = ("user", "created_at", "confirmed_at")


@admin.register(AccountChange)
class AccountChangeAdmin(SuperusersLook):
    list_display = ("user", "what", "by", "at", "counts_again_at")
    list_filter = ("what",)
    fields = ("user", "what", "by", "at", "counts_again_at", "address_before")
