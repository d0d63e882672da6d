"""A few megabytes that are kept back on the artefacts' disk, and given free when the way back begins.

Stopping, pointing and starting an application each write some hundred bytes there (who runs, which database was chosen,
a log). On a disk that is full to the last block the way back would end at the first of them, with the application down.
"""

from __future__ import annotations

import os
from pathlib import Path

from migrations_app.engine.artefact_files import told

NAME = "reserve"
BYTES = 8 * 1024 * 1024


def keep(folder: Path) -> Path:
    """Allocate the reserve in the folder; once is enough. Raises Failed DISK_FULL, FILE_ERROR."""
    path = folder / NAME
    with told(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, BYTES)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
    return path


def free(folder: Path) -> bool:
    """Give it free; False where it can't be removed, which must keep nobody from going back."""
    try:
        (folder / NAME).unlink(missing_ok=True)
    except OSError:
        return False
    return True
