"""An alert's history takes new rows only: triggers refuse changes and deletions."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from controlplane.audit import append_only

_TABLES = ("monitoring_app_alertevent",)


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.install(schema_editor.connection, _TABLES)


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    append_only.remove(schema_editor.connection, _TABLES)


class Migration(migrations.Migration):
    dependencies = [("monitoring_app", "0002_judged_until")]
    operations = [migrations.RunPython(install, remove, elidable=False)]
