"""What scenes are made of: a picture to take, an application with its people, a database that was written to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import psycopg2
from django.contrib.auth.models import User
from django.utils import timezone

from controlplane.registry.models import Application
from migrations_app.engine.back import change_queue
from migrations_app.engine.target.target_url import parse_target_url
from tests import factories as make
from tests.servers import session_postgres

WATCHED = ("leave_requests", "notification_logs", "employees")


@dataclass(frozen=True)
class Shot:
    """A picture: its name, where, as whom, and what is clicked first."""

    name: str
    path: str
    person: str = "ana"
    open: Sequence[str] = ()
    password: str = make.PASSWORD
    fresh: Callable[[], None] | None = None  # called just before: what ages within seconds


def another(name: str, who: make.People, title: str, **fields: object) -> Application:
    of = make.application(name, title=title, **fields)
    make.member(of, who.lead, "lead")
    make.member(of, who.second_lead, "lead")
    make.member(of, who.ops, "ops")
    make.member(of, who.qa, "qa")
    make.member(of, who.viewer, "viewer")
    return of


def signers_of(who: make.People) -> dict[str, User]:
    return {"lead": who.lead, "ops": who.ops, "qa": who.qa}


def window(hours: float = 1.1) -> dict[str, object]:
    now = timezone.now()
    return {"window_start": now - timedelta(hours=1), "window_end": now + timedelta(hours=hours)}


def target_with_changes(of: Application) -> str:
    """A real database whose tables were written to since the switch."""
    server = session_postgres()
    server.create_role(of.name, "not-a-secret")
    server.create_database(of.name, owner=of.name)
    url = server.url(of.name, role=of.name, password="not-a-secret")
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        for name in WATCHED:
            cursor.execute(
                f"CREATE TABLE {name} (id bigint PRIMARY KEY, name text, amount float8, created_at timestamp)"
            )
            cursor.execute(f"INSERT INTO {name} SELECT g, 'before' FROM generate_series(1, 60) g")
    change_queue.arm(parse_target_url(url), make.move_plan(WATCHED))
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO leave_requests SELECT g, 'after' FROM generate_series(100, 220) g")
        cursor.execute("UPDATE leave_requests SET name = 'changed' WHERE id <= 34")
        cursor.execute("INSERT INTO notification_logs SELECT g, 'after' FROM generate_series(100, 151) g")
        cursor.execute("UPDATE employees SET name = 'changed' WHERE id <= 7")
    connection.close()
    return url
