"""move_database in a process that kills itself: python -m … FOLDER SOURCE WHAT NUMBER; the URL is in the environment.

WHAT and NUMBER are a moment (in_process.py), or "seconds" and how many of them after the command began; "never" lets
it live and prints how long it took.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import django

from migrations_app.engine.export import part_writer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    django.setup()
    from tests.migrations_app.management.in_process import at, move, watched_moves

    part_writer.CHUNK_ROWS = 1000
    folder, source, what, number = sys.argv[1:5]
    started = time.monotonic()
    if what == "seconds":
        timer = threading.Timer(float(number), die)
        timer.daemon = True
        timer.start()
    with watched_moves(at((what, int(float(number))), die)):
        done = move(Path(folder), Path(source), os.environ["TARGET_DATABASE_URL"])
    print(time.monotonic() - started, flush=True)
    if done.code:
        sys.exit(done.text)


if __name__ == "__main__":
    main()
