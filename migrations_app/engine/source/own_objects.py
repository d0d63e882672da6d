"""What a live crossing puts into the application's file, and how it is kept out of all that is said of that file.

With capture installed, or with the fence up, a file's schema, digest and content are those of the application alone.
While the fence is up the application's triggers are put aside in our state table: they count as if they stood.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from migrations_app.engine.errors import Refused
from migrations_app.engine.source.cells import InvalidText
from migrations_app.engine.source.sqlite_ddl import fold

STATE_TABLE = "causeway_state"
LOG_TABLE = "causeway_log"
CAPTURE_PREFIX = "causeway_c_"
FENCE_PREFIX = "causeway_f_"
# As SQLite keeps them. The table of the state is known by this very text: another of that name isn't ours.
STATE_SQL = f"CREATE TABLE {STATE_TABLE} (name TEXT PRIMARY KEY, value) WITHOUT ROWID"
LOG_SQL = f"CREATE TABLE {LOG_TABLE} (seq INTEGER PRIMARY KEY, tbl INTEGER NOT NULL"
CAPTURE, FENCED, FLOWING = "capture", "fenced", "flowing"  # modes; the last is never seen outside its transaction
_TRIGGER = re.compile(f"(?:{CAPTURE_PREFIX}|{FENCE_PREFIX})[0-9]+_[a-z]+")

Entry = tuple[str, str, str, str]  # type, name, table, sql: a row of sqlite_schema
Select = Callable[[str], Iterable[Sequence[Any]]]


def all_entries(select: Select) -> list[Entry]:
    """Every object of the file, in the order in which they were made. Raises Refused BAD_NAME; sqlite3.Error."""
    found: list[Entry] = []
    for row in select("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY rowid"):
        if any(isinstance(part, InvalidText) for part in row):
            raise Refused(
                "BAD_NAME", f"A {row[0]} has a name or definition that isn't valid text.", "Rename it in the source."
            )
        found.append((str(row[0]), str(row[1]), str(row[2]), str(row[3])))
    return found


def application_entries(select: Select) -> list[Entry]:
    """The objects that are the application's own, those among them that the fence has put aside.

    Raises Refused BAD_NAME, CAPTURE_DAMAGED; sqlite3.Error.
    """
    entries = all_entries(select)
    return without_ours(entries, select) if holds_ours(entries) else entries


def without_ours(entries: Sequence[Entry], select: Select) -> list[Entry]:
    """As application_entries(), of a file that holds ours."""
    return [entry for entry in entries if not is_ours(entry)] + put_aside(select)


def holds_ours(entries: Iterable[Entry]) -> bool:
    """Whether a live crossing has put its objects into the file, and not somebody else objects of such names."""
    return ("table", STATE_TABLE, STATE_TABLE, STATE_SQL) in entries


def is_ours(entry: Entry) -> bool:
    """Whether an object of a file that holds ours is one of them; indexes go by their table."""
    kind, name, table, sql = entry
    if kind == "trigger":
        return _TRIGGER.fullmatch(name) is not None
    if table == LOG_TABLE:
        return kind == "index" or sql.startswith(LOG_SQL)
    return table == STATE_TABLE


def takes_our_name(entry: Entry) -> bool:
    """Whether an object of a file that holds none of ours has a name that ours will need."""
    name = fold(entry[1])
    return name in (STATE_TABLE, LOG_TABLE) or name.startswith((CAPTURE_PREFIX, FENCE_PREFIX))


def put_aside(select: Select) -> list[Entry]:
    """The application's triggers that the fence keeps in the state table, in their order. Raises CAPTURE_DAMAGED."""
    state = {row[0]: row[1] for row in select(f"SELECT name, value FROM {STATE_TABLE}")}
    if state.get("mode") == CAPTURE:
        return []
    try:
        kept = json.loads(state["triggers"])
        return [("trigger", str(name), str(table), str(sql)) for name, table, sql in kept]
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(f"its list of triggers can't be read ({type(error).__name__})") from None


def damaged(what: str) -> Refused:
    """Our own objects in the file aren't as we made them."""
    return Refused(
        "CAPTURE_DAMAGED",
        f"The table {STATE_TABLE} of the SQLite file was changed by somebody else: {what}.",
        "Nothing is touched. Restore the file, or end the replication and start it anew.",
    )


def schema_digest(entries: Sequence[Entry]) -> str:
    """SHA-256 (hex) over all DDL texts, sorted. ANALYZE and VACUUM don't change it."""
    lines = sorted(
        f"{kind}\x1f{name}\x1f{table}\x1f{sql}"
        for kind, name, table, sql in entries
        if not fold(name).startswith("sqlite_stat")
    )
    return hashlib.sha256("\x1e".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
