"""Proves which database an application really talks to. Its configuration proves nothing, nor does a healthy answer.

On PostgreSQL four things are asked, and each can fail the whole: its own word; connections of its processes to the
target; rows read through the API that equal the table's; and a SQLite file that nobody changes or has open, watched
over a time longer than the workers' interval.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from migrations_app.applications import processes
from migrations_app.applications.canary import CANARY_BYTES, compare_canary
from migrations_app.applications.connections import Connections, Target
from migrations_app.applications.description import ApplicationDescription, Dialect, EndpointCheck, Identity
from migrations_app.applications.drivers.choosing import make_driver
from migrations_app.applications.endpoints import fetch_json, field_of, is_missing
from migrations_app.applications.strangers import describe_process
from migrations_app.applications.supervision import read_status
from migrations_app.engine.errors import EngineError, Refused
from migrations_app.engine.source.fingerprint import Fingerprint, fingerprint
from migrations_app.engine.target.target_url import TargetUrl

Outcome = Literal["passed", "failed", "inconclusive"]
SAMPLE_SECONDS = 0.2
QUICK_SECONDS = 0.02
CANARY_LOOKS = 3
LONGER = 4  # times watch_seconds more, where sessions came and nobody was seen in one


@dataclass(frozen=True)
class Proof:
    """One proof. name: own_word, connections, canary, sqlite_still, fenced, sqlite_in_use."""

    name: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class IdentityProof:
    """All proofs. `proved` only when none failed and at least one shows the database in use."""

    dialect: Dialect
    proofs: tuple[Proof, ...]

    @property
    def proved(self) -> bool:
        outcomes = {proof.name: proof.outcome for proof in self.proofs}
        if "failed" in outcomes.values():
            return False
        shown = "passed" in (outcomes.get("own_word"), outcomes.get("connections"))
        left = outcomes.get("sqlite_still", outcomes.get("fenced")) == "passed"
        return shown and (self.dialect == "sqlite" or left)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it isn't proved: what failed, else what stayed open."""
        failed = tuple(proof.reason for proof in self.proofs if proof.outcome == "failed")
        return failed or tuple(proof.reason for proof in self.proofs if proof.outcome == "inconclusive")


def prove_identity(
    description: ApplicationDescription,
    dialect: Dialect,
    url: TargetUrl,
    *,
    state_dir: Path,
    baseline: Fingerprint | None = None,
    fenced: bool = False,
) -> IdentityProof:
    """Watch the running application for `Identity.watch_seconds` and tell which database it uses.

    baseline: the SQLite file's fingerprint from after the stop; with it a write between stop and watch is noticed, too.
    fenced: the SQLite file refuses every writer but the one that brings rows back to it, so its content may change; the
    application must not have it open. Raises Refused NO_IDENTITY; an unreachable target or application is a failed
    proof, not an error.
    """
    identity = description.identity
    process = description.process(identity.process) if identity is not None else None
    if identity is None or process is None or process.port is None:
        raise Refused(
            "NO_IDENTITY",
            f"{description.name} has no endpoint set that tells which database it uses.",
            "Set its identity check.",
        )
    pids = application_pids(description, state_dir)
    before = fingerprint(description.source_path) if dialect == "postgresql" and not fenced else None
    with Target(url) as target:
        watched = _watch(description, identity, dialect, target, pids, state_dir)
        elsewhere = description.driver.kind in ("command", "manual")
        proofs = [_own_word(description, identity, dialect), _connections(dialect, watched, identity, elsewhere)]
        if dialect == "postgresql":
            proofs.append(_canary(description, identity, target))
    if before is not None:
        after = fingerprint(description.source_path)
        proofs.append(_sqlite_still(description, baseline or before, after, watched))
    elif fenced:
        proofs.append(_fenced(description, watched))
    else:
        proofs.append(_sqlite_in_use(description, watched))
    return IdentityProof(dialect, tuple(proofs))


def application_pids(description: ApplicationDescription, state_dir: Path) -> set[int]:
    """Every living process of the application that its driver knows, or that is recognised by its command."""
    return make_driver(description, state_dir).members()


@dataclass
class _Watched:
    """What was seen over the whole time."""

    pids: set[int]
    holders: dict[tuple[int, str, bool], processes.Holder]
    connections: Connections
    speakers: set[int]  # the process that answers, and its children; empty when nobody knows its pid


def _watch(
    description: ApplicationDescription,
    identity: Identity,
    dialect: Dialect,
    target: Target,
    pids: set[int],
    state_dir: Path,
) -> _Watched:
    """Look again and again while asking it something, so that a file opened for one request only is seen, too."""
    watched = _Watched(set(pids), {}, Connections(), set())
    end = time.monotonic() + identity.watch_seconds
    longest = end + (LONGER * identity.watch_seconds if dialect == "postgresql" else 0.0)
    asking = _Asking(description, identity)
    with asking:
        while True:
            watched.pids |= application_pids(description, state_dir)
            watched.speakers |= _speakers(description, identity, watched.pids, state_dir)
            for holder in processes.holders(description.source_path):
                watched.holders[holder.pid, holder.path, holder.writable] = holder
            pause = time.monotonic() + SAMPLE_SECONDS
            while True:
                watched.connections.add(target.connections_of(watched.pids))
                seen = watched.connections.pids & (watched.speakers or watched.pids)
                if seen or time.monotonic() >= pause:
                    break
                time.sleep(QUICK_SECONDS)  # frameworks that connect for one request only are caught in the act
            if time.monotonic() >= end:
                caught = watched.connections.pids & (watched.speakers or watched.pids)
                # Somebody connects for moments only: on a busy machine it takes longer to see who.
                if caught or not watched.connections.new_sessions or time.monotonic() >= longest:
                    return watched
            time.sleep(max(0.0, min(pause, end) - time.monotonic()))


class _Asking:
    """Requests, one after the other, while the main thread looks. The answers are judged elsewhere."""

    def __init__(self, description: ApplicationDescription, identity: Identity) -> None:
        self._description = description
        self._checks = [_check(identity, identity.path)]
        if identity.canary is not None:
            self._checks.append(_check(identity, identity.canary.path))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="identity requests", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(self._description.http_timeout_seconds + 1)

    def _run(self) -> None:
        while not self._stop.is_set():
            for check in self._checks:
                with contextlib.suppress(EngineError):
                    fetch_json(self._description, check, CANARY_BYTES)
            self._stop.wait(QUICK_SECONDS)


def _speakers(description: ApplicationDescription, identity: Identity, pids: set[int], state_dir: Path) -> set[int]:
    """The process that answers: by our supervisor's word, else by who of the application listens on its port."""
    status = read_status(state_dir)
    entries = status.processes if status is not None else []
    roots = {entry.pid for entry in entries if entry.name == identity.process and entry.alive}
    port = description.process(identity.process).port
    if not roots and port is not None and description.driver.kind != "process":
        roots = processes.listeners(port) & pids
    return processes.family(roots)


def _check(identity: Identity, path: str) -> EndpointCheck:
    return EndpointCheck("identity", path, identity.process)


def _own_word(description: ApplicationDescription, identity: Identity, dialect: Dialect) -> Proof:
    if not identity.field:
        return Proof("own_word", "inconclusive", "the application has no word for its database")
    try:
        status, document = fetch_json(description, _check(identity, identity.path))
    except EngineError as error:
        return Proof("own_word", "failed", f"{identity.path} gave no answer: {error.message}")
    if status != 200:
        return Proof("own_word", "failed", f"{identity.path} answered {status}")
    said = field_of(document, identity.field)
    if is_missing(said):
        return Proof("own_word", "inconclusive", f"{identity.path} has no field {identity.field}")
    wanted = identity.values[dialect]
    if str(said) != wanted:
        return Proof(
            "own_word", "failed", f"{identity.path} says {identity.field} is {str(said)[:60]!r}, not {wanted!r}"
        )
    return Proof("own_word", "passed", f"{identity.path} says {identity.field} is {wanted!r}")


def _connections(dialect: Dialect, watched: _Watched, identity: Identity, elsewhere: bool) -> Proof:
    """elsewhere: it may run where we can't see its processes, in a container, say."""
    seen = watched.connections
    if dialect == "sqlite":
        if seen.pids:
            names = "; ".join(describe_process(pid) for pid in sorted(seen.pids))
            return Proof("connections", "failed", f"still connected to the target: {names}")
        return Proof("connections", "inconclusive", "no process of the application is connected to the target")
    if seen.problem:
        return Proof("connections", "failed", seen.problem)
    if not watched.pids and elsewhere:
        return Proof("connections", "inconclusive", "the application's processes can't be seen from here")
    if not watched.pids:
        return Proof("connections", "failed", "no process of the application is running")
    who = watched.speakers or watched.pids
    if seen.pids & who:
        backends = f", as backends {', '.join(map(str, sorted(seen.backends)))}" if seen.backends else ""
        named = ", ".join(map(str, sorted(seen.pids)))
        return Proof("connections", "passed", f"processes {named} are connected{backends}")
    if seen.hidden & who:
        return Proof("connections", "inconclusive", "the application's connections can't be looked into as this user")
    if seen.new_sessions and identity.canary is None:
        # Perhaps its health answer needs no database, and it connects for single requests only.
        return Proof("connections", "inconclusive", f"process {identity.process} was not seen connected to the target")
    # A worker may be connected while the process that people use goes on with SQLite.
    return Proof("connections", "failed", f"process {identity.process} is not connected to the target")


def _canary(description: ApplicationDescription, identity: Identity, target: Target) -> Proof:
    if identity.canary is None:
        return Proof("canary", "inconclusive", "no canary read is set")
    if target.connection is None:
        return Proof("canary", "failed", target.problem)
    for _ in range(CANARY_LOOKS):
        try:
            problem = compare_canary(description, identity.process, identity.canary, target.connection)
        except EngineError as error:
            problem = error.message
        if not problem:
            break
        time.sleep(SAMPLE_SECONDS)  # a live application may write between its answer and our look
    table = identity.canary.table
    if problem:
        return Proof("canary", "failed", problem)
    return Proof("canary", "passed", f"rows read through {identity.canary.path} equal those of table {table}")


def _sqlite_still(
    description: ApplicationDescription, before: Fingerprint, after: Fingerprint, watched: _Watched
) -> Proof:
    path = description.source_path
    if before.digest != after.digest:
        return Proof("sqlite_still", "failed", f"{path} was written to after the stop")
    ours = [holder for holder in watched.holders.values() if holder.pid in watched.pids]
    if ours:
        return Proof("sqlite_still", "failed", f"the application still has {ours[0].path} open: {_who(ours[0])}")
    writers = [holder for holder in watched.holders.values() if holder.writable]
    if writers:
        return Proof("sqlite_still", "failed", f"{writers[0].path} is open for writing in {_who(writers[0])}")
    readers = f" ({len(watched.holders)} others read it)" if watched.holders else ""
    return Proof("sqlite_still", "passed", f"{path} has not changed and the application does not have it open{readers}")


def _fenced(description: ApplicationDescription, watched: _Watched) -> Proof:
    ours = [holder for holder in watched.holders.values() if holder.pid in watched.pids]
    if ours:
        reason = f"the application still has {ours[0].path} open: {_who(ours[0])}; its writes there are refused"
        return Proof("fenced", "failed", reason)
    path = description.source_path
    return Proof("fenced", "passed", f"{path} refuses every writer, and the application does not have it open")


def _sqlite_in_use(description: ApplicationDescription, watched: _Watched) -> Proof:
    ours = [holder for holder in watched.holders.values() if holder.pid in watched.pids]
    if ours:
        return Proof("sqlite_in_use", "passed", f"{ours[0].path} is open in {_who(ours[0])}")
    return Proof("sqlite_in_use", "inconclusive", f"{description.source_path} was not seen open in the application")


def _who(holder: processes.Holder) -> str:
    return describe_process(holder.pid)
