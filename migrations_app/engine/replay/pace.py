"""How much of the log is read at once where nobody can commit meanwhile: as much as a writer doesn't notice."""

from __future__ import annotations

_FIRST, _LEAST, _MOST = 1000, 50, 20_000  # rows of the log
_SHORT, _LONG = 0.04, 0.12  # seconds


class Pace:
    """Twice as much after a short read, half as much after a long one: rows weigh from bytes to megabytes."""

    def __init__(self) -> None:
        self.rows = _FIRST

    def took(self, seconds: float) -> None:
        if seconds < _SHORT:
            self.rows = min(_MOST, self.rows * 2)
        elif seconds > _LONG:
            self.rows = max(_LEAST, self.rows // 2)
