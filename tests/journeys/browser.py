"""How the browser is started: the system's chromium, or the one that PLAYWRIGHT_CHROMIUM names."""

from __future__ import annotations

import os
import shutil
from typing import Any

ARGUMENTS = [
    "--no-sandbox",  # tests run as root in containers
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-dev-shm-usage",
]


def _executable() -> str | None:
    """None where the system has none: then playwright's own is used, if it is installed."""
    return os.environ.get("PLAYWRIGHT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


LAUNCH: dict[str, Any] = {"args": ARGUMENTS, **({"executable_path": found} if (found := _executable()) else {})}
