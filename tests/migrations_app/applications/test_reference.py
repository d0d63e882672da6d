"""Every code that a driver or a check of an application raises stands in the reference, and none that is gone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/reference/error-codes.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## Stopping, pointing and starting an application")[2].partition("\n## ")[0]


def raised_codes() -> Iterator[str]:
    for path in (ROOT / "migrations_app/applications").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in ("Refused", "Failed", "__init__") and node.args:
                inner = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
                yield from (str(value) for value in inner if re.fullmatch("[A-Z][A-Z0-9_]{3,}", str(value)))


def test_every_code_of_an_application_stands_in_the_reference() -> None:
    codes = set(raised_codes())
    assert {"ALREADY_RUNNING", "PERSON_NEEDED", "FILE_HELD_BY_OTHERS", "TRAFFIC_NOT_MOVED"} <= codes
    assert sorted(code for code in codes if f"| `{code}` |" not in TEXT) == []


def test_no_code_of_an_application_is_explained_that_is_gone() -> None:
    explained = set(re.findall(r"^\| `([A-Z_]+)`", SECTION, re.MULTILINE))
    assert explained and sorted(explained - set(raised_codes())) == []
