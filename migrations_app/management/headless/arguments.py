"""The arguments of the headless commands, and how their values are read. No message repeats a target URL."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings

from controlplane.redaction import redact
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import MODE_CREATE, MODE_EXISTING
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url

TARGET_VARIABLE = "TARGET_DATABASE_URL"
MAX_JOBS = 32
DEFAULT_JOBS = 2


def keep_quiet(parser: ArgumentParser) -> None:
    """argparse quotes what it doesn't understand, and that may be a URL with a password."""
    complain = parser.error

    def error(message: str) -> NoReturn:
        complain(redact(message))

    parser.error = error  # type: ignore[method-assign]


def add_source(parser: ArgumentParser, what: str = "the SQLite file") -> None:
    parser.add_argument("--source", required=True, type=Path, metavar="FILE", help=what)


def add_target(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--target", metavar="URL", help=f"postgresql://user:password@host:port/database; else ${TARGET_VARIABLE}"
    )
    parser.add_argument(
        "--allow-unverified-remote",
        action="store_true",
        help="let a remote target go without sslmode=verify-full; recorded in the report",
    )


def add_planning(parser: ArgumentParser, *, default_mode: str | None = MODE_CREATE) -> None:
    parser.add_argument(
        "--schema-mode",
        choices=[MODE_CREATE, MODE_EXISTING],
        default=default_mode,
        help="create the tables, or fill those that the application made itself",
    )
    parser.add_argument("--target-schema", default="public", metavar="NAME", help="default: public")
    parser.add_argument(
        "--choose",
        action="append",
        default=[],
        metavar="CODE=CHOICE",
        help="what to do about a finding; CODE@table.column=CHOICE for one place; may be repeated",
    )
    parser.add_argument("--exclude", action="append", default=[], metavar="TABLE", help="leave a table out; repeatable")


def add_loading(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--jobs",
        type=int,
        default=DEFAULT_JOBS,
        metavar="N",
        help=f"threads that export and connections that load at once; default: {DEFAULT_JOBS}",
    )
    parser.add_argument(
        "--discard-unfinished",
        action="store_true",
        help="first remove what another load, begun and never ended, left in the target",
    )


def add_report(parser: ArgumentParser) -> None:
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as JSON to this file")


def read_target(options: dict[str, Any]) -> TargetUrl:
    """The target from --target or the environment. Raises Refused BAD_URL …, CONTROL_DATABASE."""
    url = parse_target_url(
        options["target"] or os.environ.get(TARGET_VARIABLE, ""),
        certificates=_certificates(),
        allow_unverified_remote=options["allow_unverified_remote"],
    )
    _refuse_control_database(url)
    return url


def _certificates() -> Path | None:
    folder = getattr(settings, "CAUSEWAY_CERTIFICATES_DIR", None)
    return Path(folder) if folder else None


def _refuse_control_database(url: TargetUrl) -> None:
    """Causeway's own database is no target. Compared by name: these commands never connect to it."""
    own = settings.DATABASES["default"]
    same = (own.get("HOST") or "localhost", str(own.get("PORT") or 5432), own.get("NAME"))
    if "postgresql" in own["ENGINE"] and same == (url.host, str(url.port), url.database):
        raise Refused(
            "CONTROL_DATABASE",
            f"The target {url.redacted} is Causeway's own database.",
            "Name the database that the application shall live in.",
        )


def read_choices(options: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """(('CODE' or 'CODE@table.column', choice), …). Raises Refused BAD_CHOICE for what isn't CODE=CHOICE."""
    pairs = []
    for text in options["choose"]:
        code, separator, choice = text.rpartition("=")  # a table's name may hold a '='
        if not separator or not code or not choice:
            raise Refused("BAD_CHOICE", f"--choose {text!r} is not CODE=CHOICE.", "For example NUL_IN_TEXT=bytea.")
        pairs.append((code, choice))
    return tuple(pairs)


def read_jobs(options: dict[str, Any]) -> int:
    """Raises Refused BAD_JOBS."""
    jobs: int = options["jobs"]
    if not 1 <= jobs <= MAX_JOBS:
        raise Refused("BAD_JOBS", f"--jobs {jobs} is out of range.", f"Use 1 to {MAX_JOBS}.")
    return jobs
