"""The engine's own path, in a process of its own: `python -m bench.path PHASE … --source FILE --work DIR`.

Phases are done in the order given: plan, backup, export, load, bare-load (without lease and progress), verify. What
one hands to another lies in the work folder, so that each can also have a process, and so its memory, to itself. The
target's URL comes from the environment, since arguments can be seen by everyone on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from bench.common import JOBS, URL_VARIABLE
from bench.phases import Phases
from migrations_app.engine.backup.backup import take_backup
from migrations_app.engine.control import Control, Progress
from migrations_app.engine.export.export import export_source
from migrations_app.engine.export.export_reader import Export, open_export
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import MODE_CREATE, MovePlan, plan_from_document
from migrations_app.engine.planning.planning import check_plan_with_profile, make_plan
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target import lease
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url
from migrations_app.engine.verify.compare import verify


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.path", description=__doc__)
    parser.add_argument("phases", nargs="+", choices=sorted(_Path.STEPS))
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--postmaster", type=int, default=0)
    options = parser.parse_args()
    path = _Path(options.source, options.work, Phases(options.postmaster))
    for name in options.phases:
        path.STEPS[name](path)
    path.phases.tell()
    return 0


class _Path:
    """The engine's phases over one source, one work folder and one target database."""

    def __init__(self, source: Path, work: Path, phases: Phases) -> None:
        self.source, self.work, self.phases = source, work, phases
        self.seen: list[Progress] = []
        self.control = Control(report=self._progress)

    def _progress(self, progress: Progress) -> None:
        """As a run does: the last report is kept for whoever looks."""
        self.seen[:] = [progress]

    @property
    def url(self) -> TargetUrl:
        return parse_target_url(os.environ[URL_VARIABLE])

    def plan(self) -> None:
        with open_source(self.source, self.control) as opened, self.phases.phase("plan"):
            made = make_plan(opened, mode=MODE_CREATE, control=self.control)
        # Whoever measures wants the data moved: what could be refused is given its first choice, and that is said.
        open_choices = [(f"{one.code}", one.choices[0]) for one in made.open_findings if one.choices]
        if open_choices:
            with open_source(self.source, self.control) as opened:
                choices = tuple(dict(open_choices).items())
                made = make_plan(opened, mode=MODE_CREATE, choices=choices, control=self.control)
            self.phases.facts["choices"] = [f"{code}={choice}" for code, choice in choices]
        (self.work / "plan.json").write_text(json.dumps(made.to_document()))

    def _plan(self) -> MovePlan:
        return plan_from_document(json.loads((self.work / "plan.json").read_text()))

    def backup(self) -> None:
        with self.phases.phase("backup"):
            taken = take_backup(self.source, self.work / "backup" / "source.backup", self.control)
        taken.path.unlink()

    def export(self) -> None:
        plan = self._plan()
        with open_source(self.source, self.control) as opened:
            taken = fingerprint(self.source, self.control)
            # Planning has just looked at the values in the same snapshot; here another process must look again.
            profile = check_plan_with_profile(plan, opened, self.control)[1]
            with self.phases.phase("export"):
                made = export_source(
                    opened, plan, self.work / "export", self.control, taken, profile=profile, jobs=JOBS
                )
        (self.work / "export.sha256").write_text(made.sha256)
        self.phases.facts["rows"] = sum(made.tables.values())
        self.phases.facts["export_bytes"] = made.size

    def _exported(self) -> Export:
        return open_export(self.work / "export", (self.work / "export.sha256").read_text())

    def load(self) -> None:
        """As a run does it: under a lease that a thread renews, with progress."""
        plan, url, key = self._plan(), self.url, _run_key()
        with self.phases.phase("load"):
            export = self._exported()
            held = lease.claim(url, key, "bench")
            with lease.kept(url, held, self.control):
                load_export(export, plan, url, run_key=key, lease=held, jobs=JOBS, control=self.control)
            lease.release(url, held)

    def bare_load(self) -> None:
        """The same work with nobody to tell and nothing to hold."""
        plan, url = self._plan(), self.url
        with self.phases.phase("bare-load"):
            export = self._exported()
            load_export(export, plan, url, run_key=_run_key(), lease=None, jobs=JOBS, control=Control())

    def verify(self) -> None:
        plan = self._plan()
        with open_source(self.source, self.control) as opened, self.phases.phase("verify"):
            result = verify(opened, plan, self.url, control=self.control)
        if not result.equal:
            raise SystemExit(f"{result.difference_count} differences: seconds would mean nothing")
        self.phases.facts["cells"] = sum(table.cells for table in result.tables)

    STEPS: dict[str, Callable[[_Path], None]] = {
        "plan": plan,
        "backup": backup,
        "export": export,
        "load": load,
        "bare-load": bare_load,
        "verify": verify,
    }


def _run_key() -> str:
    return f"bench-{secrets.token_hex(4)}"


if __name__ == "__main__":
    sys.exit(main())
