"""A note in the instance's folder: for which database the driver last began to start an application that runs
elsewhere (a unit, a container, by hand).

It is written while nothing runs, before the start: whatever runs afterwards has read the configuration as it is now. So
a start that was killed halfway is told from an application that has been running since before the switch.
"""

from __future__ import annotations

import json
from pathlib import Path

from migrations_app.applications.supervision import write_private

NAME = "launched.json"


def read(state_dir: Path) -> str:
    """The dialect of the last start; "" when there was none, or it has been stopped since."""
    try:
        document = json.loads((state_dir / NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return ""
    return str(document.get("dialect", "")) if isinstance(document, dict) else ""


def write(state_dir: Path, dialect: str) -> None:
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(state_dir / NAME, json.dumps({"dialect": dialect}).encode())


def clear(state_dir: Path) -> None:
    (state_dir / NAME).unlink(missing_ok=True)
