"""Encrypts every stored secret anew under the first of CAUSEWAY_FIELD_KEYS, so that older keys can go."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import models, transaction

from controlplane.audit.trail import record
from controlplane.registry.secrets import EncryptedTextField, Sealed, SecretUnreadable, encrypted_fields, rotate

PAGE = 500


class Command(BaseCommand):
    help = "Encrypt stored secrets anew under the first field key. Put the new key first, run this, then drop the old."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only check that every secret opens")

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable: list[str] = []
        done = 0
        for model, field in encrypted_fields(apps.get_models):
            done += rotate_field(model, field, dry_run=options["dry_run"], unreadable=unreadable)
        if not options["dry_run"]:
            with transaction.atomic():
                record(
                    action="field_keys.rotated",
                    actor=f"cli:{getpass.getuser()}",
                    payload={"rotated": done, "unreadable": unreadable},
                )
        if unreadable:
            raise CommandError(f"No key opens: {', '.join(unreadable)}. Keep the old key.", returncode=1)
        self.stdout.write(f"{done} secrets {'can be opened' if options['dry_run'] else 'encrypted anew'}.")


def rotate_field(model: type[models.Model], field: EncryptedTextField, *, dry_run: bool, unreadable: list[str]) -> int:
    """Rotates one column in keyset pages; returns how many secrets. What doesn't open is named in `unreadable`."""
    count, last = 0, None
    rows = model._default_manager.order_by("pk").values_list("pk", field.attname)
    while page := list((rows if last is None else rows.filter(pk__gt=last))[:PAGE]):
        last = page[-1][0]
        for key, sealed in page:
            if not isinstance(sealed, Sealed):
                continue
            try:
                fresh = rotate(sealed.token)
            except SecretUnreadable:
                unreadable.append(f"{model._meta.label_lower}.{field.name} of {key}")
                continue
            count += 1
            if not dry_run:
                _replace(model, field, key, sealed.token, fresh)
    return count


def _replace(model: type[models.Model], field: EncryptedTextField, key: Any, old: str, fresh: str) -> None:
    """Writes the new token unless the row got another secret meanwhile (that one is under the new key already)."""
    with transaction.atomic():
        current = (
            model._default_manager.select_for_update().filter(pk=key).values_list(field.attname, flat=True).first()
        )
        if isinstance(current, Sealed) and current.token == old:
            model._default_manager.filter(pk=key).update(**{field.attname: Sealed(fresh)})
