"""An application whose helper process outlives it, in a session of its own, and goes on writing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from asgi import Application, on_startup

WRITER = Path(__file__).resolve().parent.parent / "yukyu" / "worker.py"


def leaves_a_writer() -> Application:
    """Ends when it is asked to; a copy of the worker that it started doesn't, and writes on.

    The worker's process id is written to the file that YUKYU_FAULT_PIDFILE names, so that a test can end it.
    """
    from main import app

    return on_startup(app, start_writer)


def start_writer() -> None:
    """A worker that nothing ties to us: own session, no pipes, no SIGTERM of ours reaches it."""
    environment = {**os.environ, "WORKER_ENABLED": "1", "WORKER_INTERVAL_SECONDS": "0.5"}
    writer = subprocess.Popen(
        [sys.executable, str(WRITER)],
        env=environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # Without this a writer that ends later would stay a zombie of ours.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pidfile = os.environ.get("YUKYU_FAULT_PIDFILE")
    if pidfile:
        Path(pidfile).write_text(f"{writer.pid}\n")
