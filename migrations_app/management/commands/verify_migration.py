"""Compare a SQLite database with the PostgreSQL database it was moved to. See docs/reference/commands.md."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from migrations_app.engine.plan import MODE_EXISTING
from migrations_app.management.headless import arguments, flows
from migrations_app.management.headless.command import HeadlessCommand, Job


class Command(HeadlessCommand):
    help = "Compare every cell of a SQLite database with its copy in PostgreSQL."

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_source(parser)
        arguments.add_target(parser)
        arguments.add_planning(parser, default_mode=MODE_EXISTING)
        parser.add_argument("--plan", type=Path, metavar="FILE", help="a plan, or an export's manifest.json")
        parser.add_argument("--detailed", action="store_true", help="list every table and every difference")

    def work(self, job: Job, options: dict[str, Any]) -> None:
        flows.verify_migration(job, options)
