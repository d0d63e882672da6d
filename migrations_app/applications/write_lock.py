"""Asks whether the SQLite file can be locked for writing, in a child process, and leaves the file as it was.

In a child, because opening and closing the file within this process would drop this process's own locks on it. The
child ends without closing a database that has a write-ahead log: the last one to close would fold the log into the main
file, which must not change any more.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from migrations_app.applications.commands import minimal_environment

_PROBE = r"""
import json, os, sqlite3, sys
from urllib.parse import quote
path, wait = sys.argv[1], float(sys.argv[2])
def size(suffix):
    try:
        return os.stat(path + suffix).st_size
    except FileNotFoundError:
        return 0
answer = {"free": False, "reason": "", "wal_bytes": size("-wal"), "journal_bytes": size("-journal")}
try:
    connection = sqlite3.connect("file:" + quote(path) + "?mode=rw", uri=True, timeout=wait, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")
    answer["free"] = True
except sqlite3.Error as error:
    answer["reason"] = str(error)
else:
    if answer["wal_bytes"] == 0:
        connection.close()
print(json.dumps(answer), flush=True)
os._exit(0)
"""


@dataclass(frozen=True)
class LockState:
    """Whether BEGIN IMMEDIATE was possible just now."""

    free: bool
    reason: str
    wal_bytes: int
    caveats: tuple[str, ...] = ()


def probe_write_lock(path: Path, wait_seconds: float = 1.0) -> LockState:
    """Take SQLite's write lock and give it back. A hot journal is rolled back by that, as any opener would."""
    if not path.is_file():
        return LockState(False, f"{path} is not there", 0)
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROBE, str(path), str(wait_seconds)],
            capture_output=True,
            text=True,
            env=minimal_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            timeout=wait_seconds + 15,
            check=False,
        )
        answer = json.loads(child.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return LockState(False, f"the write lock on {path} could not be tried in time", 0)
    caveats = ("a hot journal was rolled back",) if answer["journal_bytes"] and answer["free"] else ()
    reason = "" if answer["free"] else f"the write lock on {path} can't be had: {answer['reason']}"
    return LockState(bool(answer["free"]), reason, int(answer["wal_bytes"]), caveats)
