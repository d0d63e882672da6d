"""Refusals of the commands themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings

from migrations_app.management.headless import flows
from tests.migrations_app.management.in_process import move
from tests.migrations_app.management.running import everything_in, shop


def test_a_defect_of_ours_is_told_as_one_and_shows_nothing(
    tmp_path: Path, target_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> None:
        raise RuntimeError("canary of a row")

    monkeypatch.setattr(flows, "move_database", broken)
    done = move(tmp_path, shop(tmp_path / "a.sqlite"), target_url)
    assert (done.code, done.error) == (3, "INTERNAL_ERROR")
    assert "canary" not in done.text + str(done.report) and "RuntimeError" in done.text


def test_causeways_own_database_is_no_target(tmp_path: Path, target_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = target_url.rpartition("/")[2]
    port = target_url.rpartition(":")[2].partition("/")[0]
    own = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": port, "NAME": name}
    monkeypatch.setitem(settings.DATABASES, "default", own)
    done = move(tmp_path, shop(tmp_path / "a.sqlite"), target_url)
    assert (done.code, done.error) == (2, "CONTROL_DATABASE")
    assert everything_in(target_url) == []


def test_mode_existing_is_not_planned_without_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TARGET_DATABASE_URL", raising=False)
    path = shop(tmp_path / "a.sqlite")
    done = move(tmp_path, path, "", "move_database", "--plan-only", "--schema-mode", "existing")
    assert (done.code, done.error) == (2, "TARGET_NEEDED"), done.text
