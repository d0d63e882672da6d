"""Two instances: blue lives on SQLite, green on PostgreSQL, and a proxy's file says which of them gets the traffic.

Both together must never write: while both stand, the target's fence refuses green's writes (before the freeze) or
SQLite's fence blue's (after it). Without fences, in an offline crossing, green is started after blue has stopped.
An instance is two groups of processes: those with a port may be warmed beside the other instance, since they only
answer what they are asked; the rest (workers, cron) starts when the instance takes over.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from migrations_app.applications import configuration
from migrations_app.applications.configuration import Chosen
from migrations_app.applications.description import (
    DIALECTS,
    ApplicationDescription,
    Dialect,
    EndpointCheck,
    Pointing,
    PointingValues,
    ProcessSpec,
)
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.specs import BlueGreen
from migrations_app.applications.drivers.stop_proof import prove_stopped
from migrations_app.applications.drivers.upstream import UpstreamFile
from migrations_app.applications.endpoints import check_endpoint, fetch_json, field_of
from migrations_app.applications.launching import refuse_other_configuration
from migrations_app.applications.process_driver import ProcessDriver
from migrations_app.applications.processes import port_is_open
from migrations_app.applications.reality import Reality, StopProof, StopResult
from migrations_app.applications.strangers import describe_process
from migrations_app.applications.supervision import write_private
from migrations_app.applications.supervisor import instance_processes
from migrations_app.engine.errors import EngineError, Failed, Refused

COLOURS: dict[Dialect, str] = {"sqlite": "blue", "postgresql": "green"}
_FRONT, _REST = "front", "rest"
WARM = "warm"  # the file that names the instance which waits


class BlueGreenDriver(Driver):
    """Drives the two instances of one application."""

    def __init__(self, description: ApplicationDescription, state_dir: Path, spec: BlueGreen) -> None:
        self.description = description
        self.state_dir = state_dir
        self.spec = spec
        self._slots = {dialect: self._slot(dialect) for dialect in DIALECTS}
        ports: dict[Dialect, int] = {}
        for dialect, slot in self._slots.items():
            port = slot.process(spec.upstream.process).port
            if port is None:
                raise Refused(
                    "PORT_MISSING",
                    f"Process {spec.upstream.process} of {description.name} gets the traffic, but has no port.",
                    "Give it a port for each of the two instances.",
                )
            ports[dialect] = port
        self.upstream = UpstreamFile(description, spec.upstream, ports)

    def check(self) -> None:
        self.upstream.check()

    def start(self, dialect: Dialect, values: PointingValues | None = None) -> Reality:
        """Only the instance on that database: the other one has to be stopped, or a warm one that waits.

        It gets the traffic once it is well.
        """
        refuse_other_configuration(self.description, dialect)
        other = _other(dialect)
        left = self._processes_of(other)
        if left and self._warm() != other:
            raise Refused(
                "ALREADY_RUNNING",
                f"The instance of {self.description.name} on {other} still runs ({len(left)} processes).",
                "Stop it first: both must never write.",
            )
        adopted = self._adopted().status()
        if adopted.unsupervised:
            raise Refused(
                "ALREADY_RUNNING",
                f"{self.description.name} already runs, started by others: "
                f"{'; '.join(describe_process(pid) for pid in adopted.unsupervised)}.",
                "Stop it first.",
            )
        self._note_cold(dialect)  # from here on it may write
        try:
            if dialect == "postgresql" or not adopted.supervisor_alive:
                for part in (_FRONT, _REST):
                    self._start_part(dialect, part, values)
            self._refuse_unwell(dialect)
        except Failed:
            self._stop_slot(dialect, None)
            raise
        self.move_traffic(dialect)
        return self.status()

    def warm(self, dialect: Dialect, values: PointingValues) -> bool:
        """Raises Failed START_FAILED, and nothing of the new instance is left then."""
        if not self._part(dialect, _FRONT).description.processes:
            return False
        if not self._processes_of(dialect):
            self._note_warm(dialect)
        try:
            self._start_part(dialect, _FRONT, values)
            self._refuse_unwell(dialect)
        except Failed:
            self._stop_slot(dialect, None)
            raise
        return True

    def cool(self, dialect: Dialect) -> None:
        """Raises Refused INSTANCE_IN_USE for the instance that the configuration or the traffic names."""
        if dialect in (configuration.current(self.description.pointing), self.traffic()):
            raise Refused(
                "INSTANCE_IN_USE", f"The instance on {dialect} is the one that people use.", "Move the traffic first."
            )
        self._stop_slot(dialect, None)

    def traffic(self) -> Chosen:
        return self.upstream.names()

    def move_traffic(self, dialect: Dialect) -> None:
        """Raises Failed TRAFFIC_NOT_MOVED, Refused NOT_STARTED when nothing of that instance answers."""
        port = self._slots[dialect].process(self.spec.upstream.process).port
        if port is None or not port_is_open(self.description.host, port):
            raise Refused(
                "NOT_STARTED",
                f"The instance of {self.description.name} on {dialect} does not answer on port {port}.",
                "Start it first: people would get errors.",
            )
        self.upstream.move(dialect)

    def stop(self, timeout: float | None = None, only: Dialect | None = None) -> StopResult:
        begun = time.monotonic()
        results = [self._stop_slot(dialect, timeout) for dialect in _chosen(only)]
        if only != "postgresql":  # what was started by hand, or before there were two, is the one on SQLite
            results.append(self._adopted().stop(timeout))
        return StopResult(
            any(result.was_running for result in results),
            tuple(name for result in results for name in result.adopted),
            tuple(name for result in results for name in result.killed),
            time.monotonic() - begun,
        )

    def signal_stop(self, only: Dialect | None = None) -> None:
        told = [self._part(dialect, part).signal_supervisor() for dialect in _chosen(only) for part in (_REST, _FRONT)]
        if only != "postgresql" and not any(told):
            self._adopted().signal_stop()

    def prove_stopped(self, only: Dialect | None = None) -> StopProof:
        dialects = _chosen(only)
        members = {pid for dialect in dialects for pid in self._processes_of(dialect)}
        described = replace(self.description, processes=tuple(p for d in dialects for p in self._slots[d].processes))
        # On the way back blue stands with the file open, as it shall.
        return prove_stopped(described, members, beside=self._processes_of("sqlite") if only == "postgresql" else None)

    def members(self) -> set[int]:
        return self._adopted().members() | {pid for dialect in DIALECTS for pid in self._processes_of(dialect)}

    def status(self) -> Reality:
        """Of the instance that the configuration names; what runs of the other one is named in the message."""
        said = configuration.current(self.description.pointing)
        dialect: Dialect = "postgresql" if said == "postgresql" else "sqlite"
        parts = [self._part(dialect, part).status() for part in (_FRONT, _REST)]
        whole = [
            part for part, driver in zip(parts, self._drivers(dialect), strict=True) if driver.description.processes
        ]
        adopted = self._adopted().status()
        if dialect == "sqlite" and not any(entry.alive for part in whole for entry in part.processes):
            return replace(adopted, message=self._message(dialect, adopted.message))
        states = {part.state for part in whole}
        state = states.pop() if len(states) == 1 else "degraded"
        return replace(
            parts[0],
            supervisor_alive=all(part.supervisor_alive for part in whole),
            state=state,
            message=self._message(dialect, " ".join(part.message for part in whole if part.message)),
            launched_for=next((part.launched_for for part in whole if part.launched_for), ""),
            configuration=said,
            processes=tuple(entry for part in parts for entry in part.processes),
            open_ports=tuple(port for part in parts for port in part.open_ports),
            unsupervised=adopted.unsupervised,
        )

    def _message(self, dialect: Dialect, message: str) -> str:
        other = _other(dialect)
        beside = f"The instance on {other} stands beside it." if self._processes_of(other) else ""
        try:
            traffic = f"The traffic goes to {self.traffic()}."
        except EngineError as error:
            traffic = error.message
        return " ".join(part for part in (message, traffic, beside) if part)

    def _slot(self, dialect: Dialect) -> ApplicationDescription:
        """The instance of a colour: its own ports, pointed by its environment, whatever the file says."""
        ports = self.spec.blue_ports if dialect == "sqlite" else self.spec.green_ports
        return replace(self.description, processes=tuple(_on_port(p, ports) for p in self.description.processes))

    def _part(self, dialect: Dialect, part: str) -> ProcessDriver:
        slot = self._slots[dialect]
        processes = tuple(p for p in slot.processes if (p.port is not None) == (part == _FRONT))
        folder = self._folder(dialect, part)
        pointing = Pointing("environment", self.description.pointing.keys, folder / "pointing.json")
        description = replace(slot, processes=processes, pointing=pointing, adopts=False)
        beside = tuple(self._folder(d, p) for d in DIALECTS for p in (_FRONT, _REST) if (d, p) != (dialect, part))
        return ProcessDriver(description, folder, (*beside, self.state_dir))

    def _drivers(self, dialect: Dialect) -> tuple[ProcessDriver, ...]:
        return tuple(self._part(dialect, part) for part in (_FRONT, _REST))

    def _adopted(self) -> ProcessDriver:
        """The one instance from before: started by hand, or by Causeway while there was only one."""
        folders = tuple(self._folder(dialect, part) for dialect in DIALECTS for part in (_FRONT, _REST))
        return ProcessDriver(self._slots["sqlite"], self.state_dir, folders)

    def _folder(self, dialect: Dialect, part: str) -> Path:
        return self.state_dir / f"{COLOURS[dialect]}-{part}"

    def _processes_of(self, dialect: Dialect) -> set[int]:
        found = {pid for part in (_FRONT, _REST) for pid in instance_processes(self._folder(dialect, part))}
        return found | (instance_processes(self.state_dir) if dialect == "sqlite" else set())

    def _warm(self) -> str:
        """The instance that was started beside the other one only to answer, and hasn't taken over since; "" for none.

        Noted before it starts: an instance that runs without the note is one that may write.
        """
        try:
            return (self.state_dir / WARM).read_text()
        except FileNotFoundError:
            return ""

    def _note_warm(self, dialect: Dialect) -> None:
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.state_dir / WARM, dialect.encode())

    def _note_cold(self, dialect: Dialect) -> None:
        if self._warm() == dialect:
            (self.state_dir / WARM).unlink()

    def _start_part(self, dialect: Dialect, part: str, values: PointingValues | None) -> None:
        driver = self._part(dialect, part)
        if not driver.description.processes:
            return
        given = values or PointingValues(path=self.description.source_path)
        configuration.switch(driver.description.pointing, dialect, given)
        driver.start(dialect, given)

    def _stop_slot(self, dialect: Dialect, timeout: float | None) -> StopResult:
        """Workers first: they may need the ones that answer."""
        rest, front = (self._part(dialect, part).stop_supervised(timeout) for part in (_REST, _FRONT))
        self._note_cold(dialect)
        return StopResult(
            rest.was_running or front.was_running, (), (*rest.killed, *front.killed), rest.seconds + front.seconds
        )

    def _refuse_unwell(self, dialect: Dialect) -> None:
        """Asked on its own port, before anybody else gets there. Raises Failed START_FAILED."""
        slot = self._slots[dialect]
        checks = [check for check in slot.endpoints if slot.process(check.process).port is not None]
        results = [check_endpoint(slot, check, dialect, None) for check in checks]
        problems = [f"{result.name} {result.problem}" for result in results if not result.passed]
        problems += self._other_word(slot, dialect)
        if problems:
            raise Failed(
                "START_FAILED",
                f"The instance of {slot.name} on {dialect} is up but not well: {'; '.join(problems)}.",
                f"Read its logs in {self._folder(dialect, _FRONT)}. The traffic was not moved.",
            )

    def _other_word(self, slot: ApplicationDescription, dialect: Dialect) -> list[str]:
        identity = slot.identity
        if identity is None or not identity.field:
            return []
        try:
            _, document = fetch_json(slot, EndpointCheck("identity", identity.path, identity.process))
        except EngineError as error:
            return [error.message]
        said = field_of(document, identity.field)
        right = str(said) == identity.values[dialect]
        return [] if right else [f"{identity.path} says {identity.field} is {str(said)[:60]!r}"]


def _other(dialect: Dialect) -> Dialect:
    return "sqlite" if dialect == "postgresql" else "postgresql"


def _chosen(only: Dialect | None) -> tuple[Dialect, ...]:
    return DIALECTS if only is None else (only,)


def _on_port(process: ProcessSpec, ports: Mapping[str, int]) -> ProcessSpec:
    return replace(process, port=ports.get(process.name, process.port))
