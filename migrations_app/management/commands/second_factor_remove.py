"""Take the second factor off a person's account, for a phone and recovery codes that are lost. Stands in the trail.

Make sure by another way that it is the person who asks. Exit status: 0 removed, 2 there was none.
"""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from migrations_app.services.errors import ServiceRefused
from migrations_app.services.second_factor import remove_factor_by_operator


class Command(BaseCommand):
    help = "Take the second factor off a person's account."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the name with which the person signs in")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            remove_factor_by_operator(name=options["name"], login=getpass.getuser())
        except ServiceRefused as refused:
            raise CommandError(f"{refused.code}: {refused.message}", returncode=2) from None
        self.stdout.write(f"{options['name']} signs in with the password alone now.")
