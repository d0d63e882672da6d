from typing import Final

from django.apps import AppConfig

from controlplane.audit import append_only

# What people signed on the strength of: written once. The schema migration has this list for itself.
KEPT: Final = (
    "migrations_app_certificate",
    "migrations_app_checklistversion",
    "migrations_app_itemchange",
    "migrations_app_resultfile",
    "migrations_app_testresult",
)


class MigrationsAppConfig(AppConfig):
    name = "migrations_app"
    label = "migrations_app"
    verbose_name = "Migrations"

    def ready(self) -> None:
        # Declares the looks of states: views ask for them before the first template has loaded its tags.
        from migrations_app.templatetags import states  # noqa: F401

        append_only.declare(KEPT, since=("migrations_app", "0007_records_append_only"))
