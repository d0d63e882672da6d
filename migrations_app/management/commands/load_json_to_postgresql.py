"""Load an export into PostgreSQL. See docs/reference/commands.md."""

from typing import Any

from django.core.management.base import CommandParser

from migrations_app.management.headless import arguments, flows
from migrations_app.management.headless.command import HeadlessCommand, Job


class Command(HeadlessCommand):
    help = "Load an export (a folder, or one JSON document) into PostgreSQL."

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_source(parser, "an export's folder, or a data_export_*.json")
        arguments.add_target(parser)
        arguments.add_planning(parser, default_mode=None)
        arguments.add_loading(parser)
        parser.add_argument(
            "--manifest-sha256",
            default="",
            metavar="HEX",
            help="the digest that the export was reported with: another export is refused, and this one, being known,"
            " is loaded without parsing every line",
        )
        parser.add_argument("--verify", action="store_true", help="then compare every cell")

    def work(self, job: Job, options: dict[str, Any]) -> None:
        flows.load_json_to_postgresql(job, options)
