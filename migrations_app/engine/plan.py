"""The plan: the reviewed mapping of every table and column, with the findings and the choice made on each.

Pure data with a canonical JSON form and a digest. `planning.py` makes a plan; `export.py`, `load.py` and
`compare.py` obey it. The digest covers what will be done (mapping, choices, settings), not how many
rows there are, so that a rehearsed plan stays the same plan while the application goes on working.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

FORMAT = 1

# What happens to a table.
LOAD = "load"  # its rows are moved
SKIP = "skip"  # left out: excluded, or a shadow table
KEEP_TARGET = "keep_target"  # the target's rows stay (schema-version tables); compared, not loaded
EMPTY_THEN_LOAD = "empty_then_load"  # existing mode: the rows that the application seeded itself are emptied first

# What happens to a row with a value that doesn't fit its column.
FAIL = "fail"  # the move stops
SKIP_ROW = "skip_row"  # the row is left out, by choice
SKIP_WIDE_ROW = "skip_wide_row"  # said of one column: rows of its table that are too wide for a page are left out

MODE_CREATE = "create"
MODE_EXISTING = "existing"


@dataclass(frozen=True)
class Finding:
    """Something that the target can't hold or would treat otherwise.

    severity: 'refuse' (needs a choice before anything is loaded), 'warn' (shown, a default is taken) or 'info'.
    row_key: JSON text of the key of the first row concerned ('' when the finding is about an object).
    choices: the choices there are, the first being the default where severity is not 'refuse'.
    """

    code: str
    severity: str
    message: str
    table: str = ""
    column: str = ""
    row_key: str = ""
    count: int = 0
    choices: tuple[str, ...] = ()
    choice: str = ""

    @property
    def needs_choice(self) -> bool:
        return self.severity == "refuse" and not self.choice


@dataclass(frozen=True)
class ColumnPlan:
    """One column's way. `conversion` names an entry of conversions.py; `reason` says in words why this type."""

    name: str
    target_name: str
    declared_type: str
    target_type: str  # PostgreSQL type as SQL text, e.g. 'numeric(10,2)'
    conversion: str
    not_null: bool = False
    default_sql: str | None = None  # PostgreSQL expression, None for none
    generated_sql: str | None = None  # GENERATED ALWAYS AS (…) STORED: created, not loaded
    identity: bool = False
    reason: str = ""
    load: bool = True  # False: no values travel (generated columns, columns that the target lacks and a choice drops)
    collation: str = ""  # 'C' for text in keys and indexes (SQLite's BINARY order); '' for the database's default
    on_unfit: str = FAIL


@dataclass(frozen=True)
class ObjectPlan:
    """An index, key, check, default, view or trigger: what it becomes, or why it does not.

    kind: 'primary_key', 'unique', 'index', 'foreign_key', 'check', 'default', 'view', 'trigger'.
    sql: complete PostgreSQL statement with {schema} where the target schema's quoted name goes; '' when not carried.
    """

    kind: str
    name: str
    sql: str = ""
    carried: bool = True
    why: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TablePlan:
    name: str
    target_name: str
    rule: str
    columns: tuple[ColumnPlan, ...]
    key: tuple[str, ...]  # source column names that identify a row; () means the rowid
    objects: tuple[ObjectPlan, ...] = ()
    reason: str = ""

    @property
    def loaded_columns(self) -> tuple[ColumnPlan, ...]:
        return tuple(column for column in self.columns if column.load)

    @property
    def is_loaded(self) -> bool:
        return self.rule in (LOAD, EMPTY_THEN_LOAD)


@dataclass(frozen=True)
class EncryptedColumn:
    """A column whose cells the application encrypts. `key_env` names the variable that holds the key, never the key."""

    table: str
    column: str
    scheme: str  # 'fernet' or 'aes-256-gcm'
    key_env: str
    pattern: str = ""  # regular expression that the plain text must match, '' for any


@dataclass(frozen=True)
class MovePlan:
    mode: str
    target_schema: str
    schema_digest: str  # of the source's schema when the plan was made
    encoding: str
    tables: tuple[TablePlan, ...]
    objects: tuple[ObjectPlan, ...] = ()  # views and triggers
    findings: tuple[Finding, ...] = ()
    choices: tuple[tuple[str, str], ...] = ()  # as given: ('CODE' or 'CODE@table.column', choice)
    excluded: tuple[str, ...] = ()
    encrypted: tuple[EncryptedColumn, ...] = ()
    format: int = FORMAT

    def table(self, name: str) -> TablePlan:
        """The plan of the source table of that exact name. Raises KeyError."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)

    @property
    def open_findings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.needs_choice)

    def to_document(self) -> dict[str, Any]:
        """A JSON-able dict; from_document() gives an equal plan back."""
        return {**asdict(self), "digest": self.digest}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of what will be done: everything but the findings' counts, row keys and wording."""
        stable = replace(self, findings=tuple(replace(f, count=0, row_key="", message="") for f in self.findings))
        text = json.dumps(asdict(stable), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def plan_from_document(document: dict[str, Any]) -> MovePlan:
    """Rebuild a plan from to_document(). Raises ValueError when the format or the digest doesn't match."""
    if document.get("format") != FORMAT:
        raise ValueError(f"plan format {document.get('format')!r}, this version reads {FORMAT}")
    body = {key: value for key, value in document.items() if key != "digest"}
    plan = MovePlan(
        **{
            **body,
            "tables": tuple(_table(item) for item in body["tables"]),
            "objects": tuple(ObjectPlan(**item) for item in body["objects"]),
            "findings": tuple(Finding(**{**item, "choices": tuple(item["choices"])}) for item in body["findings"]),
            "choices": tuple((code, choice) for code, choice in body["choices"]),
            "excluded": tuple(body["excluded"]),
            "encrypted": tuple(EncryptedColumn(**item) for item in body["encrypted"]),
        }
    )
    if "digest" in document and document["digest"] != plan.digest:
        raise ValueError("the plan's digest doesn't match its content: it was edited")
    return plan


def _table(item: dict[str, Any]) -> TablePlan:
    return TablePlan(
        **{
            **item,
            "columns": tuple(ColumnPlan(**column) for column in item["columns"]),
            "key": tuple(item["key"]),
            "objects": tuple(ObjectPlan(**obj) for obj in item["objects"]),
        }
    )
