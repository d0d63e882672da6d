"""Asks and tells systemd through `systemctl`: fixed argument lists, no shell, names checked before they are used.

What its answers mean: systemctl(1), org.freedesktop.systemd1(5) and systemd.unit(5) of systemd 252.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controlplane.redaction import redact
from migrations_app.applications.commands import minimal_environment
from migrations_app.applications.drivers.specs import UNIT, ByUnits
from migrations_app.engine.errors import Failed, Refused

ASK_SECONDS = 20.0
PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,MainPID,ExecMainStatus,ControlGroup,TriggeredBy,Triggers,NeedDaemonReload"
)
_NO_RIGHT = ("Access denied", "Interactive authentication required", "Authentication is required", "Permission denied")


@dataclass(frozen=True)
class Unit:
    """One unit as systemd tells it. active: its ActiveState."""

    name: str
    load: str
    active: str
    sub: str
    result: str
    main_pid: int
    exit_status: int | None
    control_group: str
    triggered_by: tuple[str, ...]
    triggers: tuple[str, ...]
    outdated: bool  # its file changed since systemd read it

    @property
    def runs(self) -> bool:
        return self.active not in ("inactive", "failed")


class Systemctl:
    """systemd, seen through its command."""

    def __init__(self, spec: ByUnits) -> None:
        self._spec = spec
        for name in spec.units:
            refuse_bad_name(name)
        if not spec.units or len(set(spec.units)) != len(spec.units):
            raise Refused("BAD_UNIT", "The units are none, or one is named twice.", "Name each unit once.")

    def show(self, names: Sequence[str] = ()) -> tuple[Unit, ...]:
        """The units as they are now, in the order of the names. Raises Failed SYSTEMD_NOT_ASKED."""
        wanted = tuple(names) or self._spec.units
        done = self._run(["show", f"--property={PROPERTIES}", "--", *wanted], ASK_SECONDS)
        blocks = [block for block in done.stdout.split("\n\n") if block.strip()]
        if done.returncode != 0 or len(blocks) != len(wanted):
            raise Failed(
                "SYSTEMD_NOT_ASKED",
                f"systemctl show ended with {done.returncode}: {_words(done)}",
                "Is systemd at work on this host, and may the service's user ask it?",
            )
        return tuple(_unit(name, block) for name, block in zip(wanted, blocks, strict=True))

    def change(self, verb: str, names: Sequence[str], seconds: float) -> None:
        """`start` or `stop`, waited for. Raises Failed SYSTEMD_NO_RIGHT, SYSTEMD_REFUSED, SYSTEMD_TIMEOUT."""
        try:
            done = self._run([verb, "--", *names], seconds)
        except subprocess.TimeoutExpired:
            raise Failed(
                "SYSTEMD_TIMEOUT",
                f"systemctl {verb} {' '.join(names)} did not end within {seconds:g} s; systemd is still at it.",
                "Look at the unit's journal, then run the step again.",
            ) from None
        if done.returncode != 0:
            raise _refusal(verb, names, done)

    def signal_stop(self) -> None:
        """Queue the stop of every unit and return at once. Raises Failed as change() does."""
        done = self._run(["stop", "--no-block", "--", *reversed(self._spec.units)], ASK_SECONDS)
        if done.returncode != 0:
            raise _refusal("stop", self._spec.units, done)

    def processes_in(self, control_group: str) -> set[int]:
        """The processes of a control group and of those below it, as the kernel tells; none when it is gone.

        cgroups(7): one tree of its own (v2), or beside the controllers (hybrid), or systemd's own of v1.
        """
        found: set[int] = set()
        if not control_group.startswith("/") or ".." in control_group:
            return found
        for mount in ("", "unified", "systemd"):
            folder = self._spec.control_groups / mount / control_group.lstrip("/")
            for listing in (folder / "cgroup.procs", *folder.rglob("*/cgroup.procs")):
                found |= _pids(listing)
        return found

    def _run(self, arguments: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
        user = ["--user"] if self._spec.manager == "user" else []
        try:
            return subprocess.run(
                [str(self._spec.program), *user, "--no-pager", "--no-ask-password", *arguments],
                env=minimal_environment(_session()),
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except OSError as error:
            raise Failed(
                "SYSTEMD_NOT_ASKED",
                f"{self._spec.program} could not be run: {error.strerror}.",
                "The driver “systemd” needs systemctl on the application's host.",
            ) from None
        except subprocess.TimeoutExpired:
            if arguments[0] != "show":
                raise
            raise Failed(
                "SYSTEMD_NOT_ASKED", f"systemctl gave no answer within {seconds:g} s.", "Look at systemd on this host."
            ) from None


def refuse_bad_name(name: str) -> None:
    """Raises Refused BAD_UNIT: a name is an argument, and must never be read as an option or a pattern."""
    if not UNIT.fullmatch(name):
        raise Refused(
            "BAD_UNIT",
            f"{name[:80]!r} is not the whole name of a unit.",
            "Write it as systemctl shows it, with .service, .socket, .timer or .path.",
        )


def _session() -> dict[str, str]:
    """Where a user's own systemd is found."""
    names = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
    return {name: os.environ[name] for name in names if name in os.environ}


def _refusal(verb: str, names: Sequence[str], done: subprocess.CompletedProcess[str]) -> Failed:
    said = _words(done)
    if any(words in said for words in _NO_RIGHT):
        return Failed(
            "SYSTEMD_NO_RIGHT",
            f"systemd does not let this user {verb} {' '.join(names)}.",
            "Give the worker's user the polkit rule of docs/reference/drivers.md.",
        )
    return Failed(
        "SYSTEMD_REFUSED",
        f"systemctl {verb} {' '.join(names)} ended with {done.returncode}: {said}",
        "Look at the unit's journal: journalctl -u NAME.",
    )


def _words(done: subprocess.CompletedProcess[str]) -> str:
    return redact(" ".join((done.stderr or done.stdout).split()))[:400] or "it said nothing"


def _unit(name: str, block: str) -> Unit:
    said = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)

    def number(key: str) -> int:
        text = said.get(key, "")
        return int(text) if text.isdigit() else 0

    return Unit(
        name=name,
        load=said.get("LoadState", ""),
        active=said.get("ActiveState", ""),
        sub=said.get("SubState", ""),
        result=said.get("Result", ""),
        main_pid=number("MainPID"),
        exit_status=number("ExecMainStatus") if said.get("ExecMainStatus") else None,
        control_group=said.get("ControlGroup", ""),
        triggered_by=tuple(said.get("TriggeredBy", "").split()),
        triggers=tuple(said.get("Triggers", "").split()),
        outdated=said.get("NeedDaemonReload") == "yes",
    )


def _pids(listing: Path) -> set[int]:
    try:
        return {int(line) for line in listing.read_text().split() if line != "0"}
    except OSError:
        return set()
