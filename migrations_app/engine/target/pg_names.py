"""Names in PostgreSQL's SQL. Statements are built as text and run without parameters wherever a name may hold '%'."""

from __future__ import annotations

import hashlib
import re

LEDGER_SCHEMA = "causeway"
LOAD_SCHEMA_PREFIX = "causeway_load_"
# The mark where a schema goes, or what may hold the same letters without being it: a name or a constant.
_MARK_OR_QUOTED = re.compile(r"""\{schema\}|"(?:[^"]|"")*"|\b[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'""", re.DOTALL)


def quote(name: str) -> str:
    """An identifier, quoted: withstands quotes, blanks, '%' and reserved words. Raises ValueError for NUL or ''."""
    if not name or "\x00" in name:
        raise ValueError("PostgreSQL has no empty names and none with NUL")
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    return f"{quote(schema)}.{quote(name)}"


def literal(text: str) -> str:
    """A string constant. E'' so that standard_conforming_strings doesn't matter."""
    if "\x00" in text:
        raise ValueError("PostgreSQL's text can't hold NUL")
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def load_schema(run_key: str) -> str:
    """The schema that a run in mode `create` loads into before it publishes."""
    return LOAD_SCHEMA_PREFIX + hashlib.sha256(run_key.encode()).hexdigest()[:12]


def in_schema(sql: str, schema: str) -> str:
    """The statement of a plan's object with the schema's quoted name in its place."""
    return _MARK_OR_QUOTED.sub(lambda found: quote(schema) if found[0] == "{schema}" else found[0], sql)
