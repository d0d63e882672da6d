"""An optional import failed, so the application goes on with SQLite although its configuration says PostgreSQL.

The file is YUKYU_FAULT_SQLITE_URL, by default the one that the application's own default names.
"""

import os
import threading
from datetime import datetime

from asgi import Application, Receive, Scope, Send, on_startup, send_json

SILENT_PATHS = ("/health", "/api/health")


def fall_back_to_sqlite() -> None:
    """What a swallowed ImportError came to in a real application: the default instead of the configuration."""
    import settings

    if settings.get_settings().database_type == "sqlite":
        return
    os.environ["DATABASE_TYPE"] = "sqlite"
    os.environ["DATABASE_URL"] = os.environ.get("YUKYU_FAULT_SQLITE_URL", "sqlite:///./yukyu.db")
    settings.get_settings.cache_clear()


def stays_on_sqlite() -> Application:
    """Healthy, and honest about its database when it is asked."""
    fall_back_to_sqlite()
    from main import app

    return app


def stays_on_sqlite_silently() -> Application:
    """Healthy, says nothing about its database, and writes to SQLite every second."""
    fall_back_to_sqlite()
    from main import app

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path in SILENT_PATHS:
            await send_json(send, 200, {"status": "healthy", "version": app.version})
        elif scope["type"] == "http" and path == "/api/db-status":
            await send_json(send, 404, {"detail": "Not Found"})
        else:
            await app(scope, receive, send)

    return on_startup(silent, lambda: threading.Thread(target=write_for_ever, daemon=True).start())


def write_for_ever() -> None:
    """A change a second, as the people at work would make them."""
    import database
    import worker

    while True:
        with database.writing() as session:
            worker.beat(session, now=datetime.now())
        threading.Event().wait(1)
