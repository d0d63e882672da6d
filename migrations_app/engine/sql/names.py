"""Names for PostgreSQL: kept exactly, cut at 63 bytes where they must be, and then made distinct."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

MAX_BYTES = 63  # NAMEDATALEN - 1
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


def cut(name: str, room: int = MAX_BYTES) -> str:
    """The longest beginning of a name that takes at most `room` bytes, never half a letter."""
    return name.encode()[:room].decode("utf-8", "ignore")


class Names:
    """Hands out names that differ from one another in one namespace. Deterministic in the order of the asking."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def claim(self, wanted: str) -> str:
        """`wanted` itself where it fits and is free; else a cut one that ends in a digest of the whole name."""
        name = wanted
        if len(wanted.encode()) > MAX_BYTES or wanted in self._taken:
            digest = hashlib.sha256(wanted.encode()).hexdigest()
            for length in (6, 8, 12, 16, 24, 32):
                for suffix in (digest[:length], digest[length : 2 * length]):
                    name = f"{cut(wanted, MAX_BYTES - 1 - length)}_{suffix}"
                    if name not in self._taken:
                        self._taken.add(name)
                        return name
            raise ValueError(f"no free name for {wanted!r}")
        self._taken.add(name)
        return name
