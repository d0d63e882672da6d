"""SQLite's integrity_check in a process of its own, while the same snapshot is read here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled
from migrations_app.engine.side_process import Channel, SideProcess
from migrations_app.engine.source.address import Address
from migrations_app.engine.source.opening import open_again
from migrations_app.engine.source.sqlite_source import Source

SMALL_BYTES = 32 << 20  # up to here the check takes hardly longer than a process does to start
# Each row is looked up in each index, here and there: with the usual 16 MB a check of 400 MB costs a quarter more. With
# a command that waits for it (90 MB) and its own interpreter (28 MB) this makes no more than 150 MB.
CHECK_KIB = 32_000


@contextlib.contextmanager
def checked_beside(source: Source, control: Control) -> Iterator[None]:
    """When the block has ended, the file is sound; what the block found must not be used before.

    Raises Refused CORRUPT, also in place of whatever the block raises, since damage is the likely reason for it; what
    else Source.check_integrity() raises; Failed HELPER_DIED; Cancelled.
    """
    if source.schema.page_count * source.schema.page_size <= SMALL_BYTES:
        source.check_integrity(control)
        yield
        return
    with SideProcess(_check, source.address, control=control) as helper:
        alone = source.is_alone(helper.receive())
        helper.send(alone)
        if not alone:  # it doesn't see our snapshot
            source.check_integrity(control)
        try:
            yield
        except Cancelled:
            raise
        except Exception:
            helper.receive()
            raise
        helper.receive()


def _check(channel: Channel, control: Control, address: Address) -> None:
    """The helper's life: says which file it opened; if that is the right one, checks it, and says when that is done."""
    with open_again(address, control) as source:
        channel.send(source.identity)
        if channel.receive():
            source.keep_pages(CHECK_KIB)
            source.check_integrity(control)
        channel.send(None)
