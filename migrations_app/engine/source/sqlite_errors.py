"""sqlite3's errors as ours: code, sentence and hint."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from migrations_app.engine.errors import EngineError, Failed, Refused

MAX_CELL_BYTES = 512 * 1024 * 1024  # a row, too; PostgreSQL takes 1 GB a value, hex needs two bytes for one


def corrupt(path: Path, detail: str) -> Refused:
    return Refused(
        "CORRUPT",
        f"The SQLite file {path} is damaged: {detail}.",
        "Restore a sound copy, or salvage it with the sqlite3 shell's .recover into a new file, and move that one.",
    )


def translate_error(path: Path, error: sqlite3.Error, doing: str) -> EngineError:
    """One of our errors for one of sqlite3's: code, sentence and hint."""
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith("SQLITE_NOTADB"):
        return Refused(
            "NOT_SQLITE",
            f"{path} is encrypted or not SQLite.",
            "Give the SQLite database file itself; decrypt it first where it is encrypted as a whole.",
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Refused(
            "LOCKED",
            f"{path} is locked by another process while {doing}.",
            "Wait until its writer has committed, or stop it.",
        )
    if name.startswith("SQLITE_CORRUPT") or "malformed" in str(error):
        return truncated(path) or corrupt(path, f"{error}, while {doing}")
    if name.startswith("SQLITE_TOOBIG"):
        return Refused(
            "VALUE_TOO_LARGE",
            f"A row of {path} is over the limit of {MAX_CELL_BYTES // 1024 // 1024} MiB.",
            "Move such values out of the database, or leave the table out with --exclude.",
        )
    if name.startswith("SQLITE_AUTH") or str(error).startswith("not authorized"):
        return Refused(
            "NOT_READABLE",
            f"{path}: {doing} would run code of the file: {error}.",
            "Leave the table out with --exclude.",
        )
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_READONLY")):
        return Refused(
            "UNREADABLE", f"{path} can't be opened for reading.", "Check its rights and those of its folder."
        )
    return Failed(
        "SQLITE_FAILED", f"SQLite failed while {doing} of {path}: {error}.", "See the message; then try again."
    )


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk took no more of what was written."""
    name = str(getattr(error, "sqlite_errorname", ""))
    return name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE"))


def truncated(path: Path) -> Refused | None:
    """Compare the header's page count with the file's size. Only asked once SQLite has given the file up."""
    try:
        header = path.open("rb").read(100)
        size = path.stat().st_size
    except OSError:
        return None
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    expected = int.from_bytes(header[28:32], "big") * page_size
    if len(header) == 100 and expected <= size:
        return None
    return Refused(
        "TRUNCATED",
        f"{path} is cut off: its header speaks of {expected} bytes, the file has {size}.",
        "Copy it again, with the application stopped or with SQLite's own backup.",
    )
