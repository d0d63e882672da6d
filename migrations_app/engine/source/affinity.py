"""SQLite's affinities: which storage class a column prefers (https://www.sqlite.org/datatype3.html section 3.1)."""

from __future__ import annotations

INTEGER, REAL, NUMERIC, TEXT, BLOB = "INTEGER", "REAL", "NUMERIC", "TEXT", "BLOB"


def affinity(declared: str) -> str:
    """SQLite's affinity of a declared type."""
    upper = declared.upper()
    if "INT" in upper:
        return INTEGER
    if any(part in upper for part in ("CHAR", "CLOB", "TEXT")):
        return TEXT
    if "BLOB" in upper or not upper.strip():
        return BLOB
    return REAL if any(part in upper for part in ("REAL", "FLOA", "DOUB")) else NUMERIC
