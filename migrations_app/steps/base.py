"""What a step is: it reads rows through its context, calls engine and drivers, and answers. It writes no rows.

Each step can be killed at any instruction and run again. It first asks whether its result is already there and
valid, writes to a temporary place, checks, then renames or commits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

from migrations_app.engine.control import Control
from migrations_app.models import MigrationRun, RunStep
from migrations_app.models.states import OnLapse, Phase

Outcome = Literal["succeeded", "failed", "skipped", "in_doubt", "again"]


@dataclass(frozen=True)
class MadeFile:
    """A file that a step made: kind as in Artifact, SHA-256 in hex, size in bytes."""

    kind: str
    path: Path
    sha256: str
    size: int


@dataclass(frozen=True)
class StepResult:
    """What a step found out.

    evidence: what was proved, JSON-able, without secrets and personal values; its digest is signed.
    facts: remembered for later steps of the run, by name.
    moments: 'down_since', 'switched_at', 'up_since' of the run.
    again_after: with outcome 'again', seconds until the step runs once more (the soak).
    """

    outcome: Outcome
    message: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    moments: Mapping[str, datetime | None] = field(default_factory=dict)
    files: tuple[MadeFile, ...] = ()
    code: str = ""
    hint: str = ""
    again_after: float = 0


@dataclass(frozen=True)
class AlertsSeen:
    """Whether the application is under watch (`why` not), and the titles of the critical alerts that fire."""

    watched: bool
    why: str
    critical: tuple[str, ...] = ()


def _no_alerts() -> AlertsSeen:
    return AlertsSeen(False, "nobody was asked")


def _no_log() -> Mapping[str, int] | None:
    return None


@dataclass
class StepContext:
    """What a step is given. `run` and `step` are read only here."""

    run: MigrationRun
    step: RunStep
    control: Control
    log: Callable[[str], None]
    now: Callable[[], datetime]
    alerts: Callable[[], AlertsSeen] = _no_alerts  # what monitoring sees now
    # {SQLSTATE: how often} in the application's log since the switch, as monitoring read it; None where it reads none
    database_errors: Callable[[], Mapping[str, int] | None] = _no_log

    @property
    def facts(self) -> dict[str, Any]:
        return dict(self.run.facts)

    @property
    def token(self) -> int:
        return self.step.lease_token


class Step(ABC):
    """One kind of step. Subclasses are stateless; the registry in sequence.py holds one instance of each."""

    name: ClassVar[str]
    title: ClassVar[str]
    phase: ClassVar[Phase]
    on_lapse: ClassVar[OnLapse] = OnLapse.REDO
    on_host: ClassVar[bool] = True  # runs where the application is; False: any worker
    owner: ClassVar[str] = "system"

    @abstractmethod
    def run(self, context: StepContext) -> StepResult:
        """Do it. Raises EngineError for what an operator can act on; anything else is our bug."""
