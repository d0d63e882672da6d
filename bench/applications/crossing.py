"""One application's way: install, fill, move with the product's own command, and ask the application."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.applications.catalogue import Application
from controlplane.embedded import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
INSIDE = Path(__file__).resolve().parent / "inside"
_LIMIT = 900  # seconds for one call; installing is the longest


class CrossingFailed(Exception):
    """A part of the way that didn't end well; the message has the end of what was printed."""


@dataclass
class Crossing:
    """What was seen, for the table."""

    application: Application
    version: str = ""
    tables: int = 0
    rows: int = 0
    cells: int = 0
    findings: dict[str, int] = field(default_factory=dict)
    open_findings: dict[str, int] = field(default_factory=dict)  # without any choice
    left_out: tuple[str, ...] = ()
    outcome: str = ""
    read_back: bool = False
    added: bool = False
    seconds: float = 0.0
    trouble: str = ""


def cross(application: Application, work: Path, server: EmbeddedPostgres, *, again: bool = False) -> Crossing:
    """Never raises for what the application or the product does: `trouble` says it.

    again: move the file that an earlier call has filled.
    """
    seen = Crossing(application)
    try:
        _cross(application, work / application.name, server, seen, again)
    except CrossingFailed as error:
        seen.trouble = str(error)
    return seen


def _cross(application: Application, folder: Path, server: EmbeddedPostgres, seen: Crossing, again: bool) -> None:
    python = _install(application, folder)
    seen.version = _version(application, python)
    source = folder / "source.db"
    ours = application.sqlite_url(source)
    if not (again and source.exists()):
        for old in folder.glob("source.db*"):
            old.unlink()
        _inside(application, python, folder, "schema", ours)
        _inside(application, python, folder, "fill", ours)
    before = _inside(application, python, folder, "read", ours)

    url = _database(application, server)
    theirs = application.postgres_url(url)
    _inside(application, python, folder, "schema", theirs)
    plan = _move(application, folder, source, url, "plan-only.json", "--plan-only", chosen=False)
    seen.open_findings = _by_code(finding for finding in plan["findings"] if _is_open(finding))
    begun = time.monotonic()
    report = _move(application, folder, source, url, "report.json", chosen=True)
    seen.seconds = time.monotonic() - begun
    _take(seen, report)

    if application.afterwards:
        _inside(application, python, folder, "after", theirs)
    after = _inside(application, python, folder, "read", theirs)
    (folder / "read-sqlite.json").write_text(json.dumps(before, indent=1, sort_keys=True))
    (folder / "read-postgresql.json").write_text(json.dumps(after, indent=1, sort_keys=True))
    seen.read_back = before == after and bool(before)
    _inside(application, python, folder, "add", theirs)
    seen.added = True


def _install(application: Application, folder: Path) -> Path:
    """An environment of its own, made once."""
    python = folder / "env" / "bin" / "python"
    done = folder / "installed.txt"
    wanted = "\n".join(application.packages)
    if not done.exists() or done.read_text() != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(folder / "env")])
        _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *application.packages])
        done.write_text(wanted)
    return python


def _version(application: Application, python: Path) -> str:
    code = f"import importlib.metadata as m; print(m.version({application.package!r}))"
    return _run([str(python), "-c", code]).strip()


def _inside(application: Application, python: Path, folder: Path, verb: str, url: str) -> Any:
    script = INSIDE / f"{application.name}_inside.py"
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **application.environment,
    }
    said = _run([str(python), str(script), verb, str(folder), url], environment=environment, folder=home)
    return json.loads(said.strip().splitlines()[-1])


def _database(application: Application, server: EmbeddedPostgres) -> str:
    """A fresh database, owned by an ordinary role; gives that role's URL."""
    name, word = f"app_{application.name}", secrets.token_hex(8)
    server.drop_database(name)
    server.create_role(name, word)
    if application.collation:
        server.execute(
            f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0 LC_COLLATE '{application.collation}'"
            f" LC_CTYPE '{application.collation}'"
        )
    else:
        server.create_database(name, owner=name)
    if application.database_sql:
        server.execute(application.database_sql, database=name)
    return server.url(name, role=name, password=word)


def _move(
    application: Application, folder: Path, source: Path, url: str, report: str, *more: str, chosen: bool
) -> dict[str, Any]:
    path = folder / report
    path.unlink(missing_ok=True)
    command = [sys.executable, str(ROOT / "manage.py"), "move_database", "--source", str(source)]
    command += ["--schema-mode", "existing", "--report", str(path), *more]
    command += [f"--exclude={table}" for table in application.excluded]
    if chosen:
        command += [f"--choose={choice}" for choice in application.choices]
    environment = {**os.environ, "TARGET_DATABASE_URL": url, "CAUSEWAY_READ_DOTENV": "0"}
    result = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT, check=False
    )
    if not path.exists():
        raise CrossingFailed(f"move_database ended with {result.returncode}: {result.stderr[-2000:]}")
    document: dict[str, Any] = json.loads(path.read_text())
    if chosen and document["outcome"] not in ("verified", "different"):
        error = document.get("error") or {}
        raise CrossingFailed(f"{document['outcome']}: {error.get('code')}: {error.get('message')}")
    return document


def _is_open(finding: dict[str, Any]) -> bool:
    return bool(finding["severity"] == "refuse" and not finding["choice"])


def _by_code(findings: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding["code"]] = counts.get(finding["code"], 0) + 1
    return dict(sorted(counts.items()))


def _take(seen: Crossing, report: dict[str, Any]) -> None:
    seen.outcome = report["outcome"]
    seen.findings = _by_code(report["findings"])
    seen.tables = len(report["tables"])
    seen.rows = sum(table["rows"] for table in report["tables"])
    seen.cells = sum(table["cells"] for table in report["tables"])
    if report["difference_count"]:
        seen.trouble = f"{report['difference_count']} difference(s), the first: {report['differences'][0]}"


def _run(command: list[str], *, environment: dict[str, str] | None = None, folder: Path | None = None) -> str:
    try:
        result = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        raise CrossingFailed(f"{Path(command[1]).name} took over {_LIMIT} s") from None
    if result.returncode:
        raise CrossingFailed(f"{' '.join(command[1:3])} ended with {result.returncode}: {result.stderr[-3000:]}")
    return result.stdout
