"""One crossing in a process of its own, which kills itself at a named point: python -m … PAIR there|back POINT PID.

PAIR: what Stage.save() wrote. POINT: a milestone of cross_over() or fall_back(), or 'none'. PID: of the application,
which is told to stop. What follows the engine's part (proof, configuration, start) is the test's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from bench.crossing.stage import saved_pair
from migrations_app.engine.online.fall_back import fall_back
from migrations_app.engine.online.freeze import cross_over

THERE = ("caught_up", "locked", "applied", "taken_over", "stop_signalled", "fence_raised", "fenced")
BACK = ("flowed", "locked", "last_flow", "stop_signalled", "given_back", "lifted")


def main() -> None:
    path, direction, point, pid = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    pair, forms, busy_timeout_ms = saved_pair(path)

    def milestone(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def signal_stop() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    if direction == "there":
        cross_over(pair, busy_timeout_ms=busy_timeout_ms, signal_stop=signal_stop, milestone=milestone)
    else:
        fall_back(pair, forms, busy_timeout_ms=busy_timeout_ms, signal_stop=signal_stop, milestone=milestone)


if __name__ == "__main__":
    main()
