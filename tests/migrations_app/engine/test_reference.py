"""The reference names every code, every finding, every flag and every member that the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations_app.engine.export.manifest import FORMAT
from migrations_app.engine.planning.findings import CATALOGUE
from migrations_app.engine.target import target
from migrations_app.engine.verify.report import EXIT_CODES, Report, group_objects
from migrations_app.management.commands import (
    dump_sqlite_to_json,
    load_json_to_postgresql,
    move_database,
    verify_migration,
)

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT / "docs" / "reference"
COMMANDS = {
    "move_database": move_database,
    "dump_sqlite_to_json": dump_sqlite_to_json,
    "load_json_to_postgresql": load_json_to_postgresql,
    "verify_migration": verify_migration,
}


def raised_codes() -> Iterator[str]:
    """The first argument of every error that the engine and the commands make, and libpq's reasons."""
    for folder in ("migrations_app/engine", "migrations_app/management/headless"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                first = node.args[0]
                is_code = isinstance(first, ast.Constant) and re.fullmatch(r"[A-Z][A-Z0-9_]+", str(first.value))
                if name in ("Refused", "Failed", "EngineError", "__init__") and is_code:
                    yield str(first.value)  # type: ignore[attr-defined]
    yield from (code for _, code, _, _ in target._REASONS)


def test_every_error_code_is_explained() -> None:
    text = (REFERENCE / "error-codes.md").read_text(encoding="utf-8")
    codes = set(raised_codes())
    assert len(codes) > 60
    assert sorted(code for code in codes if f"| `{code}` |" not in text) == []


def test_no_error_code_is_explained_that_is_gone() -> None:
    text = (REFERENCE / "error-codes.md").read_text(encoding="utf-8").partition("## Findings")[0]
    assert sorted(set(re.findall(r"^\| `([A-Z0-9_]+)`", text, re.MULTILINE)) - set(raised_codes())) == []


def test_every_finding_is_explained_with_its_choices() -> None:
    text = (REFERENCE / "error-codes.md").read_text(encoding="utf-8").partition("## Findings")[2].partition("\n## ")[0]
    lines = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert sorted(lines) == sorted(CATALOGUE)
    for code, kind in CATALOGUE.items():
        assert [choice for choice in kind.choices if f"`{choice}`" not in lines[code]] == [], code


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_explained(name: str) -> None:
    text = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    parser = COMMANDS[name].Command().create_parser("manage.py", name)  # type: ignore[attr-defined]
    django = {"--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color", "--force-color"}
    django |= {"--skip-checks", "--help"}
    flags = {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}
    assert sorted(flag for flag in flags - django if f"`{flag}" not in text) == []
    assert f"`{name}`" in text


def test_every_member_of_the_report_is_explained() -> None:
    text = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    names = [*Report().to_document(), "error", *EXIT_CODES, *group_objects(())]
    assert [name for name in names if f'"{name}"' not in text and f"`{name}`" not in text] == []


def test_the_formats_name_is_the_code_s() -> None:
    assert FORMAT in (REFERENCE / "export-format.md").read_text(encoding="utf-8")
