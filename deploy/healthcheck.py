"""Is this container well? `python deploy/healthcheck.py web|beat`; exit status 0 or 1. Standard library only."""

import http.client
import os
import sys
import time
from pathlib import Path

# Beat writes its schedule every three minutes; twice that and a little means that it hangs.
STALE_SECONDS = 400
SCHEDULE_DIR = Path(os.environ.get("BEAT_SCHEDULE_DIR", "/state"))


def web(port: int) -> bool:
    """/healthz answers 200 when asked as the proxy asks: by a host that is allowed, over https."""
    host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].strip()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/healthz", headers={"Host": host, "X-Forwarded-Proto": "https"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def beat() -> bool:
    """The schedule file was written lately (or the container has just started and has none)."""
    written = [path.stat().st_mtime for path in SCHEDULE_DIR.glob("celerybeat-schedule*")]
    return bool(written) and time.time() - max(written) < STALE_SECONDS


if __name__ == "__main__":
    kind = sys.argv[1] if len(sys.argv) > 1 else "web"
    sys.exit(0 if (beat() if kind == "beat" else web(int(os.environ.get("PORT", "8000")))) else 1)
