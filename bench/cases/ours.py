"""A file through `manage.py move_database`, as it is and, where it asks for choices, with the first of each."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.child import ROOT, PathFailed, run_child
from bench.contest import headless_environment
from controlplane.embedded import EmbeddedPostgres

_SECONDS = 600.0
_ROUNDS = 5  # a choice may uncover the next question


@dataclass(frozen=True)
class Attempt:
    """`report` is the command's own (docs/reference/commands.md); {} when it wrote none, and `died` says why."""

    report: dict[str, Any]
    choices: tuple[str, ...] = ()
    died: str = ""
    questions: tuple[dict[str, Any], ...] = ()  # the findings that `choices` answer

    @property
    def outcome(self) -> str:
        return str(self.report.get("outcome", "died"))

    @property
    def error(self) -> dict[str, str]:
        return dict(self.report.get("error", {}))

    @property
    def open_findings(self) -> list[dict[str, Any]]:
        found = self.report.get("findings", [])
        return [one for one in found if one["severity"] == "refuse" and not one["choice"]]

    @property
    def cells(self) -> int:
        return sum(table["cells"] for table in self.report.get("tables", []))

    @property
    def rows(self) -> int:
        return sum(table["rows"] for table in self.report.get("tables", []))

    @property
    def target_names(self) -> dict[str, str]:
        return {table["name"]: table["target_name"] for table in self.report.get("tables", [])}


@dataclass
class Mover:
    """Moves files, each into an empty database of that name, which the caller may look at until the next move."""

    server: EmbeddedPostgres
    work: Path
    database: str = "ours"
    _count: int = field(default=0)

    def move(self, source: Path) -> tuple[Attempt, Attempt | None]:
        """The first attempt, and the one with choices if the first asked for any that has one."""
        first = self._attempt(source, ())
        latest, choices, questions = first, dict[str, str](), list[dict[str, Any]]()
        for _ in range(_ROUNDS):
            asked = [one for one in latest.open_findings if one["choices"] and place_key(one) not in choices]
            if not asked:
                break
            for one in asked:
                choices.setdefault(place_key(one), one["choices"][0])
            questions += asked
            latest = self._attempt(
                source, tuple(f"{key}={choice}" for key, choice in choices.items()), tuple(questions)
            )
        return first, (latest if latest is not first else None)

    def _attempt(self, source: Path, choices: tuple[str, ...], questions: tuple[dict[str, Any], ...] = ()) -> Attempt:
        self.server.drop_database(self.database)
        self.server.create_database(self.database)
        self._count += 1
        report = self.work / f"report-{self._count}.json"
        command: list[str | Path] = [sys.executable, ROOT / "manage.py", "move_database", "--source", source]
        command += ["--report", report]
        for choice in choices:
            command += ["--choose", choice]
        environment = headless_environment(self.server.url(self.database), self.work)
        try:
            measured = run_child(command, environment=environment, timeout=_SECONDS, strict=False)
        except PathFailed as why:
            return Attempt({}, choices, str(why), questions)
        if not report.exists():
            said = measured.output.strip().rpartition("\n")[2]
            return Attempt({}, choices, f"exit status {measured.exit_status} and no report: {said}", questions)
        return Attempt(json.loads(report.read_text()), choices, "", questions)


def place_key(finding: dict[str, Any]) -> str:
    """What --choose calls the place of a finding."""
    place = ".".join(part for part in (finding["table"], finding["column"]) if part)
    return f"{finding['code']}@{place}" if place else str(finding["code"])
