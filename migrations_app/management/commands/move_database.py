"""Move a SQLite database to PostgreSQL: plan, snapshot, export, load, verify. See docs/reference/commands.md."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from migrations_app.management.headless import arguments, flows
from migrations_app.management.headless.command import HeadlessCommand, Job


class Command(HeadlessCommand):
    help = "Move a SQLite database to PostgreSQL and verify every cell."

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_source(parser)
        arguments.add_target(parser)
        arguments.add_planning(parser)
        arguments.add_loading(parser)
        parser.add_argument("--export-dir", type=Path, metavar="DIR", help="keep the export here")
        parser.add_argument("--plan-only", action="store_true", help="show what would happen, and write nothing")

    def work(self, job: Job, options: dict[str, Any]) -> None:
        flows.move_database(job, options)
