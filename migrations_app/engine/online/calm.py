"""When is the last step short enough to keep an application waiting for it?"""

from __future__ import annotations

import time

FEW_ROWS = 200  # that may be waiting when the freeze begins …
TIMES = 3  # … seen so often in a row
_SHARE = 0.4  # of the time that a freeze may take: a step as short as this is short enough, however many rows it has
_PATIENCE = 120.0  # seconds, from the first step on


class Calm:
    """Told of each step of catching up. `budget`: seconds that the freeze may take.

    A far server takes its time for each step, and meanwhile rows come: then the time of a step says what the freeze
    will take, not the number of rows.
    """

    def __init__(self, budget: float) -> None:
        self.rounds = 0
        self._in_a_row = 0
        self._short = budget * _SHARE
        self._until = 0.0

    def after(self, waiting: int, seconds: float) -> bool:
        """Whether it is calm: the last step took `seconds`, and left so many rows."""
        self._until = self._until or time.monotonic() + _PATIENCE
        self.rounds += 1
        self._in_a_row = self._in_a_row + 1 if waiting < FEW_ROWS or seconds < self._short else 0
        return self._in_a_row >= TIMES

    @property
    def hopeless(self) -> bool:
        """It has been tried for long enough."""
        return time.monotonic() > self._until
