"""A world whose application crosses online: what tests of it share."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import psycopg2

from controlplane.registry.models import Application
from migrations_app.models import MigrationPlan, MigrationRun, Replication
from migrations_app.services.following import follow
from migrations_app.services.runs import create_run, start_run, submit_run
from tests import factories as make
from tests.migrations_app.runs.conftest import World


def draft(world: World, plan: MigrationPlan, kind: str = "production") -> MigrationRun:
    run = create_run(actor=world.people["ana"], plan=plan, kind=kind, strategy="online")
    world.runs.append(run)
    return run


def rehearse(world: World, plan: MigrationPlan) -> MigrationRun:
    run = draft(world, plan, "rehearsal")
    start_run(actor=world.people["ana"], run=run)
    return world.drive(run)


def prepared(world: World, plan: MigrationPlan) -> MigrationRun:
    """A production run at gate 2, or wherever it was held."""
    run = draft(world, plan)
    submit_run(actor=world.people["ana"], run=run)
    world.sign(run, "plan", "ben", "lead")
    start_run(actor=world.people["ana"], run=world.fresh(run))
    return world.drive(run)


def go(world: World, run: MigrationRun) -> MigrationRun:
    """Through gate 2, up to gate 3 or wherever it was held."""
    assert run.state == "waiting", run.held_reason
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    return world.drive(run)


def crossed(world: World, plan: MigrationPlan) -> MigrationRun:
    """A production run at gate 3; its rehearsal is taken as given."""
    make.rehearsed(plan, world.people["ana"], strategy="online")
    return go(world, prepared(world, plan))


def replication_of(world: World) -> Replication:
    return Replication.objects.get(application=world.application)


def follow_once(world: World) -> Replication:
    """One slice of the follower; it must have worked."""
    assert follow(application_id=world.application.pk)
    return replication_of(world)


def write_sqlite(application: Application, *statements: str) -> None:
    with closing(sqlite3.connect(application.source_path, timeout=10)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def read_sqlite(application: Application, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(application.source_path, timeout=10)) as connection:
        return connection.execute(query).fetchall()


def read_target(world: World, query: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(world.target)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
