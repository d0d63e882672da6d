"""How files that count as evidence come to be: a part file, fsync, rename, fsync of the folder.

Whatever dies in between, a name without `.part` is a whole file. Files and folders are the owner's alone, since
they hold the application's data.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from migrations_app.engine.errors import Failed, Refused

PART = ".part"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def part_file(path: Path, *, sync_name: bool = True) -> Iterator[BinaryIO]:
    """Write `path` by way of `path.part`; it gets its name when the block ends well, and is removed otherwise.

    Without `sync_name` its content is on disk, but the name only once the folder is synced, as by the next file with.
    Raises Failed DISK_FULL, FILE_ERROR.
    """
    part = path.with_name(path.name + PART)
    with told(path):
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            if sync_name:
                sync_folder(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def write_atomically(path: Path, content: bytes) -> None:
    """`path` holds `content` or what it held before, never a part of it."""
    with part_file(path) as file:
        file.write(content)


def read_regular(path: Path, limit: int) -> bytes | None:
    """The bytes of a regular file of at most `limit` bytes, else None. Never follows a link, never blocks on a FIFO."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit + 1)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn an OSError into a Failed that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Failed(
                "DISK_FULL", f"The disk that holds {path.parent} is full.", "Free some space, then run it again."
            ) from error
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise Failed("FILE_ERROR", f"{path} can't be written or read: {why}.", "Check rights and the disk.") from error


def check_space(folder: Path, needed: int, what: str) -> None:
    """Refuse NO_SPACE when `folder` has fewer than `needed` bytes free. The folder must exist."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Refused(
            "NO_SPACE",
            f"{what} needs about {_megabytes(needed)} MB in {folder}, and only {_megabytes(free)} MB are free.",
            "Free some space or name another folder.",
        )


def _megabytes(size: int) -> int:
    return -(-size // 1_000_000)


def make_private_folder(folder: Path) -> None:
    """Make the folder (0700) and its parents. Raises Refused NOT_A_FOLDER; Failed FILE_ERROR, DISK_FULL."""
    with told(folder / "x"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise Refused("NOT_A_FOLDER", f"{folder} is not a folder.", "Name a folder.") from None


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder against another process of ours; the kernel lets go when we die. Raises Refused IN_USE."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                "IN_USE", f"Another process is writing to {folder}.", "Wait for it, or name another folder."
            ) from None
        yield
    finally:
        os.close(descriptor)
