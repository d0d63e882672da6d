"""Applications that are simply broken."""

import sys

from asgi import Application, Receive, Scope, Send, send_json


def does_not_start() -> Application:
    """Ends at once, with a word on stderr and exit status 3."""
    print("yukyu: cannot start: the licence file is missing", file=sys.stderr)
    raise SystemExit(3)


def answers_500() -> Application:
    """Starts, listens, and answers every request with an error."""
    from main import app

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send_json(send, 500, {"detail": "Internal Server Error"})
        else:
            await app(scope, receive, send)

    return broken
