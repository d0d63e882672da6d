"""What drivers share whose application runs under somebody else's care: systemd's, a container engine's, a person's.

Its processes get no environment of ours, so only a configuration file can point it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from migrations_app.applications import configuration, processes
from migrations_app.applications.description import ApplicationDescription, Dialect
from migrations_app.applications.drivers import launched
from migrations_app.applications.drivers.stop_proof import open_ports
from migrations_app.applications.launching import refuse_other_configuration
from migrations_app.applications.reality import ProcessReality, Reality
from migrations_app.applications.strangers import find_running
from migrations_app.engine.errors import Failed, Refused

POLL_SECONDS = 0.2
EXTRA_SECONDS = 15.0


def refuse_environment(description: ApplicationDescription) -> None:
    """Raises Refused POINTING_NEEDS_FILE."""
    if description.pointing.mechanism != "file":
        raise Refused(
            "POINTING_NEEDS_FILE",
            f"{description.name} is told its database by variables of its processes, but is not started by Causeway.",
            "Let it read a configuration file (a unit's EnvironmentFile=, a container's env_file) and name that file.",
        )


def begin_start(description: ApplicationDescription, state_dir: Path, dialect: Dialect, runs: bool, who: str) -> bool:
    """Whether it is still to be started; False when a start of ours on this database is under way already.

    Raises Refused CONFIGURATION_SAYS_OTHERWISE, ALREADY_RUNNING.
    """
    refuse_environment(description)
    refuse_other_configuration(description, dialect)
    if runs and launched.read(state_dir) == dialect:
        return False
    if runs:
        raise Refused(
            "ALREADY_RUNNING",
            f"{description.name} already runs ({who}), and was not started on {dialect} by Causeway.",
            "Stop it first, so that no process stays on another database.",
        )
    launched.write(state_dir, dialect)
    return True


def stop_budget(description: ApplicationDescription) -> float:
    """Seconds that a stop may take in all."""
    return sum(process.stop_timeout_seconds + 5.0 for process in description.processes) + EXTRA_SECONDS


def start_budget(description: ApplicationDescription) -> float:
    """Seconds until it has to be up."""
    return sum(process.start_timeout_seconds for process in description.processes) + EXTRA_SECONDS


def closed_ports(description: ApplicationDescription) -> tuple[int, ...]:
    """Those of its ports on which nothing answers yet."""
    answering = open_ports(description)
    return tuple(
        process.port
        for process in description.in_start_order()
        if process.port is not None and process.port not in answering
    )


def wait_for_ports(description: ApplicationDescription, until: float) -> str:
    """ "" as soon as every port answers, else what is missing at the time `until` (monotonic)."""
    while missing := closed_ports(description):
        if time.monotonic() >= until:
            return f"nothing listens on port {', '.join(map(str, missing))}"
        time.sleep(POLL_SECONDS)
    return ""


def recognised(description: ApplicationDescription) -> set[int]:
    """Processes that run one of its commands: what can be seen without anybody's word."""
    return {running.pid for running in find_running(description, set()) if running.ours}


def not_started(description: ApplicationDescription, dialect: Dialect, why: str, hint: str) -> Failed:
    return Failed("START_FAILED", f"{description.name} did not start on {dialect}: {why}", hint)


def reality_of(
    description: ApplicationDescription,
    state_dir: Path,
    *,
    state: str,
    message: str,
    entries: Sequence[ProcessReality],
    members: set[int],
) -> Reality:
    """The facts that every kind tells. members: those that the driver's manager knows."""
    runs = state not in ("stopped", "none", "unknown")
    return Reality(
        supervisor_alive=runs,
        state=state,
        message=message,
        launched_for=launched.read(state_dir) if runs else "",
        configuration=configuration.current(description.pointing),
        processes=tuple(entries),
        open_ports=open_ports(description),
        holders=processes.holders(description.source_path),
        unsupervised=tuple(sorted(recognised(description) - members)),
    )
