"""Every code that monitoring's services answer stands in the reference."""

from __future__ import annotations

from tests.migrations_app.services.test_reference import ROOT, codes


def test_codes_of_monitoring_stand_in_the_reference() -> None:
    text = (ROOT / "docs/reference/error-codes.md").read_text(encoding="utf-8")
    used = codes("monitoring_app/services") | codes("monitoring_app/views")
    assert {"ALERT_TAKEN", "RECIPIENT_THERE", "LINK_INVALID"} <= used
    assert sorted(code for code in used if f"| `{code}` |" not in text) == []
