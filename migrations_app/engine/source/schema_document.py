"""A SourceSchema as a JSON document and back, for the manifest of an export."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from migrations_app.engine.source.schema import (
    IndexColumn,
    SourceColumn,
    SourceForeignKey,
    SourceIndex,
    SourceObject,
    SourceSchema,
    SourceTable,
)


def schema_to_document(schema: SourceSchema) -> dict[str, Any]:
    """A JSON-able dict; schema_from_document() gives an equal schema back."""
    return asdict(schema)


def schema_from_document(document: dict[str, Any]) -> SourceSchema:
    """Raises ValueError when the document isn't a schema's."""
    try:
        return SourceSchema(
            **{
                **document,
                "tables": tuple(_table(item) for item in document["tables"]),
                "views": tuple(SourceObject(**item) for item in document["views"]),
                "triggers": tuple(SourceObject(**item) for item in document["triggers"]),
                "sequences": tuple((str(name), int(value)) for name, value in document["sequences"]),
            }
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("not a schema") from error


def _table(item: dict[str, Any]) -> SourceTable:
    return SourceTable(
        **{
            **item,
            "columns": tuple(SourceColumn(**column) for column in item["columns"]),
            "primary_key": tuple(item["primary_key"]),
            "key": tuple(item["key"]),
            "indexes": tuple(_index(index) for index in item["indexes"]),
            "foreign_keys": tuple(_foreign_key(key) for key in item["foreign_keys"]),
            "checks": tuple(item["checks"]),
        }
    )


def _index(item: dict[str, Any]) -> SourceIndex:
    return SourceIndex(**{**item, "columns": tuple(IndexColumn(**column) for column in item["columns"])})


def _foreign_key(item: dict[str, Any]) -> SourceForeignKey:
    return SourceForeignKey(
        **{**item, "columns": tuple(item["columns"]), "parent_columns": tuple(item["parent_columns"])}
    )
