"""What every driver does: stop an application and prove it, point it at a database, start it, tell what is true.

Every call may be repeated after a kill at any instruction: done twice is done once. No driver believes anybody's word
that something stopped, be it a supervisor's, systemd's or a person's: kernel and file are asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from migrations_app.applications import configuration
from migrations_app.applications.description import ApplicationDescription, Dialect, PointingValues
from migrations_app.applications.reality import Reality, StopProof, StopResult
from migrations_app.engine.errors import Failed


class PersonNeeded(Failed):
    """Somebody has to do something by hand; ask again until the probe sees that it is done."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__("PERSON_NEEDED", message, hint)


class Driver(Protocol):
    """Drives one application. `state_dir` (0700) belongs to that instance alone.

    only: which instance is meant where there are two (blue_green): the one on that database; None: every one.
    """

    description: ApplicationDescription
    state_dir: Path

    def start(self, dialect: Dialect, values: PointingValues | None = None) -> Reality:
        """Start it on the database that the configuration names; returns when it is up.

        Raises Refused CONFIGURATION_SAYS_OTHERWISE, ALREADY_RUNNING, PORT_TAKEN, Failed START_FAILED (with nothing left
        running), and PersonNeeded.
        """

    def stop(self, timeout: float | None = None, only: Dialect | None = None) -> StopResult:
        """Stop all of it, in reverse order. timeout: seconds. Raises Failed STOP_FAILED, Refused, PersonNeeded."""

    def signal_stop(self, only: Dialect | None = None) -> None:
        """Tell it to end and return at once: called with the write lock held. stop() afterwards waits and proves."""

    def prove_stopped(self, only: Dialect | None = None) -> StopProof:
        """Ask kernel and file whether it is stopped. Changes nothing."""

    def status(self) -> Reality:
        """What is true now. Changes nothing."""

    def members(self) -> set[int]:
        """Every living process of the application that can be seen from here."""

    def point(self, dialect: Dialect, values: PointingValues) -> configuration.SwitchResult:
        """Point it at the dialect's database. Raises what configuration.switch() raises."""
        return configuration.switch(self.description.pointing, dialect, values)

    def check(self) -> None:
        """Whether it could be driven at all; changes nothing. Raises Refused with the way out."""
        return None

    @property
    def online_problem(self) -> str:
        """Why the online strategy can't use this driver; "" when it can."""
        return ""

    def warm(self, dialect: Dialect, values: PointingValues) -> bool:
        """Start what can stand beside the running instance and only answers requests; False: there is no such thing."""
        return False

    def cool(self, dialect: Dialect) -> None:
        """Stop what warm() started, when the crossing is given up."""
        return None

    def traffic(self) -> configuration.Chosen | None:
        """Which instance gets the traffic: a durable fact. None where there is only one instance."""
        return None

    def move_traffic(self, dialect: Dialect) -> None:
        """Send the traffic to the instance on that database. Does nothing where there is only one."""
        return None
