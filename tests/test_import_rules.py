"""The import rules of pyproject.toml bite: a violation planted in a copy of the tree is found, contract by contract."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("controlplane", "migrations_app", "monitoring_app")

# (contract, module that sins, its sin). The module is one that exists, or a new one beside it.
PLANTED = [
    ("layers", "migrations_app/models/planted.py", "import migrations_app.services"),
    ("layers", "migrations_app/steps/planted.py", "from migrations_app import services"),
    ("layers", "migrations_app/services/planted.py", "import migrations_app.views"),
    ("layers", "migrations_app/services/planted.py", "import migrations_app.management"),
    ("layers", "migrations_app/engine/planted.py", "import migrations_app.models"),
    ("layers", "migrations_app/engine/planted.py", "import migrations_app.applications"),
    ("layers", "migrations_app/unlisted.py", "import json"),
    ("urls-on-top", "migrations_app/views/planted.py", "import controlplane.urls"),
    ("urls-on-top", "migrations_app/services/planted.py", "from controlplane.settings import SECRET_KEY"),
    ("engine-rooms", "migrations_app/engine/source/planted.py", "import migrations_app.engine.load.load"),
    ("engine-rooms", "migrations_app/engine/planning/planted.py", "import migrations_app.engine.verify.report"),
    ("plain-engine", "migrations_app/engine/planted.py", "from django.db import models"),
    ("plain-engine", "migrations_app/engine/planted.py", "def late():\n    import celery"),
    ("plain-engine", "migrations_app/engine/planted.py", "import controlplane.registry"),
    ("plain-drivers", "migrations_app/applications/planted.py", "from django.conf import settings"),
    ("plain-drivers", "migrations_app/applications/planted.py", "import controlplane.audit"),
    ("plain-probes", "monitoring_app/probes/planted.py", "import django.db"),
    ("plain-probes", "monitoring_app/probes/planted.py", "import celery"),
    ("monitoring-layers", "monitoring_app/models/planted.py", "import monitoring_app.services.health"),
    ("monitoring-layers", "monitoring_app/services/planted.py", "import monitoring_app.urls"),
    ("monitoring-apart", "monitoring_app/services/planted.py", "import migrations_app.engine"),
    ("ground-floor", "controlplane/registry/planted.py", "import migrations_app.models"),
    ("ground-floor", "controlplane/audit/planted.py", "import monitoring_app.models"),
    ("plain-servers", "controlplane/embedded/planted.py", "import django"),
]


def contracts() -> list[dict[str, Any]]:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[dict[str, Any]] = configuration["tool"]["importlinter"]["contracts"]
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of our packages in which nothing sins."""
    copy = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


@pytest.fixture
def planted(tree: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    contract, module, sin = request.param
    path = tree / module
    assert not path.exists()
    path.write_text(f"{sin}\n")
    yield contract, tree
    path.unlink()


def lint(tree: Path, contract: str) -> subprocess.CompletedProcess[str]:
    # The folder is put first by hand: the environment's own path names the real checkout.
    script = (
        f"import sys; sys.path.insert(0, {str(tree)!r}); from importlinter.cli import lint_imports_command as c; c()"
    )
    return subprocess.run(
        [sys.executable, "-c", script, "--no-cache", "--no-logo", "--contract", contract],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("planted", PLANTED, ids=lambda case: f"{case[0]}: {case[2]!r}", indirect=True)
def test_a_planted_violation_breaks_its_contract(planted: tuple[str, Path]) -> None:
    contract, tree = planted
    run = lint(tree, contract)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "BROKEN" in run.stdout
    assert "planted" in run.stdout or "unlisted" in run.stdout


@pytest.mark.parametrize("contract", [contract["id"] for contract in contracts()])
def test_the_tree_as_it_is_keeps_the_contract(tree: Path, contract: str) -> None:
    run = lint(tree, contract)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_contract_has_a_planted_violation() -> None:
    assert {contract["id"] for contract in contracts()} == {contract for contract, _, _ in PLANTED}


def test_the_rules_of_alerts_are_under_the_contract_of_probes_once_they_exist() -> None:
    plain = next(contract for contract in contracts() if contract["id"] == "plain-probes")
    named = {module.removeprefix("monitoring_app.") for module in plain["source_modules"]}
    assert named == {name for name in ("probes", "rules", "charts") if list((ROOT / "monitoring_app").glob(f"{name}*"))}
