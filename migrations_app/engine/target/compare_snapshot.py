"""A target schema back from the snapshot that the ledger keeps (existing.snapshot), as target_catalog read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from migrations_app.engine.target.compare_facts import Fact
from migrations_app.engine.target.target_schema import (
    TargetCheck,
    TargetColumn,
    TargetForeignKey,
    TargetIndex,
    TargetSchema,
    TargetTable,
    TargetTrigger,
    TargetView,
)

_Item = TypeVar("_Item")
_PARTS: tuple[tuple[str, type[Any]], ...] = (
    ("columns", TargetColumn),
    ("indexes", TargetIndex),
    ("foreign_keys", TargetForeignKey),
    ("checks", TargetCheck),
    ("triggers", TargetTrigger),
)


def schema_from_document(document: Mapping[str, Any]) -> TargetSchema:
    """The reverse of asdict(). Fields that this version doesn't know, or that the document lacks, don't matter."""
    return TargetSchema(
        name=document["name"],
        tables=tuple(_table(each) for each in document["tables"]),
        views=tuple(_item(TargetView, each) for each in document["views"]),
    )


def facts_from_document(document: Mapping[str, Any]) -> tuple[Fact, ...] | None:
    """None when the ledger was written by a version that kept none."""
    found = document.get("facts")
    return None if found is None else tuple(sorted(_item(Fact, each) for each in found))


def _table(document: Mapping[str, Any]) -> TargetTable:
    parts = {name: tuple(_item(kind, each) for each in document.get(name, ())) for name, kind in _PARTS}
    return replace(_item(TargetTable, {**document, **parts}), rows=-1, version_rows=())


def _item(kind: type[_Item], document: Mapping[str, Any]) -> _Item:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in document.items()}
    return kind(**{name: value for name, value in values.items() if name in known})


def loosened(schema: TargetSchema, loose: set[tuple[str, str]]) -> TargetSchema:
    """The same, but for keys (table, constraint) that may be NOT VALID by choice: whether they are doesn't show."""
    return replace(schema, tables=tuple(_loosened(table, loose) for table in schema.tables))


def _loosened(table: TargetTable, loose: set[tuple[str, str]]) -> TargetTable:
    keys: Sequence[TargetForeignKey] = [
        replace(key, validated=False, sql=key.sql.removesuffix(" NOT VALID"))
        if (table.name, key.name) in loose
        else key
        for key in table.foreign_keys
    ]
    checks: Sequence[TargetCheck] = [
        replace(check, validated=False, sql=check.sql.removesuffix(" NOT VALID"))
        if (table.name, check.name) in loose
        else check
        for check in table.checks
    ]
    return replace(table, foreign_keys=tuple(keys), checks=tuple(checks))
