"""Fixtures and arrangements that all tests share; servers are started by tests/servers.py."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from tests.audit_flush import allow_flush
from tests.journeys.browser import LAUNCH

allow_flush()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's chromium, quiet: journeys and pictures use the same."""
    return {**browser_type_launch_args, **LAUNCH}


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Passwords are hashed a million times over, as they should be; in tests, for hundreds of people, once will do."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield
