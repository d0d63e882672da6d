"""Measures what the users of a writing application would notice: the longest time between two acknowledged writes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.crossing import offline
from bench.crossing.acknowledged import Acknowledged, Ledger, read_acknowledged
from bench.crossing.application import Application, Load
from bench.crossing.database import make_database
from bench.crossing.stage import Moved, Stage
from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.capture import capture
from migrations_app.engine.online.settling import settle
from migrations_app.engine.replay.backward import Returner
from migrations_app.engine.replay.forward import Follower

_SETTLED = 3.0  # seconds of quiet work before a crossing is measured, and after
_PASSWORD = "bench"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Gap:
    """Of one crossing. Seconds. `restart`: from the start of the application's process to its first acknowledged write,
    which is the application's own; `pure` is the gap without it."""

    seconds: float
    restart: float
    locked: float

    @property
    def pure(self) -> float:
        return max(0.0, self.seconds - self.restart)


@dataclass(frozen=True)
class Live:
    """Online, there, back and there again."""

    megabytes: float
    per_second: float  # acknowledged, before the first crossing
    prepared: float  # seconds, with the application at work: capture, copy, full check
    there: Gap
    back: Gap
    again: Gap
    ledger: Ledger
    equal: bool


@dataclass(frozen=True)
class Stopped:
    """A way with the application stopped from the first row to the last. Seconds."""

    megabytes: float
    gap: Gap


@contextmanager
def fresh_database(server: EmbeddedPostgres, name: str) -> Iterator[str]:
    """The URL of a database whose role may be the applier."""
    server.create_role(name, _PASSWORD)
    server.create_database(name, owner=name)
    server.execute(f'GRANT SET ON PARAMETER session_replication_role TO "{name}"')
    try:
        yield server.url(name, role=name, password=_PASSWORD)
    finally:
        server.execute(f'REVOKE SET ON PARAMETER session_replication_role FROM "{name}"')
        server.drop_database(name)
        server.drop_role(name)


@contextmanager
def staged(work: Path, target: str, megabytes: float, load: Load, *, wal: bool = True) -> Iterator[Stage]:
    """The application at work on SQLite."""
    source = make_database(work / "live.sqlite", megabytes, wal=wal, accounts=load.accounts)
    with Application(work / "application", load) as application:
        stage = Stage(source, target, application, work / "stage")
        stage.open_application()
        application.wait_for(100)
        try:
            yield stage
        finally:
            application.stop()
    for path in (work / "application", work / "stage"):
        shutil.rmtree(path)


def measure_live(server: EmbeddedPostgres, work: Path, megabytes: float, load: Load, say: Say) -> Live:
    with fresh_database(server, "live") as target, staged(work, target, megabytes, load) as stage:
        began = time.monotonic()
        stage.prepare()
        say(f"copied: {time.monotonic() - began:.1f} s")
        checked = stage.check().verify.equal
        prepared = time.monotonic() - began
        say(f"checked: {prepared:.1f} s")
        there = _moved(stage, stage.cross)
        settle(stage.pair)
        back = _moved(stage, stage.come_back)
        again = _moved(stage, stage.cross)
        stage.application.stop()
        _flow(stage)
        acknowledged = read_acknowledged(stage.application.folder)
        began = there.began
        return Live(
            megabytes=stage.source.stat().st_size / 1e6,
            per_second=acknowledged.per_second(began - _SETTLED, began),
            prepared=prepared,
            there=_gap(acknowledged, there),
            back=_gap(acknowledged, back),
            again=_gap(acknowledged, again),
            ledger=stage.ledger(),
            equal=checked and not stage.differences(),
        )


def _moved(stage: Stage, move: Callable[[], Moved]) -> Moved:
    """One crossing out of quiet work, and quiet work after it."""
    with _keeping_up(stage):
        time.sleep(_SETTLED)
    moved = move()
    time.sleep(_SETTLED)
    return moved


@contextmanager
def _keeping_up(stage: Stage) -> Iterator[None]:
    """What the follower does all the time: done once here, so that the crossing begins with what a moment leaves."""
    yield
    _flow(stage)


def _flow(stage: Stage) -> None:
    if stage.application.configuration == "sqlite":
        with Follower(stage.pair) as follower:
            follower.catch_up()
    else:
        with Returner(stage.pair, stage.forms, busy_timeout_ms=stage.busy_timeout_ms) as returner:
            returner.flow()


def _gap(acknowledged: Acknowledged, moved: Moved) -> Gap:
    seconds, began = acknowledged.gap(moved.began, moved.up + _SETTLED)
    started = moved.started
    restart = acknowledged.first_after(started) - started
    locked = moved.done.locked_ms / 1000 if moved.done else seconds
    return Gap(seconds, restart if began <= started <= began + seconds else 0.0, locked)


def measure_stopped(
    server: EmbeddedPostgres, work: Path, megabytes: float, load: Load, way: Callable[[Stage], None]
) -> Stopped:
    with fresh_database(server, "stopped") as target, staged(work, target, megabytes, load) as stage:
        stage.plan()
        time.sleep(_SETTLED)
        moved = offline.move(stage, way)
        time.sleep(_SETTLED)
        stage.application.stop()
        return Stopped(stage.source.stat().st_size / 1e6, _gap(read_acknowledged(stage.application.folder), moved))


@dataclass(frozen=True)
class Cost:
    """Acknowledged transactions a second of one writer as fast as it goes, without and with capture; medians."""

    without: float
    with_capture: float

    @property
    def share(self) -> float:
        """What capture takes of the peak."""
        return 1 - self.with_capture / self.without


def measure_capture(work: Path, load: Load, *, rounds: int, seconds: float) -> Cost:
    """The two take turns, on a file each."""
    peak = replace(load, threads=1, per_second=0)
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for captured in (False, True):
            with staged(work, "", 10, peak) as stage:
                if captured:
                    stage.application.stop()
                    stage.plan()
                    stage.capture()
                    stage.application.start()
                    stage.application.wait_for(100)
                began = time.monotonic()
                time.sleep(seconds)
                ended = time.monotonic()
                acknowledged = read_acknowledged(stage.application.folder)
                found[captured].append(acknowledged.per_second(began, ended))
                assert (capture.read_state(stage.source) is not None) == captured
    return Cost(median(found[False]), median(found[True]))
