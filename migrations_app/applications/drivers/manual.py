"""Asks a person to stop and start the application, and believes only what kernel, file and application say."""

from __future__ import annotations

import time
from pathlib import Path

from migrations_app.applications.description import ApplicationDescription, Dialect, EndpointCheck, PointingValues
from migrations_app.applications.drivers import launched
from migrations_app.applications.drivers.elsewhere import (
    begin_start,
    closed_ports,
    reality_of,
    recognised,
    refuse_environment,
)
from migrations_app.applications.drivers.interface import Driver, PersonNeeded
from migrations_app.applications.drivers.specs import ByPerson
from migrations_app.applications.drivers.stop_proof import open_ports, prove_stopped
from migrations_app.applications.endpoints import fetch_json, field_of, is_missing
from migrations_app.applications.processes import holders
from migrations_app.applications.reality import ProcessReality, Reality, StopProof, StopResult
from migrations_app.engine.errors import EngineError


class ManualDriver(Driver):
    """Drives nothing: says what to do, and whether it was done."""

    def __init__(self, description: ApplicationDescription, state_dir: Path, spec: ByPerson) -> None:
        self.description = description
        self.state_dir = state_dir
        self.spec = spec

    @property
    def online_problem(self) -> str:
        return "It is stopped and started by a person: from the freeze on its writes would fail until that is done."

    def check(self) -> None:
        """Raises Refused POINTING_NEEDS_FILE."""
        refuse_environment(self.description)

    def start(self, dialect: Dialect, values: PointingValues | None = None) -> Reality:
        """Raises PersonNeeded until every port answers and the application itself names the database."""
        runs = self._runs()
        begin_start(self.description, self.state_dir, dialect, runs, "as its ports or its file show")
        missing = closed_ports(self.description)
        if missing or not self._can_be_seen():
            waiting = f": nothing listens on port {', '.join(map(str, missing))} yet" if missing else ""
            raise PersonNeeded(
                f"Start {self._names()} of {self.description.name} now, on {dialect}{waiting}.",
                self._hint("It goes on by itself as soon as it answers."),
            )
        try:
            said = self._own_word()
        except EngineError as error:
            raise PersonNeeded(
                f"{self.description.name} answers on its ports, but does not say yet which database it uses: "
                f"{error.message}",
                self._hint("It is asked again in a moment."),
            ) from None
        if said is not None and said != dialect:
            raise PersonNeeded(
                f"{self.description.name} runs, but says that it uses {said}, not {dialect}: "
                f"stop {self._names()} and start again.",
                self._hint(f"Its configuration says {dialect}; something else wins over it."),
            )
        return self.status()

    def stop(self, timeout: float | None = None, only: Dialect | None = None) -> StopResult:
        """Raises PersonNeeded until the proof is there; nobody's word stands in for it."""
        begun = time.monotonic()
        proof = self.prove_stopped()
        if not proof.stopped:
            raise PersonNeeded(
                f"Stop {self._names()} of {self.description.name} now. Still there: {'; '.join(proof.reasons)}.",
                self._hint("It goes on by itself as soon as nothing of it is seen any more."),
            )
        launched.clear(self.state_dir)
        return StopResult(False, (), (), time.monotonic() - begun)

    def signal_stop(self, only: Dialect | None = None) -> None:
        """There is nobody who could be told within milliseconds."""

    def prove_stopped(self, only: Dialect | None = None) -> StopProof:
        return prove_stopped(self.description, ())

    def members(self) -> set[int]:
        return recognised(self.description)

    def status(self) -> Reality:
        answering = open_ports(self.description)
        runs = self._runs()
        whole = not closed_ports(self.description)
        entries = [
            ProcessReality(process.name, "running", True, 0, process.port, None)
            for process in self.description.in_start_order()
            if process.port in answering
        ]
        return reality_of(
            self.description,
            self.state_dir,
            state="stopped" if not runs else "running" if whole else "degraded",
            message="",
            entries=entries,
            members=self.members(),
        )

    def _runs(self) -> bool:
        description = self.description
        return bool(open_ports(description) or recognised(description) or holders(description.source_path))

    def _can_be_seen(self) -> bool:
        """An application without a port is seen by its processes or by the SQLite file that it holds open."""
        return any(process.port is not None for process in self.description.processes) or self._runs()

    def _own_word(self) -> str | None:
        """The dialect that its identity endpoint names, or what it says instead; None when it has no word for it.

        Raises EngineErrors while there is no answer.
        """
        identity = self.description.identity
        if identity is None or not identity.field:
            return None
        _, document = fetch_json(self.description, EndpointCheck("identity", identity.path, identity.process))
        said = field_of(document, identity.field)
        if is_missing(said):
            return None
        for dialect, word in identity.values.items():
            if str(said) == word:
                return dialect
        return str(said)[:60]

    def _names(self) -> str:
        return ", ".join(process.name for process in self.description.in_start_order()) or "all processes"

    def _hint(self, rest: str) -> str:
        return f"{self.spec.instructions} {rest}".strip()
