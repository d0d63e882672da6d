"""A small SQLite file and its tables and views in PostgreSQL beside one another, to see that they answer alike."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2

from migrations_app.engine.conversions.conversions import row_converter
from migrations_app.engine.load import ddl
from migrations_app.engine.plan import MovePlan, ObjectPlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.pg_names import in_schema, qualified, quote
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look

SCHEMA = "moved"
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T")


def fill(look: Look, plan: MovePlan, path: Path) -> None:
    """Make the plan's tables in a schema of their own and put the file's rows in."""
    with look.connection.cursor() as cursor:
        ddl.create_load_schema(cursor, plan, SCHEMA)
        with open_source(path) as source:
            for table in plan.tables:
                if not table.is_loaded:
                    continue
                columns = table.loaded_columns
                names = ", ".join(quote(column.target_name) for column in columns).replace("%", "%%")
                where = qualified(SCHEMA, table.target_name).replace("%", "%%")
                marks = ", ".join(["%s"] * len(columns))
                convert = row_converter(table)
                for row in source.rows(table.name, [column.name for column in columns]):
                    cursor.execute(f"INSERT INTO {where} ({names}) VALUES ({marks})", convert(row))


def make(look: Look, objects: Iterable[ObjectPlan]) -> dict[str, str]:
    """Make what is carried; by name why PostgreSQL refused it ('' where it didn't)."""
    found = {}
    for each in objects:
        if each.carried and each.sql:
            try:
                look.run(f"SET search_path = {SCHEMA}")
                look.run(in_schema(each.sql, SCHEMA))
                found[each.name] = ""
            except psycopg2.Error as error:
                found[each.name] = str(error).partition("\n")[0]
    return found


def plain(cell: Any) -> Any:
    """A cell of either side so that equal values are equal: numbers to 12 digits, times and UUIDs as text."""
    if isinstance(cell, bool | int | float | Decimal):
        return float(f"{float(cell):.12g}")
    if isinstance(cell, dt.datetime):
        return cell.replace(tzinfo=None).isoformat(" ")
    if isinstance(cell, dt.date | dt.time):
        return cell.isoformat()
    if isinstance(cell, str) and _ISO.match(cell):
        return cell.replace("T", " ").removesuffix("Z")
    return bytes(cell) if isinstance(cell, memoryview) else cell


def rows_of_sqlite(path: Path, sql: str) -> Counter[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return counted(connection.execute(sql).fetchall())
    finally:
        connection.close()


def counted(rows: Iterable[Sequence[Any]]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(plain(cell) for cell in row) for row in rows)


__all__ = ["SCHEMA", "TargetUrl", "counted", "fill", "make", "plain", "rows_of_sqlite"]
