"""Which files a folder holds, and scratch copies of them: no file is ever opened where it lies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

SIDE_FILES = ("-wal", "-journal")
_NO_DATABASES = {".json", ".md", ".py", ".sh", ".txt"}
_NO_MAIN_FILE = ("-wal", "-shm", "-journal")


def find_files(folder: Path) -> Iterator[Path]:
    """Every file below the folder that may be meant as a database, by name. A wrong one is a case, too."""
    for path in sorted(folder.rglob("*")):
        named_otherwise = path.suffix in _NO_DATABASES or path.name.endswith(_NO_MAIN_FILE)
        if path.is_file() and not named_otherwise and not path.name.startswith("."):
            yield path


def copy_case(path: Path, folder: Path) -> Path:
    """The file with its write-ahead log or hot journal, in a folder of its own."""
    folder.mkdir(parents=True)
    for side in ("", *SIDE_FILES):
        beside = path.with_name(path.name + side)
        if beside.exists():
            shutil.copyfile(beside, folder / beside.name)
    return folder / path.name
