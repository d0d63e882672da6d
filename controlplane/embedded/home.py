"""Where an embedded server's files lie and whose they are: servers refuse root, so root drops to another user.

That user must be able to reach the binaries and the data folder. Where a parent folder isn't open to others
(a checkout in root's home) both go to a folder under /var/tmp instead; permissions of folders that are not
ours are never changed.
"""

import hashlib
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded.errors import EmbeddedError

ACCOUNTS = ("postgres", "nobody")  # in this order; the second exists everywhere
SHARED_TEMPORARY = Path("/var/tmp")  # survives a restart of the machine, unlike /tmp


@dataclass(frozen=True)
class Account:
    """The user that a server runs as when we are root."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """None when we are an ordinary user (the server is ours then). Raises EmbeddedError (account.missing)."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "account.missing",
        "Servers refuse to run as root, and this machine has neither a user postgres nor nobody.",
        "Run as an ordinary user, or create the user postgres.",
    )


def is_reachable(path: Path) -> bool:
    """Whether any user may pass through the folder and all its parents."""
    path = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def server_home(state_dir: Path, account: Account | None) -> Path:
    """The folder for a server's files: `state_dir`, or a stand-in that the server's user can reach."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    state_dir = state_dir.resolve()
    if account is None or is_reachable(state_dir):
        return state_dir
    digest = hashlib.sha256(str(state_dir).encode()).hexdigest()[:16]
    home = SHARED_TEMPORARY / f"causeway-{digest}"
    home.mkdir(mode=0o711, exist_ok=True)
    found = home.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        # Anyone may create names in /var/tmp: a folder that isn't ours is somebody's trap.
        raise EmbeddedError("home.foreign", f"{home} belongs to another user.", "Remove it, or move the state folder.")
    (state_dir / "moved-to").write_text(f"{home}\n")
    return home


def give(path: Path, account: Account | None) -> None:
    """Make the server's user the owner."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def reachable_copy(folder: Path, beside: list[Path], home: Path, account: Account | None) -> Path:
    """`folder`, or a copy of it (with its neighbours) under `home` when the server's user can't reach it."""
    if account is None or is_reachable(folder):
        return folder
    target = home / "programs"
    if not (target / ".complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        for source in (folder, *beside):
            shutil.copytree(source, target / source.name, symlinks=True)
        _open_to_others(target)
        (target / ".complete").touch()
    return target / folder.name


def _open_to_others(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if path.is_dir() or mode & 0o100 else 0o044))


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """A file of mode 0600, made so from the start, for the given user."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    give(path, account)
