"""A PostgreSQL of a test's own, to be brought down, and databases on it."""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url
from tests import servers

_numbers = itertools.count(1)


def own_server(**options: str) -> EmbeddedPostgres:
    """Not started yet; of the version that this run of the tests is for."""
    folder = Path(tempfile.mkdtemp(dir=servers.STATE))
    folder.chmod(0o711)
    return EmbeddedPostgres(folder, bindir=servers._bindir(), options={"fsync": "off", **options})


@contextmanager
def database(server: EmbeddedPostgres) -> Iterator[TargetUrl]:
    """A fresh database of an ordinary role, dropped in the end."""
    name = f"fragile_{next(_numbers)}"
    server.create_role(name, "secret")
    server.create_database(name, owner=name)
    try:
        yield parse_target_url(server.url(name, role=name, password="secret"))
    finally:
        server.drop_database(name)
        server.drop_role(name)


def text_of(url: TargetUrl) -> str:
    """The URL with its password, for a driver or an environment variable."""
    return f"postgresql://{url.user}:{url.password}@{url.host}:{url.port}/{url.database}"


def crash(server: EmbeddedPostgres, how: str) -> None:
    """'immediate': what pg_ctl -m immediate sends, then a new start. 'backend': kill -9, and the server recovers."""
    if how == "immediate":
        os.kill(server.pid, signal.SIGQUIT)
        until = time.monotonic() + 30
        while server.running and time.monotonic() < until:
            time.sleep(0.01)
        server.start()
        return
    for (pid,) in server.execute("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'causeway:%' LIMIT 1"):
        os.kill(pid, signal.SIGKILL)
