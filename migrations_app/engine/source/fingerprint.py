"""The fingerprint of a SQLite file: says whether a single byte of it, or of its write-ahead log, has changed.

The bytes are hashed in a child process. POSIX drops all of a process's locks on a file when the process closes any
descriptor of it, so opening the file here would end the lock that a Source holds, and another process could write
in the middle of a snapshot.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from migrations_app.engine import hash_files
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed, Refused

_POLL_SECONDS = 0.2
_SIDE_FILES = ("-wal", "-journal")
# Clocks of file systems tick in milliseconds: what changed so shortly before a look may change again unseen.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True)
class Fingerprint:
    """Sizes in bytes, SHA-256 in hex. An absent or empty log counts as none, since a mere reader may create one.

    A rollback journal is part of the content while it is hot, so it is part of the digest.
    """

    main_sha256: str
    main_size: int
    wal_sha256: str
    wal_size: int
    digest: str
    journal_sha256: str = ""
    journal_size: int = 0

    def to_document(self) -> dict[str, object]:
        return asdict(self)


def fingerprint_from_document(document: dict[str, object]) -> Fingerprint:
    """The reverse of to_document(). Raises ValueError when the document isn't one."""
    try:
        found = Fingerprint(**document)  # type: ignore[arg-type]
        expected = _digest(found.main_sha256, found.wal_sha256, found.journal_sha256)
    except TypeError as error:
        raise ValueError("not a fingerprint") from error
    if found.digest != expected:
        raise ValueError("the fingerprint's digest doesn't match its parts")
    return found


def of_moment(identity: str, position: int, size: int) -> Fingerprint:
    """Stands for one moment of a file that goes on being written to, where bytes would never be the same twice.

    identity, position: of its log of changes, which say which moment; size in bytes, for judging room.
    """
    main = hashlib.sha256(f"{identity}\n{position}".encode()).hexdigest()
    return Fingerprint(main, size, "", 0, _digest(main, "", ""))


def fingerprint(path: Path, control: Control | None = None) -> Fingerprint:
    """Hash the file and its -wal and -journal in a child process.

    Raises Refused NOT_FOUND, NOT_A_FILE; Failed UNREADABLE; Cancelled.
    """
    names = [str(path), f"{path}-wal", f"{path}-journal"]
    main, wal, journal = _hash_in_child(names, control or Control())
    if main is None:
        raise Refused("NOT_FOUND", f"There is no file {path}.", "Check the path.")
    main_sha, wal_sha, journal_sha = main[1], _present(wal), _present(journal)
    return Fingerprint(
        main_sha256=main_sha,
        main_size=main[0],
        wal_sha256=wal_sha,
        wal_size=wal[0] if wal else 0,
        journal_sha256=journal_sha,
        journal_size=journal[0] if journal else 0,
        digest=_digest(main_sha, wal_sha, journal_sha),
    )


@dataclass(frozen=True)
class Watched:
    """A fingerprint, and how the files looked to the file system just before it was taken."""

    path: Path
    fingerprint: Fingerprint
    marks: tuple[tuple[int, ...] | None, ...]
    settled: bool

    def again(self, control: Control | None = None) -> Fingerprint:
        """The fingerprint of now: hashed anew unless the file system says that nothing has touched the files.

        It says so by device, inode, size, and the times of the last change, of which ctime can't be set by programs.
        Raises what fingerprint() raises.
        """
        if self.settled and _marks(self.path) == self.marks:
            return self.fingerprint
        return fingerprint(self.path, control)

    def changed(self, control: Control | None = None) -> bool:
        """Whether the path names other bytes than then; also when it names nothing any more."""
        try:
            return self.again(control).digest != self.fingerprint.digest
        except Refused:
            return True


def watch(path: Path, control: Control | None = None) -> Watched:
    """Fingerprint a file, so that a change of it, or another file in its place, can be noticed cheaply later."""
    marks, now = _marks(path), time.time_ns()
    settled = all(mark is None or max(mark[3:]) < now - _SETTLED_NS for mark in marks)
    return Watched(path, fingerprint(path, control), marks, settled)


def _marks(path: Path) -> tuple[tuple[int, ...] | None, ...]:
    return tuple(_mark(item) for item in (path, *(path.with_name(path.name + suffix) for suffix in _SIDE_FILES)))


def _mark(path: Path) -> tuple[int, ...] | None:
    """None for an empty file too: a mere reader may make an empty log."""
    try:
        found = path.stat()
    except OSError:
        return None
    if not found.st_size:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _present(found: tuple[int, str] | None) -> str:
    return found[1] if found and found[0] else ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _hash_in_child(names: list[str], control: Control) -> list[tuple[int, str] | None]:
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(hash_files.__file__)), *names],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            output, complaint = _wait(child, control)
        except BaseException:
            child.kill()  # nobody waits for the answer any more
            raise
    if child.returncode == 3 and "regular" in complaint:
        raise Refused("NOT_A_FILE", f"{names[0]} is not a regular file.", "Name the SQLite file itself.")
    if child.returncode != 0:
        raise Failed(
            "UNREADABLE", f"{names[0]} can't be read: {complaint.strip() or child.returncode}.", "Check rights."
        )
    return [tuple(item) if item else None for item in json.loads(output)]


def _wait(child: subprocess.Popen[str], control: Control) -> tuple[str, str]:
    while True:
        control.checkpoint()
        try:
            return child.communicate(timeout=_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
