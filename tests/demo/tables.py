"""The sample application's tables, read and carried over with plain drivers and no code of the product."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import execute_values
from psycopg2.sql import SQL, Identifier

# In an order that foreign keys allow.
TABLES = ("users", "employees", "genzai", "ukeoi", "staff", "leave_requests", "yukyu_usage_details")


def query(path: Path, statement: str) -> list[Any]:
    """Rows of a SQLite file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def count(path: Path, table: str) -> int:
    return int(query(path, f"SELECT count(*) FROM {table}")[0][0])


def copy_tables(source: Path, url: str) -> None:
    """Carry all rows into the schema that Alembic made, as an administrator's quick script would."""
    with closing(psycopg2.connect(url)) as target, target, target.cursor() as cursor:
        for table in TABLES:
            cursor.execute(
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", (table,)
            )
            kinds = dict(cursor.fetchall())
            rows = [
                [bool(cell) if kind == "boolean" and cell is not None else cell for cell, kind in pairs]
                for pairs in (
                    list(zip(row, kinds.values(), strict=True))
                    for row in query(source, f"SELECT {', '.join(kinds)} FROM {table}")
                )
            ]
            columns = SQL(", ").join(map(Identifier, kinds))
            statement = SQL("INSERT INTO {} ({}) VALUES %s").format(Identifier(table), columns)
            execute_values(cursor, statement, rows)
            if "id" in kinds and kinds["id"] == "bigint":
                cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
