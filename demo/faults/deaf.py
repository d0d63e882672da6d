"""An application that doesn't stop when it is asked to."""

import signal

from asgi import Application, on_startup


def ignores_sigterm() -> Application:
    """Well in every way, but only SIGINT or SIGKILL end it."""
    from main import app

    return on_startup(app, ignore)


def ignore() -> None:
    """The server sets its own handlers before it starts the application, so this comes after."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
