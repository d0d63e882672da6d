"""Export a SQLite database as JSON. See docs/reference/commands.md and export-format.md."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from migrations_app.management.headless import arguments, flows
from migrations_app.management.headless.command import HeadlessCommand, Job


class Command(HeadlessCommand):
    help = "Export a SQLite database as a folder of JSON Lines, or as one JSON document."

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_source(parser)
        parser.add_argument("--output", type=Path, metavar="DIR", help="default: data_export_<time> here")
        parser.add_argument("--single-file", action="store_true", help="one data_export_<time>.json in that folder")
        parser.add_argument("--exclude", action="append", default=[], metavar="TABLE", help="leave a table out")

    def work(self, job: Job, options: dict[str, Any]) -> None:
        flows.dump_sqlite_to_json(job, options)
