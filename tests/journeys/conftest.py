"""The browser of the journeys: the machine's own Chromium (see .ci/browser), without calls to anywhere else."""

import os
import shutil
from typing import Any

import pytest

# Playwright's synchronous interface runs an event loop in the test's thread, where Django would refuse queries.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


def browser_program() -> str:
    """CAUSEWAY_TEST_BROWSER, else the first Chromium on PATH. Without one a journey fails, it isn't skipped."""
    named = os.environ.get("CAUSEWAY_TEST_BROWSER")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.fail("There is no Chromium for the journeys: apt-get install chromium, or set CAUSEWAY_TEST_BROWSER.")
    return found


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """--no-sandbox: Chromium refuses to start as root with one, and the pages are ours."""
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    return {
        **browser_type_launch_args,
        "executable_path": browser_program(),
        "args": ["--no-sandbox", *quiet],
    }
