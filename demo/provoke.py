"""`python -m demo.provoke pool|slow|errors`: real trouble for an application of the demo that runs, for a few minutes.

The alert arrives in the demo's mailbox, can be taken charge of from the mail, and resolves once this ends. Ctrl-C ends
it earlier. Nothing is written to the application's data.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
from demo.stage import environment
from demo.stage.home import ROOT, Home
from demo.stage.keys import Keys

NAME = "yukyu"  # what its connections call themselves: the monitor counts them as the application's
FULL = 0.9  # of the usable connections


class Refused(Exception):
    """It can't be provoked as things stand, and why."""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        application = _application(options.state_dir, options.application)
        provoke = {"pool": pool, "slow": slow, "errors": errors}[options.what]
        provoke(application, options.seconds)
    except KeyboardInterrupt:
        pass
    except (Refused, psycopg2.Error, OSError) as error:
        print(f"Not provoked: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 1
    print("Ended. The alert resolves once the values have stayed well for a minute or two.")
    return 0


def pool(application: Any, seconds: float) -> None:
    """Hold real connections until nearly none is left."""
    held: list[Any] = []
    try:
        usable = _usable(application)
        while len(held) < int(usable * FULL):
            held.append(_connect(application))
        print(f"{len(held)} of {usable} connections are held for {seconds:g} s: “Connection pool nearly used up”")
        _wait(seconds, lambda: [connection.cursor().execute("SELECT 1") for connection in held[:1]])
    finally:
        for connection in held:
            connection.close()


def slow(application: Any, seconds: float) -> None:
    """One statement that takes all that time: in no statistics before it ends."""
    with _connect(application) as connection, connection.cursor() as cursor:
        print(f"One statement runs for {seconds:g} s: “Queries are slow”")
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def errors(application: Any, seconds: float) -> None:
    """Requests that SQLite takes and PostgreSQL doesn't: a NUL character in a text, as a careless client sends it."""
    port = next(process["port"] for process in application.processes if process["name"] == "web")
    address = f"http://127.0.0.1:{port}"
    with urllib.request.urlopen(f"{address}/api/health", timeout=5) as answer:
        if json.load(answer)["database"] != "postgresql":
            raise Refused(
                f"{application.name} runs on SQLite, which takes the text that PostgreSQL refuses. Cross first."
            )
    print(f"Every third request fails for {seconds:g} s: “Requests fail”")
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        count += 1
        _ask(address, spoiled=count % 3 == 0)
        time.sleep(0.4)


def _ask(address: str, *, spoiled: bool) -> None:
    request = urllib.request.Request(f"{address}/api/health")
    if spoiled:
        body = {"employee_id": "100001\x00", "start_date": "2026-01-05", "end_date": "2026-01-05"}
        request = urllib.request.Request(
            f"{address}/api/leave-requests", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as refused:
        refused.close()


def _connect(application: Any) -> Any:
    return psycopg2.connect(application.target_url.reveal(), application_name=NAME, connect_timeout=5)


def _usable(application: Any) -> int:
    with _connect(application) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END) FROM pg_settings "
            "WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
        )
        return int(cursor.fetchone()[0])


def _wait(seconds: float, keep: Callable[[], Any]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        keep()
        time.sleep(min(5.0, max(0.1, until - time.monotonic())))


def _application(folder: Path, name: str) -> Any:
    """Its row in the control database of the demo that runs there. Raises Refused."""
    home = Home(folder)
    if not home.control_database.exists():
        raise Refused(f"there is no demo in {home.path}. `make demo` starts one; --state-dir names another folder.")
    keys = Keys(home.folder("keys"))
    broker = keys.path("broker-url").read_text()
    environment.apply_here(environment.settings(home, keys, broker_url=broker, address="", smtp_url="consolemail://"))
    import django

    django.setup()
    from controlplane.registry.models import Application

    application = Application.objects.filter(name=name).first()
    if application is None:
        raise Refused(f"the demo has no application {name}.")
    return application


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo.provoke", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("pool", "slow", "errors"))
    parser.add_argument("--application", default="yukyu")
    parser.add_argument("--seconds", type=float, default=240.0, help="how long; the rules wait for one or two minutes")
    parser.add_argument("--state-dir", type=Path, default=ROOT / ".demo", metavar="DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())
