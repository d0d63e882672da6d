"""One digest over a target schema's definition: two schemas with the same digest take the same rows the same way."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from migrations_app.engine.target.target import connect, transaction
from migrations_app.engine.target.target_catalog import read_schema
from migrations_app.engine.target.target_schema import TargetSchema, version_heads
from migrations_app.engine.target.target_url import TargetUrl


def schema_digest(url: TargetUrl, schema: str) -> str:
    """SHA-256 (hex) of the schema's definition and its schema-version rows. Raises what connect() raises."""
    connection = connect(url, application_name="causeway:schema:0")
    try:
        with transaction(connection, "reading the target's schema") as cursor:
            return digest_of_schema(read_schema(cursor, schema, count_rows=False))
    finally:
        connection.close()


def digest_of_schema(schema: TargetSchema) -> str:
    """Counts of rows, the server's version and the time when a migration was applied aren't part of the definition."""
    tables = tuple(replace(table, rows=-1, version_rows=version_heads(table)) for table in schema.tables)
    document = asdict(replace(schema, tables=tables, version=0, fresh=False))
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
