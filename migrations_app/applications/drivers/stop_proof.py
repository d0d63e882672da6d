"""Whether an application is stopped, asked from kernel and file: the same facts for every kind of driver."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from migrations_app.applications import processes
from migrations_app.applications.description import ApplicationDescription
from migrations_app.applications.reality import StopProof
from migrations_app.applications.strangers import describe_process, find_running
from migrations_app.applications.write_lock import LockState, probe_write_lock
from migrations_app.engine.errors import Failed, Refused


def prove_stopped(
    description: ApplicationDescription,
    members: Iterable[int],
    more: Sequence[str] = (),
    *,
    beside: Collection[int] | None = None,
) -> StopProof:
    """No process, no port, nobody with the file open, its write lock free. Changes nothing.

    members: living processes that the driver knows. more: what else the driver's own manager says still runs.
    beside: processes of another instance, which may have the file open; with it nothing is recognised by its command.
    """
    mine = set(members)
    if beside is None:
        mine |= {running.pid for running in find_running(description, mine) if running.ours}
    ports = open_ports(description)
    held = tuple(holder for holder in processes.holders(description.source_path) if holder.pid not in (beside or ()))
    lock = probe_write_lock(description.source_path, description.busy_timeout_ms / 1000)
    reasons = [f"still runs: {describe_process(pid)}" for pid in sorted(mine)]
    reasons += more
    reasons += [f"port {port} still answers" for port in ports]
    reasons += [f"{holder.path} is open in {describe_process(holder.pid)}" for holder in held]
    if not lock.free:
        reasons.append(lock.reason)
    return StopProof(
        stopped=not reasons,
        no_process=not mine and not more,
        ports_closed=not ports,
        file_released=not held,
        lock_free=lock.free,
        wal_bytes=lock.wal_bytes,
        reasons=tuple(reasons),
        caveats=_caveats(lock),
    )


def open_ports(description: ApplicationDescription) -> tuple[int, ...]:
    """Those of the application's ports on which anything answers."""
    ports = [process.port for process in description.in_start_order() if process.port is not None]
    return tuple(port for port in ports if processes.port_is_open(description.host, port))


def refuse_taken_ports(description: ApplicationDescription) -> None:
    """Raises Refused PORT_TAKEN for a port that the application needs."""
    for port in open_ports(description):
        who = "; ".join(describe_process(pid) for pid in sorted(processes.listeners(port)))
        who = who or "a process that we may not see"
        raise Refused(
            "PORT_TAKEN",
            f"Port {port}, which {description.name} needs, is taken by {who}.",
            "End that process, or give the application another port.",
        )


def still_alive(description: ApplicationDescription, reasons: Iterable[str]) -> Failed:
    """The error of a stop that did not come to its end."""
    return Failed(
        "STOP_FAILED",
        f"{description.name} did not stop: {'; '.join(reasons)}.",
        "End what is named by hand, then run the step again.",
    )


def _caveats(lock: LockState) -> tuple[str, ...]:
    hidden = processes.hidden_processes()
    caveats = [f"{hidden} processes of other users can't be looked into"] if hidden else []
    return (*caveats, *lock.caveats)
