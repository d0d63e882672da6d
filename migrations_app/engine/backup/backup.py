"""Backups of a SQLite file. One counts only when it is proven to be what the source holds, and was restored.

The copy is SQLite's own online backup inside one read transaction: without that a writer beside us makes it start
over for ever, and `cp` misses the write-ahead log. In the same transaction another process, past SQLite, finds every
page of the copy in the source. Then the copy, read back, must have the digest that it had when it was compared; so must
the file restored from it; and that file must pass SQLite's integrity_check.

The writer: in WAL mode it never waits; in a rollback-journal mode it waits while pages are copied and compared (0.6 s
for 200 MB). What is only read is read from a copy instead, see still.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from migrations_app.engine.artefact_files import PART, check_space, make_private_folder, sync_folder, told
from migrations_app.engine.backup.compare_pages import PagesTask, PagesVerdict, compare_pages
from migrations_app.engine.backup.content import Content, digest_content, first_difference
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.side_process import SideProcess
from migrations_app.engine.source.integrity_beside import CHECK_KIB
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_errors import is_full
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.source.still import copy_to

_BLOCK = 1 << 20
_SIDE_FILES = ("-wal", "-journal")
_ASIDE = ".before-restore"

Compared = Literal["pages", "cells"]


@dataclass(frozen=True)
class BackupResult:
    """`tables` are rows by table. `compared`: what was found equal to the source, inside one read transaction.

    Cells are compared where pages can't be told: in WAL mode, where the log's transactions could not be told apart, or
    where the path came to name another file.
    """

    path: Path
    sha256: str
    size: int
    tables: dict[str, int]
    compared: Compared


def take_backup(source: Path, destination: Path, control: Control) -> BackupResult:
    """Copy, compare, restore to a scratch file, check that; only then does `destination` exist.

    Raises what open_source raises; Refused NO_SPACE, SAME_FILE, CORRUPT; Failed DISK_FULL, BACKUP_DIFFERS,
    BACKUP_FAILED, FILE_ERROR, HELPER_DIED; Cancelled. Whatever is raised, nothing is left behind.
    """
    make_private_folder(destination.parent)
    if destination.exists() and source.exists() and destination.samefile(source):
        raise Refused("SAME_FILE", f"The backup of {source} can't be the file itself.", "Name another destination.")
    part = destination.with_name(destination.name + PART)
    try:
        with SideProcess(compare_pages, control=control) as helper, open_source(source, control) as held:
            schema = held.schema
            check_space(destination.parent, 2 * schema.page_count * schema.page_size, "The backup and its test")
            _copy(held, part)
            verdict = _compare_pages(helper, held, part)
            content = digest_content(held, control) if verdict.outcome == "unsure" else None
        _write_out(part)
        sha256 = verdict.sha256 if content is None else _hash(part)
        tables = _restore_and_check(source, part, sha256, content, control)
        size = part.stat().st_size
        with told(destination):
            os.replace(part, destination)
            sync_folder(destination.parent)
    finally:
        part.unlink(missing_ok=True)
    return BackupResult(destination, sha256, size, tables, "pages" if content is None else "cells")


def _copy(held: Source, part: Path) -> None:
    try:
        copy_to(held, part)
    except sqlite3.Error as error:
        raise _write_error(part, error) from error


def _compare_pages(helper: SideProcess, held: Source, part: Path) -> PagesVerdict:
    """Raises Failed BACKUP_DIFFERS."""
    schema = held.schema
    wal = schema.journal_mode == "wal"
    task = PagesTask(held.address.path, held.identity, part, schema.page_size, schema.page_count, wal)
    helper.send(task)
    verdict: PagesVerdict = helper.receive()
    if verdict.outcome == "different":
        raise _differs(f"The backup of {held.path} is not equal to it: page {verdict.page} differs.")
    return verdict


def _differs(what: str) -> Failed:
    return Failed("BACKUP_DIFFERS", what, "Take it again; if it happens again, check the disk.")


def _write_out(part: Path) -> None:
    """Onto the disk, and out of memory: what is read from here on is what the disk gives.

    macOS has no way to forget a file's pages: there, what is read back may be what memory holds.
    """
    with told(part), open(part, "rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _write_error(part: Path, error: sqlite3.Error) -> Failed:
    if is_full(error):
        return Failed("DISK_FULL", f"The disk that holds {part.parent} is full.", "Free some space, then run it again.")
    return Failed("BACKUP_FAILED", f"SQLite could not write the backup {part.parent}: {error}.", "See the message.")


def _hash(path: Path) -> str:
    with told(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _restore_and_check(of: Path, part: Path, sha256: str, content: Content | None, control: Control) -> dict[str, int]:
    """Rows by table of the restored file; its cells are those of `content`, where that is given.

    Raises Failed BACKUP_DIFFERS; Refused NO_SPACE, or CORRUPT where the damage came with the source's own pages.
    """
    scratch = part.with_name(f".{part.name}.restore-test")
    shutil.rmtree(scratch, ignore_errors=True)  # of an attempt that was killed
    restored = scratch / "restored.sqlite"
    try:
        restore_backup(part, restored, sha256)
        if _hash(restored) != sha256:
            raise _differs(f"The backup in {part.parent}, restored, is not equal to it.")
        with contextlib.closing(sqlite3.connect(restored, isolation_level=None)) as connection:
            # A WAL file can't be read without writing beside it. No row is read, so nothing of the schema runs; not
            # trusting it would only make SQLite refuse to parse an index on a JSON path.
            connection.execute("PRAGMA journal_mode=DELETE")
        with open_source(restored, control) as opened:
            return _check_restored(opened, content, control)
    except (sqlite3.Error, Refused) as error:
        if isinstance(error, Refused) and error.code == "NO_SPACE":
            raise
        if isinstance(error, Refused) and error.code == "CORRUPT" and content is None:
            found = error.message.replace(str(restored.absolute()), str(of))
            raise Refused(error.code, f"{found} A backup of it would be as damaged.", error.hint) from error
        raise _differs(f"The backup in {part.parent}, restored, can't be read back: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_restored(source: Source, content: Content | None, control: Control) -> dict[str, int]:
    source.keep_pages(CHECK_KIB)
    source.check_integrity(control)
    if content is None:
        return {table.name: source.count(table.name) for table in source.schema.tables if table.kind != "virtual"}
    restored = digest_content(source, control)
    if restored.digest != content.digest:
        raise _differs(f"The backup, restored, is not equal to the source: {first_difference(content, restored)}.")
    return restored.tables


def restore_backup(backup: Path, destination: Path, expected_sha256: str) -> None:
    """Put the backup in the place of `destination`, atomically, with the rights and owner of what was there.

    No process may have `destination` open. A -wal or -journal that belongs to the old file must not survive, since
    SQLite would apply it to the new one: they are set aside before the rename and removed after it, so that whatever
    dies in between, either the old or the new file stands and nothing is lost; run it again then.
    Raises Refused NOT_FOUND, BACKUP_DAMAGED (not the digest expected), NO_SPACE; Failed DISK_FULL, FILE_ERROR.
    """
    if not backup.is_file():
        raise Refused("NOT_FOUND", f"There is no backup {backup}.", "Check the path.")
    make_private_folder(destination.parent)
    check_space(destination.parent, backup.stat().st_size, "The restored file")
    new = destination.with_name(destination.name + ".restoring")
    try:
        _copy_checked(backup, new, expected_sha256)
        with told(destination):
            _take_over_rights(new, destination)
            asides = _set_aside(destination)
            os.replace(new, destination)
            sync_folder(destination.parent)
            for path in (*asides, destination.with_name(destination.name + "-shm")):
                path.unlink(missing_ok=True)
            sync_folder(destination.parent)
    finally:
        new.unlink(missing_ok=True)


def _copy_checked(backup: Path, new: Path, expected_sha256: str) -> None:
    digest = hashlib.sha256()
    with told(new):
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as target, open(backup, "rb") as source:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
    if digest.hexdigest() != expected_sha256:
        raise Refused(
            "BACKUP_DAMAGED", f"{backup} is not the file whose digest was recorded.", "Use another backup of the run."
        )


def _take_over_rights(new: Path, old: Path) -> None:
    """The application, perhaps another user than we are, must be able to open what it could open before."""
    if old.exists():
        status = old.stat()
        shutil.copymode(old, new)
    else:
        status = old.parent.stat()
    if os.geteuid() == 0:
        os.chown(new, status.st_uid, status.st_gid)


def _set_aside(destination: Path) -> list[Path]:
    asides = []
    for suffix in _SIDE_FILES:
        path = destination.with_name(destination.name + suffix)
        aside = path.with_name(path.name + _ASIDE)
        if path.exists():
            os.replace(path, aside)
        asides.append(aside)
    return asides
