"""Wakes workers. The database is the queue: a ring that is lost or doubled changes nothing.

A broker that is out of reach must not hold up a page: one try, and beat rings again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger("causeway.doorbell")

# Celery's `retry=False` is not enough: opening the channel retries on its own, for ever, unless told otherwise.
_ONE_TRY = {
    "max_retries": 0,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    "socket_timeout": 1,  # a frozen broker still takes connections
    "socket_connect_timeout": 1,
}


def ring(task: str, row_id: int, queue: str) -> None:
    """After the commit of this transaction, ask a worker of `queue` to look at the row. Never raises for a broker."""
    transaction.on_commit(lambda: send(task, row_id, queue))


def send(task: str, row_id: int, queue: str) -> None:
    """Ask now. Never raises for a broker."""
    send_all([(task, row_id, queue)])


def send_all(rings: Iterable[tuple[str, int, str]], *, expires: float = 60) -> None:
    """Several over one connection; each is forgotten after `expires` seconds. Never raises for a broker."""
    task, row_id = "", 0
    try:
        with current_app.connection_for_write() as connection:
            connection.transport_options = {**connection.transport_options, **_ONE_TRY}
            for task, row_id, queue in rings:
                current_app.send_task(
                    task,
                    args=[row_id],
                    queue=queue,
                    connection=connection,
                    retry=False,
                    expires=expires,
                    ignore_result=True,
                )
    except (OperationalError, OSError) as error:
        logger.warning("broker out of reach (%s): the sweep will ring %s %s again", type(error).__name__, task, row_id)
