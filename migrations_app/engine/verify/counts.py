"""Exact row counts of a plan's tables, on either side."""

from __future__ import annotations

from pathlib import Path

from psycopg2 import sql

from migrations_app.engine.control import Control
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target import connect, scalar, transaction
from migrations_app.engine.target.target_url import TargetUrl


def count_rows(plan: MovePlan, where: TargetUrl | Path) -> dict[str, int]:
    """{source table: rows} of the tables that are loaded. Raises what open_source() or connect() raises."""
    tables = [table for table in plan.tables if table.is_loaded]
    if isinstance(where, Path):
        with open_source(where, Control()) as source:
            return {table.name: source.count(table.name) for table in tables}
    connection = connect(where, application_name="causeway:count:0")
    try:
        with transaction(connection, "counting rows") as cursor:
            counts = {}
            for table in tables:
                name = sql.Identifier(plan.target_schema, table.target_name)
                counts[table.name] = int(
                    scalar(cursor, sql.SQL("SELECT count(*) FROM {}").format(name).as_string(cursor))
                )
            return counts
    finally:
        connection.close()
