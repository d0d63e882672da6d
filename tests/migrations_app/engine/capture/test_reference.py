"""The reference names every reason that keeps a file from crossing online, and none that is gone."""

from __future__ import annotations

import re
from pathlib import Path

from migrations_app.engine.capture.capture_sql import FENCE_MESSAGE

ROOT = Path(__file__).parents[4]
CAPTURE = ROOT / "migrations_app/engine/capture"


def test_every_reason_is_explained_and_none_that_is_gone() -> None:
    text = (ROOT / "docs/reference/error-codes.md").read_text(encoding="utf-8")
    used = {code for path in CAPTURE.glob("*.py") for code in re.findall(r'"(ONLINE_[A-Z_]+)"', path.read_text())}
    assert len(used) > 6
    assert sorted(code for code in used if f"| `{code}` |" not in text) == []
    listed = text.partition("## What keeps a file from crossing online")[2].partition("\n## ")[0]
    assert sorted(set(re.findall(r"^\| `(ONLINE_[A-Z_]+)`", listed, re.MULTILINE)) - used) == []


def test_the_fences_words_stand_in_the_reference() -> None:
    assert FENCE_MESSAGE in (ROOT / "docs/reference/online.md").read_text(encoding="utf-8")
