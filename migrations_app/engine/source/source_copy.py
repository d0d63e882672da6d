"""A scratch copy of a SQLite file together with its -journal or -wal, for files that must be recovered to be read."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed, Refused

# In a child process: closing a descriptor of the file in this one would drop this process's locks on it.
_COPY = "import shutil,sys; [shutil.copyfile(a, b) for a, b in zip(sys.argv[1::2], sys.argv[2::2])]"
_TIMEOUT = 3600
SUFFIXES = ("-journal", "-wal")  # not -shm: SQLite makes it anew


def copy_with_journal(path: Path, folder: Path, control: Control) -> Path:
    """Copy `path` and the journals beside it into `folder`; gives the copy's path.

    Raises Refused NO_SPACE, or LOCKED when the files changed while they were copied; Failed COPY_FAILED.
    """
    files = [path, *(item for item in (path.with_name(path.name + s) for s in SUFFIXES) if item.exists())]
    needed = sum(item.stat().st_size for item in files)
    if shutil.disk_usage(folder).free < needed * 2:
        raise Refused(
            "NO_SPACE", f"{path} needs recovery in a copy of {needed} bytes; {folder} has no room.", "Set TMPDIR."
        )
    before = _marks(files)
    control.checkpoint()
    pairs = [part for item in files for part in (str(item), str(folder / item.name))]
    done = subprocess.run([sys.executable, "-I", "-c", _COPY, *pairs], capture_output=True, timeout=_TIMEOUT)
    if done.returncode != 0:
        raise Failed("COPY_FAILED", f"{path} could not be copied for its recovery.", "Check rights and free space.")
    if _marks(files) != before:
        raise Refused("LOCKED", f"{path} changes while it is read.", "Stop its writer, then try again.")
    return folder / path.name


def _marks(files: list[Path]) -> list[tuple[int, int]]:
    return [(item.stat().st_size, item.stat().st_mtime_ns) if item.exists() else (-1, -1) for item in files]
