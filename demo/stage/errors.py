"""What stops the demo: a stable code, a sentence, and what to do."""

from __future__ import annotations


class StageError(Exception):
    """The demo can't go on. Holds no secret."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint} [{code}]")
        self.code = code
        self.message = message
        self.hint = hint
