"""Every code that monitoring can answer stands in the reference, and none that it can't."""

from __future__ import annotations

import re

from tests.migrations_app.services.test_reference import ROOT, codes

TEXT = (ROOT / "docs/reference/error-codes.md").read_text(encoding="utf-8")


def test_codes_of_monitoring_stand_in_the_reference() -> None:
    used = codes("monitoring_app")
    assert {"ALERT_TAKEN", "RECIPIENT_THERE", "LINK_INVALID", "TARGET_UNUSABLE", "MAINTENANCE_RUNNING"} <= used
    assert sorted(code for code in used if f"| `{code}` |" not in TEXT) == []


def test_no_code_of_monitoring_is_explained_that_is_gone() -> None:
    section = TEXT.partition("## Watching an application")[2].partition("\n## ")[0]
    explained = set(re.findall(r"^\| `([A-Z_]+)`", section, re.MULTILINE))
    assert explained and sorted(explained - codes("monitoring_app")) == []


def test_codes_of_mails_stand_where_mails_are_explained() -> None:
    text = TEXT + (ROOT / "docs/reference/mails.md").read_text(encoding="utf-8")
    used = codes("controlplane/mail")
    assert {"MAIL_NOT_FAILED", "SENDER_LOST"} <= used
    assert sorted(code for code in used if f"| `{code}` |" not in text) == []
