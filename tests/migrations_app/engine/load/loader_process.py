"""Loads an export in a process of its own, and kills itself at a named point: python -m … EXPORT POINT COUNT.

The target's URL comes in TARGET_DATABASE_URL. Points are functions of the engine, wrapped here; the product has none.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from migrations_app.engine.control import Control
from migrations_app.engine.export.export import open_export
from migrations_app.engine.load import build, ddl, existing, load, load_rows
from migrations_app.engine.target import lease, ledger
from migrations_app.engine.target.target_url import parse_target_url
from tests.migrations_app.engine.moves import RUN, make_plan

POINTS: dict[str, tuple[Any, str, str]] = {
    "begin": (ledger, "save_plan", "after"),
    "chunk_before_record": (ledger, "record_chunk", "before"),
    "chunk_before_commit": (ledger, "record_chunk", "after"),
    "chunk_after_commit": (load_rows, "_load_chunk", "after"),
    "object_before_commit": (ledger, "record_object", "after"),
    "object_after_commit": (build, "build", "after"),
    "publish_before_commit": (ledger, "finish", "after"),
    "published": (load, "_finish", "after"),
    "aside_before_commit": (existing, "put_aside", "after"),
    "back_before_commit": (existing, "put_back", "after"),
    "publishing": (ddl, "publish", "before"),
}


def kill_at(point: str, count: int) -> None:
    module, name, when = POINTS[point]
    original: Callable[..., Any] = getattr(module, name)
    numbers = itertools.count(1)  # next() is atomic: several threads load

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        number = next(numbers)
        if when == "before" and number == count:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if when == "after" and number == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(module, name, wrapped)


def main() -> None:
    directory, mode, point, count = sys.argv[1:5]
    if point != "none":
        kill_at(point, int(count))
    url = parse_target_url(os.environ["TARGET_DATABASE_URL"])
    claimed = lease.claim(url, RUN, "loader", 2, wait_seconds=20)
    control = Control()
    with lease.kept(url, claimed, control):
        load.load_export(
            open_export(Path(directory)), make_plan(mode), url, run_key=RUN, lease=claimed, control=control
        )


if __name__ == "__main__":
    main()
