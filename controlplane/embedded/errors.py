"""What can go wrong with an embedded server, each with a stable code, a sentence and a hint."""


class EmbeddedError(Exception):
    """An embedded server can't be had; `code` is stable, `hint` says what to do. Holds no secret."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint} [{code}]")
        self.code = code
        self.message = message
        self.hint = hint
