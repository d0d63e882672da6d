"""Each probe with a clock of its own: one that hangs is an answer ("unknown"), and the others go on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")
logger = logging.getLogger("causeway.monitoring")

# Threads that did not come back, by key: a path on a dead file system blocks for ever, and a new thread each round
# would fill the process.
_hanging: dict[str, threading.Thread] = {}
_lock = threading.Lock()


def run_all(jobs: Mapping[str, Callable[[], T]], seconds: float, *, key: str = "") -> dict[str, T | str]:
    """All jobs side by side; each one's answer, or the sentence why there is none. key: whose jobs these are."""
    answers: dict[str, T | str] = {}
    threads: dict[str, threading.Thread] = {}
    for name, job in jobs.items():
        with _lock:
            older = _hanging.get(f"{key}/{name}")
            if older is not None and older.is_alive():
                answers[name] = "still hangs since an earlier round"
                continue
            _hanging.pop(f"{key}/{name}", None)
        threads[name] = threading.Thread(target=_run, args=(name, job, answers), name=f"probe-{name}", daemon=True)
        threads[name].start()
    until = time.monotonic() + seconds
    for name, thread in threads.items():
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            with _lock:
                _hanging[f"{key}/{name}"] = thread
    # A copy: a thread that comes back late must not change what was answered.
    return {name: answers.get(name, f"no answer within {seconds:g} s") for name in jobs}


def _run(name: str, job: Callable[[], T], answers: dict[str, T | str]) -> None:
    try:
        answers[name] = job()
    except Exception:  # a probe's own fault is an answer too; the log has it whole
        logger.exception("probe %s broke", name)
        answers[name] = "the probe itself broke: see the worker's log"
