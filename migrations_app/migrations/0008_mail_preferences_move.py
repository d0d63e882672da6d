"""What people said about mails moves to where every app can ask for it: controlplane/mail."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def _copy(apps: Apps, alias: str, source: str, destination: str) -> None:
    """On the database that is migrated, which need not be the default one."""
    old = apps.get_model(source, "MailPreference").objects.using(alias)
    rows = old.values("user_id", "topic", "wanted", "changed_at")
    there = apps.get_model(destination, "MailPreference")
    there.objects.using(alias).bulk_create([there(**row) for row in rows.iterator()], 500, ignore_conflicts=True)


def forward(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _copy(apps, schema_editor.connection.alias, "migrations_app", "mail")


def back(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _copy(apps, schema_editor.connection.alias, "mail", "migrations_app")


class Migration(migrations.Migration):
    dependencies = [("migrations_app", "0007_records_append_only"), ("mail", "0002_mail_preferences")]
    operations = [migrations.RunPython(forward, back, elidable=True), migrations.DeleteModel("MailPreference")]
