"""Whatever an application does to its tables, the log names each row that it has changed, and it doesn't notice."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings

from tests.migrations_app.engine.capture.followed import play
from tests.migrations_app.engine.capture.random_statements import Application, applications

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=120, deadline=None, suppress_health_check=_SLOW)
@given(applications())
def test_a_row_that_changed_is_in_the_log_and_the_application_sees_no_difference(application: Application) -> None:
    _play(application)


@pytest.mark.chaos
@settings(max_examples=6000, deadline=None, suppress_health_check=_SLOW)
@given(applications(most_steps=30))
def test_the_same_holds_for_thousands_of_applications(application: Application) -> None:
    _play(application)


def _play(application: Application) -> None:
    with tempfile.TemporaryDirectory() as folder:
        event(f"{play(application, Path(folder))} tables captured")
