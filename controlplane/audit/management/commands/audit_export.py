"""Exports the trail for an auditor. Exit status: 0 written, 2 refused."""

import getpass
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from controlplane.audit.errors import AuditError
from controlplane.audit.export import export_trail


class Command(BaseCommand):
    help = "Write the audit trail as JSON Lines with its checkpoints and a manifest, for the stand-alone verifier."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--output", type=Path, required=True, metavar="DIR|FILE.zip", help="a new folder, or a new zip file"
        )
        parser.add_argument("--application", metavar="SLUG", help="only this application's events with their content")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            result = export_trail(
                output=options["output"], actor=f"cli:{getpass.getuser()}", application=options["application"]
            )
        except AuditError as error:
            raise CommandError(f"REFUSED ({error.code}): {error.message} {error.hint}", returncode=2) from error
        except DatabaseError as error:
            text = "REFUSED: the trail can't be read. Is the database there, and has `migrate` been run?"
            raise CommandError(text, returncode=2) from error
        self.stdout.write(f"{result.path}: {result.events} events, {result.included} with content. Head {result.head}.")
