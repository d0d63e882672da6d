"""Keeps a lease alive beside long work, and stops the work when it can't.

The work runs in the main thread; this thread renews every few seconds on a database connection of its own. When a
renewal finds that the row is no longer ours, or can't be made for as long as the lease lasts, the work is told to
stop: a worker that can't prove that it holds the lease must not go on writing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from django.conf import settings
from django.db import DatabaseError, connection

from migrations_app.engine.control import Control

logger = logging.getLogger("causeway.heartbeat")


class Heartbeat:
    """Context manager. `renew` answers '' while the lease is ours and the work wanted, else why it must stop."""

    def __init__(self, control: Control, renew: Callable[[], str]) -> None:
        self._control = control
        self._renew = renew
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(timeout=settings.CAUSEWAY_LEASE_SECONDS)

    def _beat(self) -> None:
        renewed = time.monotonic()
        interval = min(settings.CAUSEWAY_HEARTBEAT_SECONDS, 1.0)
        try:
            while not self._done.wait(interval):
                try:
                    reason = self._renew()
                except DatabaseError:
                    logger.warning("heartbeat: control database out of reach")
                    connection.close()
                    if time.monotonic() - renewed < settings.CAUSEWAY_LEASE_SECONDS:
                        continue
                    reason = "The control database was out of reach for longer than the lease."
                if reason:
                    self._control.stop_reason = reason
                    self._control.stop.set()
                    return
                renewed = time.monotonic()
        finally:
            connection.close()
