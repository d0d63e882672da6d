"""Health of the registered applications. Exit status: 0 fine, 1 warning, 2 critical, 3 unknown."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from controlplane.registry.models import Application
from monitoring_app.probes.reading import SEVERITY, Health
from monitoring_app.services.health import HealthReport, check_health

EXIT = {Health.FINE: 0, Health.WARNING: 1, Health.CRITICAL: 2, Health.UNKNOWN: 3}
SHAPE = {Health.FINE: "●", Health.WARNING: "▲", Health.CRITICAL: "✕", Health.UNKNOWN: "?"}


class Command(BaseCommand):
    help = "Check the health of the applications and of their PostgreSQL."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--application", metavar="NAME", help="only this one")
        parser.add_argument("--detailed", action="store_true", help="row counts, size, connections by application")
        parser.add_argument("--postgres-only", action="store_true", help="leave the application's own word out")
        parser.add_argument("--json", action="store_true", help="as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["application"]
        try:
            applications = list(Application.objects.filter(name=name) if name else Application.objects.all())
        except DatabaseError as error:
            said = f"Causeway's own database can't be asked ({type(error).__name__}): nothing is known."
            raise CommandError(said, returncode=EXIT[Health.UNKNOWN]) from None
        if not applications:
            said = f"There is no application {name}." if name else "No application is registered: nothing is known."
            raise CommandError(said, returncode=EXIT[Health.UNKNOWN])
        reports = [
            check_health(application=application, detailed=options["detailed"], postgres_only=options["postgres_only"])
            for application in applications
        ]
        if options["json"]:
            self.stdout.write(json.dumps([report.to_document() for report in reports], indent=1, ensure_ascii=False))
        else:
            for report in reports:
                self._print(report, detailed=options["detailed"])
        sys.exit(EXIT[max((report.health for report in reports), key=SEVERITY.__getitem__)])

    def _print(self, report: HealthReport, *, detailed: bool) -> None:
        self.stdout.write(f"{SHAPE[report.health]} {report.application}: {report.health}, on {report.active_database}")
        for reading in report.readings:
            view = "" if reading.view == "full" else f"  [{reading.view}]"
            self.stdout.write(f"  {SHAPE[reading.health]} {reading.name}: {reading.value}{view}")
            if detailed:
                for name, states in reading.detail.get("by_application", {}).items():
                    counts = ", ".join(f"{count} {state}" for state, count in states.items())
                    self.stdout.write(f"      {name}: {counts}")
