"""Where a headless command keeps an export that nobody asked to keep: private, found again after a kill, then gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from migrations_app.engine.artefact_files import only_one
from migrations_app.engine.errors import Refused

_STALE_SECONDS = 24 * 3600


@contextlib.contextmanager
def workspace(name: str) -> Iterator[Path]:
    """A private folder under $TMPDIR; the same name gives the same folder, so that a killed export goes on.

    It is removed at the end, whatever the end; so are those of others of ours that were killed a day ago or more,
    since they hold an application's data. Raises Refused IN_USE when another process works under that name.
    """
    base = _private_base()
    _remove_stale(base)
    folder = base / name
    folder.mkdir(mode=0o700, exist_ok=True)
    with only_one(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _private_base() -> Path:
    """$TMPDIR/causeway-<uid>, ours alone: /tmp is everybody's, and a name there can be taken by a stranger."""
    base = Path(tempfile.gettempdir()) / f"causeway-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        return Path(tempfile.mkdtemp(prefix="causeway-"))
    return base


def _remove_stale(base: Path) -> None:
    for folder in base.iterdir():
        try:
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                with only_one(folder):
                    shutil.rmtree(folder, ignore_errors=True)
        except (OSError, Refused):
            continue  # in use, or gone meanwhile
