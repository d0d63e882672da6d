"""Stops and starts units of systemd, and proves by the kernel's control groups that nothing of them is left."""

from __future__ import annotations

import json
import time
from pathlib import Path

from migrations_app.applications.description import ApplicationDescription, Dialect, PointingValues
from migrations_app.applications.drivers import launched
from migrations_app.applications.drivers.elsewhere import (
    POLL_SECONDS,
    begin_start,
    closed_ports,
    not_started,
    reality_of,
    recognised,
    refuse_environment,
    start_budget,
    stop_budget,
)
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.specs import ByUnits
from migrations_app.applications.drivers.stop_proof import prove_stopped, refuse_taken_ports, still_alive
from migrations_app.applications.drivers.systemctl import Systemctl, Unit
from migrations_app.applications.reality import ProcessReality, Reality, StopProof, StopResult
from migrations_app.applications.strangers import describe_process
from migrations_app.applications.supervision import write_private
from migrations_app.engine.errors import Failed, Refused

GROUPS = "units.json"  # the control group of each unit, from when it last ran: systemd forgets it
SETTLE_SECONDS = 0.5  # a unit that failed at once is not taken for one that is up
DEFAULT_STOP_SECONDS = 100.0  # systemd's own default is 90 (systemd-system.conf(5), DefaultTimeoutStopSec)
_TRIGGERS = (".socket", ".timer", ".path")
_STATES = {
    "active": "running",
    "reloading": "running",
    "activating": "starting",
    "deactivating": "stopping",
    "failed": "crashed",
}


class SystemdDriver(Driver):
    """Drives an application that runs as units of systemd."""

    def __init__(self, description: ApplicationDescription, state_dir: Path, spec: ByUnits) -> None:
        self.description = description
        self.state_dir = state_dir
        self.spec = spec
        self.systemctl = Systemctl(spec)

    def check(self) -> None:
        """Raises Refused UNIT_UNKNOWN, UNIT_OUTDATED, UNIT_STARTED_BY_OTHERS, POINTING_NEEDS_FILE."""
        refuse_environment(self.description)
        units = self._known()
        for unit in units:
            if unit.outdated:
                raise Refused(
                    "UNIT_OUTDATED",
                    f"The file of {unit.name} changed since systemd read it.",
                    "Run systemctl daemon-reload, and look whether the unit still is what you mean.",
                )
            self._refuse_other_starters(unit)

    def start(self, dialect: Dialect, values: PointingValues | None = None) -> Reality:
        units = self._known()
        running = [unit.name for unit in units if unit.runs]
        if begin_start(self.description, self.state_dir, dialect, bool(running), ", ".join(running)):
            refuse_taken_ports(self.description)
        wanted = self._started_by_us(units)
        try:
            self.systemctl.change("start", wanted, start_budget(self.description))
            problem = self._wait_until_up(wanted)
        except Failed as error:
            problem = error.message
        if problem:
            self._give_up()
            names = " -u ".join(self.spec.units)
            raise not_started(self.description, dialect, problem, f"Read the journal: journalctl -u {names}.")
        return self.status()

    def stop(self, timeout: float | None = None, only: Dialect | None = None) -> StopResult:
        begun = time.monotonic()
        units = self._known()
        self._remember(units)
        running = any(unit.runs for unit in units)
        if running:
            budget = timeout if timeout is not None else max(stop_budget(self.description), DEFAULT_STOP_SECONDS)
            self.systemctl.change("stop", self._stop_order(), budget)
        units = self.systemctl.show()
        left = [f"{unit.name} is {unit.active} ({unit.sub})" for unit in units if unit.runs]
        left += [describe_process(pid) for pid in sorted(self._in_groups(units))]
        if left:
            raise still_alive(self.description, left)
        launched.clear(self.state_dir)
        killed = tuple(unit.name for unit in units if running and unit.result == "timeout")
        return StopResult(running, (), killed, time.monotonic() - begun)

    def signal_stop(self, only: Dialect | None = None) -> None:
        self.systemctl.signal_stop()

    def prove_stopped(self, only: Dialect | None = None) -> StopProof:
        units = self.systemctl.show()
        more = [f"systemd says that {unit.name} is {unit.active} ({unit.sub})" for unit in units if unit.runs]
        return prove_stopped(self.description, self._in_groups(units), more)

    def members(self) -> set[int]:
        return self._in_groups(self.systemctl.show()) | recognised(self.description)

    def status(self) -> Reality:
        units = self.systemctl.show()
        self._remember(units)
        entries = tuple(_entry(unit) for unit in units)
        wanted = self._started_by_us(units)
        running = [unit for unit in units if unit.runs and unit.name in wanted]
        stopped = [unit for unit in units if not unit.runs and unit.name in wanted]
        failed = [unit.name for unit in units if unit.active == "failed" or unit.load != "loaded"]
        return reality_of(
            self.description,
            self.state_dir,
            state="stopped" if not running else "degraded" if stopped or failed else "running",
            message=f"Failed or unknown to systemd: {', '.join(failed)}." if failed else "",
            entries=entries,
            members=self._in_groups(units),
        )

    def _known(self) -> tuple[Unit, ...]:
        units = self.systemctl.show()
        for unit in units:
            if unit.load != "loaded":
                raise Refused(
                    "UNIT_UNKNOWN",
                    f"systemd knows no unit {unit.name} that could be started: it is {unit.load or 'unknown'}.",
                    "Correct the name, or run systemctl daemon-reload if its file is new.",
                )
        return units

    def _refuse_other_starters(self, unit: Unit) -> None:
        """A socket or a timer that is left running would start the application in the middle of the crossing."""
        others = sorted({*unit.triggered_by, *unit.triggers} - set(self.spec.units))
        if others:
            relation = "is started by" if unit.triggered_by else "starts"
            raise Refused(
                "UNIT_STARTED_BY_OTHERS",
                f"{unit.name} {relation} {', '.join(others)}, which is not named: it would run again by itself.",
                "Name it among the units, so that it is stopped and started too.",
            )

    def _started_by_us(self, units: tuple[Unit, ...]) -> list[str]:
        """Not what a named timer or path starts when its time has come.

        Asked of the timer: a service tells only those of its timers that systemd has loaded.
        """
        later = {name for unit in units if unit.name.endswith((".timer", ".path")) for name in unit.triggers}
        return [unit.name for unit in units if unit.name not in later]

    def _stop_order(self) -> list[str]:
        """What starts others goes first."""
        last_first = list(reversed(self.spec.units))
        return sorted(last_first, key=lambda name: not name.endswith(_TRIGGERS))

    def _wait_until_up(self, wanted: list[str]) -> str:
        until = time.monotonic() + start_budget(self.description)
        settled = time.monotonic() + SETTLE_SECONDS
        while True:
            units = [unit for unit in self.systemctl.show() if unit.name in wanted]
            ended = [f"{unit.name} is {unit.active} ({unit.result})" for unit in units if not unit.runs]
            if ended:
                return "; ".join(ended)
            missing = closed_ports(self.description)
            now = time.monotonic()
            if now >= settled and not missing and all(unit.active == "active" for unit in units):
                return ""
            if now >= until:
                late = [f"{unit.name} is {unit.active}" for unit in units if unit.active != "active"]
                return "; ".join(late) or f"nothing listens on port {', '.join(map(str, missing))}"
            time.sleep(POLL_SECONDS)

    def _give_up(self) -> None:
        """Nothing half-started: what came up is stopped again. What can't be stopped is told by prove_stopped()."""
        self._remember(self.systemctl.show())
        self.systemctl.change("stop", self._stop_order(), max(stop_budget(self.description), DEFAULT_STOP_SECONDS))
        launched.clear(self.state_dir)

    def _remember(self, units: tuple[Unit, ...]) -> None:
        groups = {**self._groups(), **{unit.name: unit.control_group for unit in units if unit.control_group}}
        if groups != self._groups():
            self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.state_dir / GROUPS, json.dumps(groups).encode())

    def _groups(self) -> dict[str, str]:
        try:
            document = json.loads((self.state_dir / GROUPS).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return {str(name): str(group) for name, group in document.items()} if isinstance(document, dict) else {}

    def _in_groups(self, units: tuple[Unit, ...]) -> set[int]:
        """A process that outlived its unit (KillMode=process) is still in its group."""
        remembered = self._groups()
        found = {unit.main_pid for unit in units if unit.main_pid and unit.runs}
        for unit in units:
            found |= self.systemctl.processes_in(unit.control_group or remembered.get(unit.name, ""))
        return found


def _entry(unit: Unit) -> ProcessReality:
    state = _STATES.get(unit.active, "stopped") if unit.load == "loaded" else "absent"
    exit_status = None if unit.runs else unit.exit_status
    return ProcessReality(unit.name, state, unit.runs, unit.main_pid if unit.runs else 0, None, exit_status)
