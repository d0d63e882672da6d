"""Fixtures and arrangements that all tests share; servers are started by tests/servers.py."""

from typing import Any

import pytest

from tests.audit_flush import allow_flush
from tests.journeys.browser import LAUNCH

allow_flush()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's chromium, quiet: journeys and pictures use the same."""
    return {**browser_type_launch_args, **LAUNCH}
