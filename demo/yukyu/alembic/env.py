"""Runs the schema migrations on the database that the settings (or a caller's `attributes["url"]`) name."""

from logging.config import fileConfig

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from models import Base
from settings import get_settings


def database_url() -> URL:
    """A program that calls Alembic may name the database itself, without any settings."""
    given = context.config.attributes.get("url")
    return get_settings().url if given is None else make_url(given)


def run() -> None:
    """Upgrade or downgrade, or print the SQL (`--sql`). SQLite tables are copied where ALTER TABLE can't do it."""
    url = database_url()
    if context.is_offline_mode():
        context.configure(url=url, target_metadata=Base.metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    with create_engine(url, poolclass=NullPool).connect() as connection:
        context.configure(
            connection=connection, target_metadata=Base.metadata, render_as_batch=url.get_backend_name() == "sqlite"
        )
        with context.begin_transaction():
            context.run_migrations()


if context.config.config_file_name is not None and context.config.attributes.get("url") is None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
run()
