"""Snapshots of pg_stat_statements, small enough to be kept in a row between two rounds, and their difference."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 5000  # entries; pg_stat_statements.max is 5000 unless somebody raised it
_ENTRY: Final = struct.Struct("<qQQ")


@dataclass(frozen=True)
class Snapshot:
    """at, reset: epoch seconds by the server's clock. evicted: entries it ever threw out. entries: queryid to calls
    and microseconds."""

    at: float
    reset: float
    evicted: int
    entries: Mapping[int, tuple[int, int]]


def pack(snapshot: Snapshot) -> dict[str, Any]:
    """As JSON: about 16 bytes an entry."""
    heaviest = sorted(snapshot.entries.items(), key=lambda item: -item[1][1])[:MOST]
    packed = b"".join(_ENTRY.pack(one, *numbers) for one, numbers in sorted(heaviest))
    return {
        "at": snapshot.at,
        "reset": snapshot.reset,
        "evicted": snapshot.evicted,
        "entries": base64.b64encode(zlib.compress(packed, 6)).decode(),
    }


def unpack(kept: Any) -> Snapshot | None:
    """None where there is none, or none that this release understands."""
    try:
        packed = zlib.decompress(base64.b64decode(kept["entries"]))
        entries = {one: (calls, total) for one, calls, total in _ENTRY.iter_unpack(packed)}
        return Snapshot(float(kept["at"]), float(kept["reset"]), int(kept["evicted"]), entries)
    except (KeyError, TypeError, ValueError, zlib.error, struct.error, binascii.Error):
        return None


def difference(old: Snapshot, new: Snapshot, without: Set[int]) -> dict[int, tuple[int, int]]:
    """Calls and microseconds between two snapshots, of what was called. An entry that is new, or counts less than
    before (it was thrown out and came back), began in the interval: all of it counts. Of a cut snapshot nothing is
    known about what it lacks: such an entry is left out."""
    cut = len(old.entries) >= MOST
    found: dict[int, tuple[int, int]] = {}
    for one, (calls, total) in new.entries.items():
        if one in without:
            continue
        before = old.entries.get(one)
        if before is None and cut:
            continue
        if before is not None and before[0] <= calls and before[1] <= total:
            calls, total = calls - before[0], total - before[1]
        if calls > 0:
            found[one] = (calls, total)
    return found
