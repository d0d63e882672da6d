"""Keeps what a restore is about to replace: a SQLite file with its log, whole, and once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_LOGS_FIRST = ("-wal", "-journal", "")  # the file's own name comes last: where it stands, all of it stands


def put_aside(source: Path, among: Path, beside: Path) -> Path:
    """A copy at `among`; where its disk has no room, a second name `beside`, in the source's own folder, which needs
    none (a restore renames another file over the first name). What an earlier attempt kept is kept.

    Raises OSError when neither can be had.
    """
    for kept in (among, beside):
        if kept.exists():
            return kept
    try:
        _copy(source, among)
    except OSError:
        for suffix in _LOGS_FIRST:
            Path(f"{among}{suffix}").unlink(missing_ok=True)
            Path(f"{among}{suffix}.part").unlink(missing_ok=True)
        _link(source, beside)
        return beside
    return among


def _copy(source: Path, aside: Path) -> None:
    for suffix in _LOGS_FIRST:
        if Path(f"{source}{suffix}").exists():
            shutil.copy2(f"{source}{suffix}", f"{aside}{suffix}.part")
            os.replace(f"{aside}{suffix}.part", f"{aside}{suffix}")


def _link(source: Path, aside: Path) -> None:
    for suffix in _LOGS_FIRST:
        if Path(f"{source}{suffix}").exists():
            Path(f"{aside}{suffix}").unlink(missing_ok=True)
            os.link(f"{source}{suffix}", f"{aside}{suffix}")
