"""Wakes workers, on commit (controlplane/doorbell.py)."""

from __future__ import annotations

from django.db import transaction

from controlplane.doorbell import send as _send


def ring(task: str, row_id: int, queue: str) -> None:
    """After the commit of this transaction, ask a worker of `queue` to look at the row. Never raises for a broker."""
    transaction.on_commit(lambda: _send(task, row_id, queue))
