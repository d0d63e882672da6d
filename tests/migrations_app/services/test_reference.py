"""Every code that a service or a step can answer stands in the reference."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
RAISED = {"ServiceRefused", "Forbidden", "Refused", "Failed"}


def codes(folder: str) -> set[str]:
    """First arguments of the errors that are raised, and `code=`, `error_code=` of results."""
    found = set()
    place = ROOT / folder
    for path in [*place.rglob("*.py"), place.with_suffix(".py")]:
        if not path.is_file():
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            values = [word.value for word in node.keywords if word.arg in ("code", "error_code")]
            if name in RAISED or name in ("_refuse", "__init__"):  # of an error that knows its own code, too
                values += node.args[:2]
            found |= {v.value for v in values if isinstance(v, ast.Constant) and str(v.value).isupper()}
    return {str(code) for code in found}


ANSWERING = codes("migrations_app/services") | codes("migrations_app/steps") | codes("migrations_app/views")


def test_codes_of_services_and_steps_stand_in_the_reference() -> None:
    text = (ROOT / "docs/reference/error-codes.md").read_text(encoding="utf-8")
    used = ANSWERING | codes("controlplane/refusals")
    assert {"MAY_NOT_SIGN", "ROWS_CHANGED", "ATTEMPTS_EXHAUSTED", "TOO_SLOW"} <= used
    assert {"APPLICATION_MISSING", "STALE", "FIELDS_REFUSED"} <= used
    assert sorted(code for code in used if f"| `{code}` |" not in text) == []


def test_no_code_is_explained_that_is_gone() -> None:
    text = (ROOT / "docs/reference/error-codes.md").read_text(encoding="utf-8")
    ours = text.partition("## What people ask for")[2]
    used = ANSWERING | codes("controlplane") | {"ENDPOINT_LENGTH"}
    assert sorted(set(re.findall(r"^\| `([A-Z_]+)`", ours, re.MULTILINE)) - used) == []
