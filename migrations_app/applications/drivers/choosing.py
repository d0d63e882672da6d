"""The driver of an application's kind."""

from __future__ import annotations

from pathlib import Path

from migrations_app.applications.description import ApplicationDescription
from migrations_app.applications.drivers.blue_green import BlueGreenDriver
from migrations_app.applications.drivers.command import CommandDriver
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.manual import ManualDriver
from migrations_app.applications.drivers.specs import BlueGreen, ByCommands, ByPerson, ByUnits
from migrations_app.applications.drivers.systemd import SystemdDriver
from migrations_app.applications.process_driver import ProcessDriver


def make_driver(description: ApplicationDescription, state_dir: Path) -> Driver:
    """Raises Refused POINTING_NEEDS_FILE where the pointing can't work with this kind."""
    spec = description.driver
    if isinstance(spec, ByUnits):
        return SystemdDriver(description, state_dir, spec)
    if isinstance(spec, ByCommands):
        return CommandDriver(description, state_dir, spec)
    if isinstance(spec, ByPerson):
        return ManualDriver(description, state_dir, spec)
    if isinstance(spec, BlueGreen):
        return BlueGreenDriver(description, state_dir, spec)
    return ProcessDriver(description, state_dir)
