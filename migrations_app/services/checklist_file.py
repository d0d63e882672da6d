"""The checklist that ships with the product, as its file says it; and the shape that every template's items have.

The file is data: migrations_app/checklists/runbook.toml. A team's copy holds the same items as JSON.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from migrations_app.models.checklist import Level, Prover
from migrations_app.models.states import Phase
from migrations_app.services.errors import ServiceRefused
from migrations_app.steps.checks import OwnChecks

SHIPPED = Path(__file__).parents[1] / "checklists" / "runbook.toml"
CODE = re.compile(r"[A-Z][A-Z0-9]{0,2}[0-9]{2,3}")
# Purposes of an application's commands whose exit status may prove an item; named in its description.
COMMANDS = ("own_check", "unit_tests", "integration_tests", "pool_tests", "schema_heads", "driver", "version")
OWNERS = {"ops": "Ops", "qa": "QA", "lead": "Team lead", "system": "System"}


@dataclass(frozen=True)
class TemplateItem:
    """One line of a checklist.

    step, proof, subject: which step proves it, what is looked for in the step's evidence, and about what.
    command: purpose of the operator's command that proves it. parts: codes of the items that it follows from.
    needs: what the application must have for the system to prove it ("command:driver", "endpoints", "endpoint:NAME",
    "pool"); where that is missing, `otherwise` proves it. after: the step that voids what people recorded before it.
    """

    code: str
    phase: str
    section: str
    title: str
    criterion: str = ""
    prover: str = "system"
    level: str = "mandatory"
    owner: str = "ops"
    minutes: int | None = None
    step: str = ""
    proof: str = ""
    subject: str = ""
    command: str = ""
    parts: tuple[str, ...] = ()
    needs: str = ""
    otherwise: str = ""
    after: str = ""
    waivable: bool = True

    def to_document(self) -> dict[str, Any]:
        return {**asdict(self), "parts": list(self.parts)}


@dataclass(frozen=True)
class TemplateFile:
    """A checklist as read."""

    name: str
    title: str
    items: tuple[TemplateItem, ...]


@cache
def shipped_file(path: Path = SHIPPED) -> TemplateFile:
    """The file that ships with the product. Raises ServiceRefused BAD_CHECKLIST when it was damaged."""
    with path.open("rb") as file:
        document = tomllib.load(file)
    found = []
    for section in document["sections"]:
        given = {"phase": section["phase"], "section": section["name"], "owner": section["owner"]}
        for entry in section["items"]:
            more = {"step": OwnChecks.name} if "command" in entry else {}
            needs = {"needs": f"command:{entry['command']}"} if "command" in entry else {}
            found.append(item_from_document({**given, **more, **needs, **entry}))
    check_items(found)
    return TemplateFile(document["name"], document["title"], tuple(found))


def items_from_document(documents: Iterable[Mapping[str, Any]]) -> tuple[TemplateItem, ...]:
    """The items of a stored version."""
    return tuple(item_from_document(document) for document in documents)


def item_from_document(document: Mapping[str, Any]) -> TemplateItem:
    """One item. Raises ServiceRefused BAD_CHECKLIST for a key that isn't known."""
    unknown = set(document) - {field.name for field in fields(TemplateItem)}
    if unknown or not {"code", "phase", "section", "title"} <= set(document):
        raise _bad(f"an item has wrong keys: {', '.join(sorted(unknown)) or 'some are missing'}")
    return TemplateItem(**{**document, "parts": tuple(document.get("parts", ()))})


def check_items(items: Sequence[TemplateItem]) -> None:
    """Raises ServiceRefused BAD_CHECKLIST, naming the item, when a checklist contradicts itself."""
    codes = [item.code for item in items]
    for item in items:
        if codes.count(item.code) > 1:
            raise _bad(f"{item.code} is there twice")
        problem = _problem(item, set(codes))
        if problem:
            raise _bad(f"{item.code}: {problem}")


def _problem(item: TemplateItem, codes: set[str]) -> str:
    if not CODE.fullmatch(item.code):
        return "a code is one to three capital letters or digits and a number of two or three digits"
    if item.phase not in Phase.values or item.phase == Phase.GO:
        return f"there is no phase {item.phase!r} for items"
    if item.prover not in Prover.values or item.level not in Level.values or item.owner not in OWNERS:
        return "its prover, level or owner isn't one that there is"
    if not item.title.strip() or len(item.title) > 200 or len(item.section) > 80:
        return "it needs a title of at most 200 characters"
    proves = bool(item.step) + bool(item.parts)
    if (item.prover == Prover.SYSTEM) != (proves == 1):
        return "the system proves it by a step or by its parts, people by neither"
    if item.command and item.command not in COMMANDS:
        return f"there is no purpose {item.command!r} of a command that proves something"
    if set(item.parts) - (codes - {item.code}):
        return f"its parts aren't all there: {', '.join(sorted(set(item.parts) - codes)) or 'it names itself'}"
    if bool(item.needs) != bool(item.otherwise) or item.otherwise not in ("", Prover.QA, Prover.OPS):
        return "what the system may lack needs someone who proves it otherwise"
    return ""


def _bad(what: str) -> ServiceRefused:
    return ServiceRefused("BAD_CHECKLIST", f"The checklist can't be used: {what}.", status=400)
