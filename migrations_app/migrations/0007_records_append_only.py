"""Results, proofs, checklists and certificates take new rows only: triggers refuse changes and deletions."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from controlplane.audit import append_only

_TABLES = (
    "migrations_app_certificate",
    "migrations_app_checklistversion",
    "migrations_app_itemchange",
    "migrations_app_resultfile",
    "migrations_app_testresult",
)


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.install(schema_editor.connection, _TABLES)


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.remove(schema_editor.connection, _TABLES)


class Migration(migrations.Migration):
    dependencies = [("migrations_app", "0006_certificates")]
    operations = [migrations.RunPython(install, remove, elidable=False)]
