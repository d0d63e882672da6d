"""What the demo says, a line a thing with the time since its start; and waiting, always with a limit."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from demo.stage.errors import StageError

POLL_SECONDS = 0.2
SAY_SO_AFTER = 3.0  # shorter waits need no line of their own


class Console:
    """Prints progress. `watch` is called while waiting, and raises when what is waited for can't come any more."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self.watch: Callable[[], None] = lambda: None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._begun

    def say(self, text: str) -> None:
        """One thing that was done."""
        print(f"[{self.elapsed:6.1f} s] {text}", flush=True)

    def plain(self, text: str = "") -> None:
        """Text without a time: headings and tables."""
        print(text, flush=True)

    def complain(self, text: str) -> None:
        """Something that went wrong."""
        print(f"[{self.elapsed:6.1f} s] {text}", file=sys.stderr, flush=True)

    def watch_for_ever(self) -> None:
        """Until a signal, or watch, ends it."""
        while True:
            self.watch()
            time.sleep(POLL_SECONDS)

    def wait_for(self, what: str, condition: Callable[[], bool], seconds: float) -> float:
        """Wait until the condition holds; the seconds that it took. Raises StageError demo.waited and watch's."""
        begun = time.monotonic()
        said = False
        while not condition():
            waited = time.monotonic() - begun
            if waited > seconds:
                raise StageError(
                    "demo.waited",
                    f"Waited {seconds:g} s in vain for {what}.",
                    "See the logs; a machine under load may just need another try.",
                )
            if not said and waited > SAY_SO_AFTER:
                self.say(f"… waiting for {what} (at most {seconds:g} s)")
                said = True
            self.watch()
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begun
