"""Reads rows through the application's API and compares them with the table's own: are these PostgreSQL's rows?"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import psycopg2
from psycopg2 import sql

from migrations_app.applications.description import ApplicationDescription, Canary, EndpointCheck
from migrations_app.applications.endpoints import fetch_json
from migrations_app.engine.errors import Failed

CANARY_BYTES = 64_000_000


def compare_canary(description: ApplicationDescription, process: str, canary: Canary, connection: Any) -> str:
    """What differs, "" when nothing does. Values are never quoted: they may be personal. Raises Failed."""
    check = EndpointCheck("canary", canary.path, process)
    status, document = fetch_json(description, check, CANARY_BYTES)
    if status != 200:
        return f"{canary.path} answered {status}"
    if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
        return f"{canary.path} is no array of objects"
    if not document:
        return _problem_of_empty(canary, connection)
    for entry in document[: canary.rows]:
        if canary.key_field not in entry:
            return f"an entry of {canary.path} has no field {canary.key_field}"
        row = _row(canary, entry[canary.key_field], connection)
        if row is None:
            return f"{canary.path} shows a row that table {canary.table} does not hold"
        for name, value in zip(canary.fields, row, strict=True):
            if not same_value(entry.get(name), value):
                return f"field {name} of {canary.path} differs from table {canary.table}"
    return ""


def same_value(shown: object, stored: object) -> bool:
    """Whether JSON shows what the column holds: numbers by value, times with T or a space, the rest as text."""
    if shown is None or stored is None:
        return shown is stored
    if isinstance(shown, bool) or isinstance(stored, bool):
        return bool(shown) == bool(stored) and str(shown).lower() in ("true", "false", "0", "1")
    if isinstance(stored, int | float | Decimal):
        try:
            return Decimal(str(shown)) == Decimal(str(stored))
        except InvalidOperation:
            return False
    if isinstance(stored, datetime | date):
        return str(shown).replace("T", " ") in (stored.isoformat().replace("T", " "), str(stored))
    return str(shown) == str(stored)


def _row(canary: Canary, key: object, connection: Any) -> tuple[object, ...] | None:
    columns = [sql.Identifier(column) for column in canary.fields.values()]
    query = sql.SQL("SELECT {} FROM {} WHERE {}::text = %s").format(
        sql.SQL(", ").join(columns) if columns else sql.SQL("NULL"),
        sql.Identifier(canary.table),
        sql.Identifier(canary.key_column),
    )
    row = _one(connection, query, (str(key),), canary)
    return row if row is None or columns else ()


def _problem_of_empty(canary: Canary, connection: Any) -> str:
    row = _one(connection, sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(canary.table)), None, canary)
    return "" if row is None else f"{canary.path} shows no row, but table {canary.table} holds some"


def _one(
    connection: Any, query: sql.Composed, values: tuple[str, ...] | None, canary: Canary
) -> tuple[Any, ...] | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = public, pg_catalog")
            cursor.execute(query, values)
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row
    except psycopg2.Error as error:
        raise Failed(
            "CANARY_BROKEN", f"Table {canary.table} could not be read (SQLSTATE {error.pgcode}).", "Check the canary."
        ) from None
