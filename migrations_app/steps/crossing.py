"""What the steps of a live crossing share: the pair of both sides, the configuration's word, and what is true now."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils import timezone

from controlplane.registry.models import Application
from migrations_app.applications import configuration
from migrations_app.applications.description import Dialect
from migrations_app.engine.artefact_files import write_atomically
from migrations_app.engine.capture import capture
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.conversions.inverse import InverseForms, forms_from_document
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.online import decisions, recovery
from migrations_app.engine.online.decisions import Decision
from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.steps import workplace

# Reasons for which PostgreSQL can't be asked.
OUT_OF_REACH = frozenset(
    {
        "TARGET_UNREACHABLE",
        "TARGET_LOST",
        "WRONG_PASSWORD",
        "NO_SUCH_DATABASE",
        "NO_SUCH_ROLE",
        "TLS_FAILED",
        "TOO_MANY_CONNECTIONS",
    }
)
_STEADY = 6  # mending does one thing at a time; more than this many would be a circle


def pair_of(run: MigrationRun) -> Pair:
    """Both sides of the run, with the identity that its capture was given ('' before that)."""
    identity = str(run.facts.get("replication", {}).get("identity", ""))
    return Pair(workplace.source_of(run), workplace.move_plan(run.plan), workplace.target_url_of(run), identity)


def live_pair(application: Application, plan: MigrationPlan, identity: str) -> Pair:
    """Both sides of the application itself, whichever run joined them."""
    return Pair(
        workplace.live_source(application), workplace.move_plan(plan), workplace.target_of(application), identity
    )


def word_of(run: MigrationRun) -> str:
    """At which database the configuration of the run's instance points."""
    return configuration.current(workplace.description_of(run).pointing)


def forms_of(run: MigrationRun) -> InverseForms:
    """How values return to SQLite. Raises Failed NOT_ARMED when that was never learned."""
    document = run.facts.get("inverse_forms")
    if not document:
        raise Failed("NOT_ARMED", "How values return to SQLite was not learned.", "Resume: it is learned first.")
    return forms_from_document(document, workplace.move_plan(run.plan))


def mended(pair: Pair, run: MigrationRun) -> Decision:
    """Bring both sides and the configuration to where the durable facts say that they were going, and say where.

    Raises Failed IN_DOUBT for facts that no crossing of ours leaves behind, or where a side can't be asked; and what
    engine and configuration raise.
    """
    for _ in range(_STEADY):
        word = word_of(run)
        decision = recovery.mend(pair, word, busy_timeout_ms=run.application.busy_timeout_ms)
        if decision.configuration != word:
            point(run, decision.configuration)
        elif decision.settled:
            return decision
    raise Failed("IN_DOUBT", "Both sides don't come to rest.", "Look at “What is true now”, then resume.")


def follows(pair: Pair) -> int | None:
    """The position at which PostgreSQL follows this very file by this plan; None when it doesn't."""
    facts = recovery.look(pair, "sqlite")
    return facts.position if recovery.decide(facts).action == decisions.FOLLOW else None


def point(run: MigrationRun, dialect: str) -> configuration.SwitchResult:
    """The configuration of the run's instance names that database."""
    driver = workplace.driver_of(run)
    return driver.point(_dialect(dialect), workplace.pointing_values(run))


def _dialect(word: str) -> Dialect:
    return "postgresql" if word == "postgresql" else "sqlite"


def is_captured(path: Path) -> bool:
    """Whether the SQLite file has our capture or fence in it."""
    return path.exists() and capture.read_state(path) is not None


def is_out_of_reach(error: EngineError) -> bool:
    return error.code in OUT_OF_REACH


class Moments:
    """When the application was told to stop, switched and up: in a file, since the step may be killed in between."""

    def __init__(self, run: MigrationRun, name: str) -> None:
        self._path = workplace.run_directory(run) / f"{name}.json"
        self._held: dict[str, Any] = {}
        if self._path.is_file():
            self._held = json.loads(self._path.read_bytes())

    def note(self, name: str, value: Any = None) -> None:
        """The first word stays. value: JSON-able; the moment now, when none is given."""
        if name in self._held:
            return
        self._held[name] = timezone.now().isoformat() if value is None else value
        write_atomically(self._path, json.dumps(self._held).encode())

    def forget(self) -> None:
        self._held = {}
        self._path.unlink(missing_ok=True)

    def at(self, name: str) -> datetime | None:
        value = self._held.get(name)
        return datetime.fromisoformat(value) if isinstance(value, str) else None

    def value(self, name: str) -> Any:
        return self._held.get(name)


def silent(_: str) -> None:
    """The product's own milestones say nothing; tests that end the process there listen."""
