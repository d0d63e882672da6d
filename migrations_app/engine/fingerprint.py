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
from dataclasses import asdict, dataclass
from pathlib import Path

from migrations_app.engine import hash_files
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed, Refused

_POLL_SECONDS = 0.2


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
