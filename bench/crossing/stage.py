"""A live crossing on the engine alone, with an application that writes: what the steps of a run do, without a run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.crossing.acknowledged import Ledger, compare, postgresql_rows, read_acknowledged, sqlite_rows
from bench.crossing.application import Application
from migrations_app.engine.back import change_queue
from migrations_app.engine.capture import capture
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.stable_keys import stable_key
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.inverse import InverseForms, forms_from_document, learn
from migrations_app.engine.export.export import open_export
from migrations_app.engine.load.load import load_export
from migrations_app.engine.online.copying import begin_following, export_snapshot
from migrations_app.engine.online.decisions import Decision
from migrations_app.engine.online.facts import POSTGRESQL, SQLITE
from migrations_app.engine.online.fall_back import FellBack, fall_back
from migrations_app.engine.online.freeze import Crossed, confirm_stopped, cross_over
from migrations_app.engine.online.full_check import FullCheck, full_check
from migrations_app.engine.online.recovery import mend
from migrations_app.engine.plan import MODE_CREATE, plan_from_document
from migrations_app.engine.planning.planning import make_plan
from migrations_app.engine.source.still import open_still
from migrations_app.engine.target.target_url import parse_target_url
from migrations_app.engine.verify.compare import verify

RUN = "crossing"
_NOWHERE = "postgresql://nobody@localhost/nothing"  # for what needs no target
_ROUNDS = 10  # of mending: each changes one of three facts


def _nothing(_: str) -> None:
    return None


@dataclass(frozen=True)
class Moved:
    """One crossing, there or back, with the application around it."""

    done: Crossed | FellBack | None  # None: a way that stops the application throughout
    began: float  # time.monotonic(), like the others
    started: float  # the application's new process
    up: float


class Stage:
    """The application's file, the target, and the application between them. `folder` is the caller's."""

    def __init__(self, source: Path, target: str, application: Application, folder: Path) -> None:
        self.source, self.target, self.application, self.folder = source, target, application, folder
        self.control = Control()
        self.pair: Pair
        self.forms: InverseForms
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def busy_timeout_ms(self) -> int:
        return self.application.load.busy_timeout_ms

    def open_application(self) -> None:
        """On SQLite, as it was before anybody thought of a crossing."""
        self.application.point(f"sqlite:///{self.source}")
        self.application.start()

    def plan(self) -> None:
        with open_still(self.source, self.control) as source:
            plan = make_plan(source, mode=MODE_CREATE)
        assert not plan.open_findings, plan.open_findings
        self.pair = Pair(self.source, plan, parse_target_url(self.target or _NOWHERE))

    def capture(self) -> None:
        state = capture.install(self.source, self.pair.plan, busy_timeout_ms=self.busy_timeout_ms)
        self.pair = replace(self.pair, identity=state.identity)

    def copy(self) -> None:
        """Rows of one moment, and from then on what is written."""
        export = self.folder / "export"
        snapshot = export_snapshot(self.pair, export, self.control, folder=self.folder / "still")
        load_export(open_export(export), self.pair.plan, self.pair.url, run_key=RUN, lease=None)
        begin_following(self.pair, snapshot.moment.position)
        shutil.rmtree(export)

    def arm_back(self) -> None:
        with open_still(self.source, self.control, self.folder / "still") as source:
            self.forms = learn(source, self.pair.plan, self.control)
            keys = {t.name: stable_key(source.schema.table(t.name)) for t in self.pair.plan.tables if t.is_loaded}
        change_queue.arm(self.pair.url, self.pair.plan, keys=keys)

    def prepare(self) -> None:
        self.plan()
        self.capture()
        self.copy()
        self.arm_back()

    def check(self) -> FullCheck:
        return full_check(self.pair, environment={}, control=self.control, folder=self.folder / "still")

    def cross(self, milestone: Callable[[str], None] = _nothing) -> Moved:
        began = time.monotonic()
        done = cross_over(
            self.pair,
            busy_timeout_ms=self.busy_timeout_ms,
            signal_stop=self.application.signal_stop,
            milestone=milestone,
            forms=self.forms,
        )
        self.application.stop()
        confirm_stopped(self.pair)
        return self._start(self.target, done, began)

    def come_back(self, milestone: Callable[[str], None] = _nothing) -> Moved:
        began = time.monotonic()
        done = fall_back(
            self.pair,
            self.forms,
            busy_timeout_ms=self.busy_timeout_ms,
            signal_stop=self.application.signal_stop,
            milestone=milestone,
        )
        self.application.stop()
        moved = self._start(f"sqlite:///{self.source}", done, began)
        mend(self.pair, SQLITE)
        return moved

    def _start(self, address: str, done: Crossed | FellBack, began: float) -> Moved:
        self.application.point(address)
        self.application.start()
        return Moved(done, began, self.application.starts[-1].at, time.monotonic())

    def recover(self) -> Decision:
        """After any death: what the facts say, until nothing is left to mend; then the application runs."""
        for _ in range(_ROUNDS):
            decision = mend(self.pair, self.application.configuration)
            if decision.configuration != self.application.configuration:
                self.application.stop()
                live = self.target if decision.configuration == POSTGRESQL else f"sqlite:///{self.source}"
                self.application.point(live)
            elif decision.settled:
                self.application.start()
                return decision
        raise AssertionError("recovery doesn't come to an end")

    def ledger(self) -> Ledger:
        """What was acknowledged, against the side that the configuration names. The application must be stopped."""
        on_sqlite = self.application.configuration == SQLITE
        rows = sqlite_rows(self.source) if on_sqlite else postgresql_rows(self.target)
        return compare(read_acknowledged(self.application.folder), rows)

    def differences(self) -> list[str]:
        """Every cell of one side against the other. The application must be stopped, and nothing on its way.

        While PostgreSQL is live its sequences may be ahead: numbers were given to transactions that were rolled back.
        """
        if self.application.configuration == SQLITE:
            result = self.check().verify
            allowed = ""
        else:
            with open_still(self.source, self.control, self.folder / "still") as source:
                result = verify(source, self.pair.plan, self.pair.url)
            allowed = "sequence_changed"
        found = [each for each in result.differences if each.kind != allowed]
        return [f"{each.table} {each.row_key} {each.column} {each.kind}" for each in found] + list(result.inconclusive)

    # What another process needs to work on the same crossing.

    def save(self) -> Path:
        path = self.folder / "pair.json"
        document = {
            "source": str(self.source),
            "plan": self.pair.plan.to_document(),
            "target": self.target,
            "identity": self.pair.identity,
            "forms": self.forms.to_document(),
            "busy_timeout_ms": self.busy_timeout_ms,
        }
        path.write_text(json.dumps(document))
        path.chmod(0o600)
        return path


def saved_pair(path: Path) -> tuple[Pair, InverseForms, int]:
    """(pair, forms, busy timeout in ms) of what Stage.save() wrote."""
    document = json.loads(path.read_text())
    pair = Pair(
        Path(document["source"]),
        plan_from_document(document["plan"]),
        parse_target_url(document["target"]),
        document["identity"],
    )
    return pair, forms_from_document(document["forms"], pair.plan), document["busy_timeout_ms"]
