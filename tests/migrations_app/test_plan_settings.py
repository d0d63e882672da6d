"""Every setting of a plan stands in the reference with its default, and has a name on the plan's page."""

from __future__ import annotations

import re
from pathlib import Path

from migrations_app.models.plan_settings import FLAGS, NUMBERS, setting_of
from migrations_app.views.plan import _SETTINGS

PAGE = Path(__file__).parents[2] / "docs/reference/checks-after-the-switch.md"


def test_each_setting_is_explained_with_its_default() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {}
    for names, defaults in rows:
        values = re.split(r", (?=\d+$)|, (?!\d{3})", defaults.strip())
        told |= dict(zip(re.findall(r"`([a-z_]+)`", names), values, strict=True))
    assert {name: int(value.replace(",", "")) for name, value in told.items()} == {
        name: default for name, (default, _, _) in NUMBERS.items()
    }


def test_each_setting_has_a_name_on_the_page_of_a_plan() -> None:
    assert set(_SETTINGS) == set(NUMBERS) | set(FLAGS)


def test_plan_from_before_a_setting_has_its_default() -> None:
    assert setting_of({}, "auto_rollback_seconds") == 0
    assert setting_of({"load_seconds": 3}, "load_seconds") == 3
