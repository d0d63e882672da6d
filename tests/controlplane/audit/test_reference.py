"""docs/reference/audit.md says what the code does."""

import json
import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from controlplane.audit import errors, standalone
from controlplane.audit.actions import ACTIONS
from controlplane.audit.standalone import application_tag, body_digest, canonical, event_hash

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference"
REFERENCE = (DOCS / "audit.md").read_text(encoding="utf-8")
BUNDLE = (DOCS / "evidence-bundle.md").read_text(encoding="utf-8")


def test_example_of_the_reference_has_its_hash() -> None:
    line = re.search(r"```json\n(.*?)\n```", REFERENCE, re.DOTALL)
    assert line is not None
    event = json.loads(line[1])
    assert canonical(event).decode() == line[1]
    assert event_hash(event) == event["hash"]
    # Fixed once: a change of these would make every trail that exists unverifiable.
    assert application_tag(1, "yukyu") == "352e329414dbc896e75c9a80d6d2ef4f8f10ca8b10631c490a91cdcbefae40a7"
    assert body_digest(event) == "e56d3cb2e69f417505a0240f43690becd8875b7157aed8aa28093e25e9752a2b"
    assert event["hash"] == "352e1d169d908ac7b1c62ea17d5367e72bf35bc08f4dd5370be7d97f787c22e4"


def test_every_action_is_in_the_reference() -> None:
    for action, meaning in ACTIONS.items():
        assert f"| `{action}` | {meaning} |" in REFERENCE


def test_every_error_and_finding_is_in_the_reference() -> None:
    codes = [error.code for error in errors.AuditError.__subclasses__()]
    source = Path(standalone.__file__).read_text(encoding="utf-8")
    codes += re.findall(r'report\([^,"]+, "([a-z_]+)"', source) + re.findall(r'return "([a-z_]+)", f', source)
    assert len(codes) >= 20
    for code in codes:
        assert f"`{code}`" in REFERENCE + BUNDLE


@pytest.mark.parametrize("name", [name for name, app in get_commands().items() if app == "controlplane.audit"])
def test_every_command_is_in_the_reference(name: str) -> None:
    assert f"`{name}" in REFERENCE
