"""The database in use: one engine with its pool, sessions for reading and for writing, and what it says of itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from settings import Settings, get_settings


@lru_cache(maxsize=1)
def get_engine() -> Engine:
    """The process's engine; connections are opened at first use."""
    return build_engine(get_settings())


def build_engine(settings: Settings) -> Engine:
    """An engine with a pool that tests a connection before it is used."""
    options: dict[str, Any] = {
        "poolclass": QueuePool,
        "pool_pre_ping": True,
        "pool_size": settings.db_pool_size,
        "max_overflow": settings.db_max_overflow,
        "pool_timeout": settings.db_pool_timeout,
    }
    if settings.database_type == "sqlite":
        engine = create_engine(settings.url, connect_args={"check_same_thread": False}, **options)
        prepare_sqlite(engine, settings)
        return engine
    arguments = {"connect_timeout": 5, "application_name": "yukyu"}
    arguments = {name: value for name, value in arguments.items() if name not in settings.url.query}
    return create_engine(settings.url, connect_args=arguments, pool_recycle=1800, **options)


def prepare_sqlite(engine: Engine, settings: Settings) -> None:
    """Set each new SQLite connection up, and begin transactions ourselves."""

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={settings.sqlite_busy_timeout_ms}")
        connection.execute(f"PRAGMA journal_mode={settings.sqlite_journal}")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails at once ("database is locked") when another
        # process wrote in between, whatever the busy timeout; a writer therefore takes the lock at its start.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading() -> Iterator[Session]:
    """A session that reads."""
    with Session(get_engine()) as session:
        yield session


@contextmanager
def writing() -> Iterator[Session]:
    """A session whose changes are committed at the end, or rolled back on any error."""
    with Session(get_engine().execution_options(writes=True)) as session, session.begin():
        yield session


def schema_revision() -> str | None:
    """The Alembic revision that the database itself names: a real read, used as the health check."""
    with get_engine().connect() as connection:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def describe() -> dict[str, Any]:
    """Dialect, server and pool, asked from the engine in use, not from the settings. No password."""
    engine = get_engine()
    with engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        version = connection.execute(text("SELECT sqlite_version()" if sqlite else "SHOW server_version")).scalar()
        journal = connection.execute(text("PRAGMA journal_mode")).scalar() if sqlite else None
        pool = pool_status(engine)
    return {
        "dialect": engine.dialect.name,
        "driver": engine.dialect.driver,
        "server_version": version,
        "journal_mode": journal,
        "schema_revision": schema_revision(),
        "url": public_url(engine.url),
        "pool": pool,
    }


def public_url(url: URL) -> str:
    """The URL without its password and without its query, which may hold one too."""
    return URL.create(
        url.drivername, username=url.username, host=url.host, port=url.port, database=url.database
    ).render_as_string()


def pool_status(engine: Engine) -> dict[str, int]:
    """The pool's state in connections; `overflow` counts those open beyond its size."""
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    return {
        "size": pool.size(),
        "max_overflow": pool._max_overflow,
        "checked_out": pool.checkedout(),
        "checked_in": pool.checkedin(),
        "overflow": max(0, pool.overflow()),
    }


def close_database() -> None:
    """Close every pooled connection: in WAL mode the last one to close also folds the log into the file."""
    get_engine().dispose()
