"""Prints the public key that verifies the trail's checkpoints. Exit status: 0, or 2 where there is no usable key."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from controlplane.audit import signing
from controlplane.audit.errors import KeyUnusable


class Command(BaseCommand):
    help = "Print the public key of the audit trail as PEM, for the auditor to keep."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--create", action="store_true", help="make the key first, where CAUSEWAY_AUDIT_KEY_FILE is none"
        )
        parser.add_argument("--fingerprint", action="store_true", help="print the fingerprint alone")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["create"]:
                signing.create_key(signing.key_path())
            shown = (
                signing.fingerprint_of(signing.public_key())
                if options["fingerprint"]
                else signing.public_pem().rstrip()
            )
        except KeyUnusable as error:
            raise CommandError(f"REFUSED ({error.code}): {error.message} {error.hint}", returncode=2) from error
        self.stdout.write(shown)
