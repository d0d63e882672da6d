"""The folder in which the demo keeps everything: one instance at a time, erased only if it is ours."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from controlplane.embedded.home import server_home, unprivileged_account
from demo.stage.errors import StageError

ROOT = Path(__file__).resolve().parents[2]
MARKER = "causeway-demo"
SERVERS = ("postgres", "broker")
FOLDERS = (*SERVERS, "applications", "artifacts", "beat", "keys", "logs", "mail", "walkthrough")
PUBLIC_KEY = "audit-public.pem"
FILES = (
    PUBLIC_KEY,
    "control.sqlite3",
    "control.sqlite3-shm",
    "control.sqlite3-wal",
    "lock",
    "operator.toml",
    "ports.json",
    "ports.part",
    MARKER,
)


class Home:
    """`path` and the places in it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def folder(self, name: str) -> Path:
        """One of our folders, private to this user; made when it is missing."""
        folder = self.path / name
        # The servers' user must pass through the two that hold its files (when the demo runs as root).
        folder.mkdir(mode=0o711 if name in SERVERS else 0o700, exist_ok=True)
        return folder

    @property
    def control_database(self) -> Path:
        return self.path / "control.sqlite3"

    @property
    def public_key(self) -> Path:
        """Of the trail: what an auditor would have been given on another way."""
        return self.path / PUBLIC_KEY

    @property
    def operator_file(self) -> Path:
        return self.path / "operator.toml"

    def log(self, name: str) -> Path:
        return self.folder("logs") / f"{name}.log"

    def open(self) -> None:
        """Make the folder ours and lock it. Raises StageError demo.foreign_folder, demo.running."""
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise self._foreign("it is not a folder of its own")
        self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        if self.path.stat().st_uid != os.geteuid():
            raise self._foreign("it belongs to another user")
        strangers = self.strangers()
        if strangers and not (self.path / MARKER).exists():
            raise self._foreign(f"it holds {strangers[0]}")
        self._take_lock()
        self.path.chmod(0o711)  # nobody else may write here: the operator's file is trusted
        (self.path / MARKER).touch(mode=0o600)

    def close(self) -> None:
        """Let another instance in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def erase(self) -> None:
        """Remove what the demo made, keeping the lock. Raises StageError demo.foreign_folder; then nothing is gone."""
        strangers = self.strangers()
        if strangers:
            raise self._foreign(f"it holds {', '.join(strangers[:3])}")
        for name in SERVERS:
            if (self.path / name).exists():
                shutil.rmtree(server_home(self.path / name, unprivileged_account()), ignore_errors=True)
        for entry in self.path.iterdir():
            if entry.name in ("lock", MARKER):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def strangers(self) -> list[str]:
        """What lies there and isn't the demo's."""
        return sorted(entry.name for entry in self.path.iterdir() if entry.name not in (*FOLDERS, *FILES))

    def _take_lock(self) -> None:
        lock = self.path / "lock"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = lock.read_text().strip() or "another process"
            os.close(descriptor)
            raise StageError(
                "demo.running", f"The demo in {self.path} already runs ({who}).", "Use that one, or end it with Ctrl-C."
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()}\n".encode())
        self._lock = descriptor

    def note_address(self, address: str) -> None:
        """A second instance, when it is refused, says where the first one is."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"process {os.getpid()}, {address}\n".encode(), 0)

    def _foreign(self, why: str) -> StageError:
        return StageError(
            "demo.foreign_folder",
            f"{self.path} is not the demo's: {why}.",
            "Move that away, or name another folder with --state-dir. Nothing was changed.",
        )
