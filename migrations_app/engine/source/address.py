"""Where an open SQLite file really is, so that another process can open the same one."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Address:
    """Where an open file really is, and the path that people know it by."""

    uri: str
    shown: Path

    @property
    def path(self) -> Path:
        """Of the file that SQLite has open: where a copy had to be recovered, the copy's."""
        return Path(urllib.parse.unquote(self.uri.removeprefix("file:").partition("?")[0]))


def identity_of(path: Path) -> tuple[int, int]:
    """Which file the path names, whatever is in it; (0, 0) for none."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)
