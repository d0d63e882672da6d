"""Roll a run back from the machine itself, also when the web or the broker is down.

Does what one person may do; where rows would leave the application it files the request for a second person and
exits with 2. Exit status: 0 rolled back (or shown, with --dry-run), 2 refused or waiting for a second person, 3 held
on the way.
"""

from __future__ import annotations

import getpass
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from migrations_app.models import MigrationRun, RollbackRequest
from migrations_app.models.states import Phase, RunState, StepState
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.execution import work_on_run
from migrations_app.services.price import price_of
from migrations_app.services.rollback import preview_rollback, request_rollback_by_operator
from migrations_app.services.words import in_words


class Command(BaseCommand):
    help = "Roll a run back to SQLite."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--run", type=int, required=True, metavar="N", help="the run's number")
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why; stands in the audit trail")
        parser.add_argument("--dry-run", action="store_true", help="show the price and the steps, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        run = MigrationRun.objects.select_related("application", "plan").filter(pk=options["run"]).first()
        if run is None:
            raise CommandError(f"There is no run {options['run']}.", returncode=2)
        try:
            self._show(run)
            if options["dry_run"]:
                return
            request = request_rollback_by_operator(run=run, login=getpass.getuser(), reason=options["reason"])
        except ServiceRefused as refused:
            raise CommandError(f"{refused.code}: {refused.message} {refused.hint}".strip(), returncode=2) from None
        if request.state == RollbackRequest.State.WAITING:
            rows = "An unknown number of" if request.rows_confirmed is None else f"{request.rows_confirmed:,}"
            raise CommandError(
                f"{rows} rows would leave the application: a second person, a team lead or ops, must agree in "
                "the web UI.",
                returncode=2,
            )
        self._drive(run)

    def _show(self, run: MigrationRun) -> None:
        tag = price_of(run)
        about = f" About {in_words(tag.seconds)}." if tag.seconds is not None else ""
        self.stdout.write(f"{run}: {tag.price.value}. {tag.sentence}{about}")
        for title in preview_rollback(run):
            self.stdout.write(f"  - {title}")

    def _drive(self, run: MigrationRun) -> None:
        """Run the steps here; a worker that is up may do some of them: a claim has one winner."""
        shown: set[int] = set()
        while True:
            worked = work_on_run(run_id=run.pk)
            run.refresh_from_db()
            for step in run.steps.filter(phase=Phase.ROLLBACK, state=StepState.SUCCEEDED).exclude(pk__in=shown):
                self.stdout.write(f"{step.title}: {step.message}")
                shown.add(step.pk)
            if run.state == RunState.ROLLED_BACK:
                self.stdout.write(self.style.SUCCESS(f"Run {run.pk} is rolled back."))
                return
            if run.state != RunState.ROLLING_BACK:
                raise CommandError(
                    f"Run {run.pk} is {run.get_state_display().lower()}: {run.held_reason}", returncode=3
                )
            if not worked:
                time.sleep(0.5)  # another worker has the step
