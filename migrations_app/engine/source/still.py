"""Opens a file that an application goes on writing to, without keeping it from that.

Outside WAL mode nobody can commit while somebody reads, and as soon as one writer waits for that, nobody can begin to
read either: the application stands still, until its writers give up (https://www.sqlite.org/lockingv3.html). So what
is read for long is a copy, made in one short read transaction.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from migrations_app.engine.artefact_files import check_space, make_private_folder, told
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.source.opening import open_at, open_source
from migrations_app.engine.source.sqlite_errors import is_full, translate_error
from migrations_app.engine.source.sqlite_source import Source

_NAME = "copy.sqlite"


def open_still(path: Path, control: Control | None = None, folder: Path | None = None) -> Source:
    """Like open_source(); of a file that isn't in WAL mode a copy is read, which goes when the Source is closed.

    folder: for the copy, the caller's alone; it is made anew, with whatever a killed process left there, and removed
    in the end. Without it the copy lies in TMPDIR.
    Raises what open_source() raises; Refused NO_SPACE, SOURCE_CHANGED; Failed DISK_FULL, COPY_FAILED.
    """
    control = control or Control()
    source = open_source(path, control)
    if source.schema.journal_mode == "wal" or source.is_copy:
        return source
    with source:
        scratch, remove = _scratch(folder)
        try:
            check_space(scratch, source.size, "The copy that is read")
            before = _mark(path)
            copy_to(source, scratch / _NAME, phase="copy")
            if _mark(path) != before:
                raise Refused(
                    "SOURCE_CHANGED",
                    f"{source.path} was written to, or replaced, past SQLite's locks while it was copied.",
                    "Find what does that (cp, mv, rsync …), then run it again.",
                )
        except sqlite3.Error as error:
            remove()
            raise _copy_error(source.path, scratch, error) from error
        except BaseException:
            remove()
            raise
    try:
        copy = open_at(scratch / _NAME, source.path, control)
    except BaseException as error:
        remove()
        if isinstance(error, sqlite3.Error):
            raise translate_error(source.path, error, "opening a copy") from error
        raise
    copy.attach_copy(remove)
    return copy


def copy_to(source: Source, path: Path, *, phase: str = "backup") -> None:
    """SQLite's own backup into a new file, not yet on disk when we return: a writer may be waiting.

    Raises sqlite3.Error as it comes; Failed DISK_FULL, FILE_ERROR.
    """
    with told(path):
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    target = sqlite3.connect(path, isolation_level=None)
    try:
        target.execute("PRAGMA journal_mode=OFF")
        target.execute("PRAGMA synchronous=OFF")  # who needs it on the disk writes it out
        source.copy_into(target, phase=phase)
    finally:
        target.close()


def _mark(path: Path) -> tuple[int, ...]:
    """Doesn't change while we hold a read lock, unless somebody goes past it: writers write their journal."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _scratch(folder: Path | None) -> tuple[Path, Callable[[], None]]:
    if folder is None:
        made = Path(tempfile.mkdtemp(prefix="causeway-read-"))
    else:
        made = folder
        shutil.rmtree(made, ignore_errors=True)
        make_private_folder(made)
    return made, lambda: shutil.rmtree(made, ignore_errors=True)


def _copy_error(path: Path, folder: Path, error: sqlite3.Error) -> Failed:
    if is_full(error):
        return Failed("DISK_FULL", f"The disk that holds {folder} is full.", "Free some space, then run it again.")
    return Failed("COPY_FAILED", f"{path} could not be copied to be read: {error}.", "See the message.")
