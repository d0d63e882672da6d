"""The demo's applications under watch: a role that sees all of the server, the logs, the disk, the pool."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from demo.stage.samples import Installation, log_files

if TYPE_CHECKING:  # models need Django set up
    from controlplane.registry.models import Application

ROLE = "causeway_monitor"


def watch(application: Application, installation: Installation, monitor_url: str) -> None:
    """Under watch from the first start on; what somebody changed on its page stays. Needs Django set up."""
    from monitoring_app.models import Target
    from monitoring_app.services import targets

    known = Target.objects.filter(application=application).exists()
    target = targets.watch(application=application, actor="cli:demo")
    wanted = {"monitor_url": monitor_url} if monitor_url else {}
    if not known:
        wanted |= described(installation)
    if wanted:
        targets.change(target=target, actor="cli:demo", values=wanted)


def described(installation: Installation) -> dict[str, Any]:
    """What there is to measure of a sample."""
    logs = log_files(installation.folder)
    return {
        "volumes": [{"name": "data", "path": str(installation.folder)}],
        "access_log": {"path": logs["ACCESS_LOG"], "format": "common"},
        "application_log": {"path": logs["APP_LOG"]},
        "application_pool": {
            "process": "web", "path": "/api/db-status", "used": "pool.checked_out", "size": "pool.size"
        },
    }  # fmt: skip


def monitor(admin_url: str, *, password: str, database: str) -> str:
    """A role with pg_monitor and the statistics of statements in the database; its URL. '' where the server that was
    given doesn't let us: then the application's own role looks, sees less, and the pages say so."""
    try:
        with closing(psycopg2.connect(_to(admin_url, database), connect_timeout=5)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE])
                verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
                role = sql.Identifier(ROLE)
                cursor.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, role, sql.Literal(password)))
                cursor.execute(sql.SQL("GRANT pg_monitor TO {}").format(role))
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    except psycopg2.Error:
        return ""
    parts = urlsplit(admin_url)
    place = f"{ROLE}:{quote(password, safe='')}@{parts.hostname or 'localhost'}:{parts.port or 5432}"
    return urlunsplit(("postgresql", place, f"/{quote(database, safe='')}", "", ""))


def _to(admin_url: str, database: str) -> str:
    parts = urlsplit(admin_url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{quote(database, safe='')}", parts.query, ""))
