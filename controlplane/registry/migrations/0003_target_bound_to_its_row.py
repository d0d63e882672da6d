"""A target's address is bound to its row: until now a writer of the database could move it to another application."""

from typing import Any

from django.db import migrations

import controlplane.registry.secrets
from controlplane.registry.secrets import Sealed, SecretUnreadable, seal, unseal

PLACE = "registry.application.target_url"


def _reseal(apps: Any, old: str, new: str) -> None:
    """Sealed under the context `old` becomes sealed under `new`; what doesn't open stays, and says so when it is read."""
    model = apps.get_model("registry", "Application")
    for key, row, sealed in model.objects.values_list("pk", "uuid", "target_url"):
        if not isinstance(sealed, Sealed):
            continue
        try:
            text = unseal(sealed.token, old.format(row=row))
        except SecretUnreadable:
            continue
        model.objects.filter(pk=key).update(target_url=Sealed(seal(text, new.format(row=row))))


def bind(apps: Any, schema_editor: Any) -> None:
    _reseal(apps, PLACE, PLACE + "#{row}")


def loosen(apps: Any, schema_editor: Any) -> None:
    _reseal(apps, PLACE + "#{row}", PLACE)


class Migration(migrations.Migration):

    dependencies = [("registry", "0002_drafts_hosts_and_looks")]

    operations = [
        migrations.RunPython(bind, loosen),
        migrations.AlterField(
            model_name='application',
            name='target_url',
            field=controlplane.registry.secrets.EncryptedTextField(bind_to='uuid', blank=True, help_text='postgresql://user:password@host:port/database; stored encrypted, never shown.'),
        ),
    ]
