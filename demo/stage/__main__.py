"""`python -m demo.stage`: the demo as one command. Exit status 0 when it was ended, or its walkthrough held; else 1."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from controlplane.embedded import EmbeddedError
from demo.stage.console import Console
from demo.stage.errors import StageError
from demo.stage.home import ROOT, Home
from demo.stage.stage import Ended, Stage, ending_on_signals


def main(arguments: list[str] | None = None) -> int:
    """Run it; every refusal is one sentence."""
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        with ending_on_signals():
            return _run(options, console)
    except Ended:
        console.say("Ended; nothing of it runs any more.")
        return 0
    except (StageError, EmbeddedError) as error:
        console.complain(str(error))
        return 1


def _run(options: argparse.Namespace, console: Console) -> int:
    home = Home(options.state_dir)
    home.open()
    try:
        if options.walkthrough:
            return _walk(home, console)
        if options.fresh:
            home.erase()
            console.say(f"{home.path} is empty: beginning anew")
        stage = Stage(home, console)
        with stage.up():
            _open(stage, options.no_runs)
            console.watch_for_ever()
        return 0
    finally:
        home.close()


def _open(stage: Stage, no_runs: bool) -> None:
    from demo.stage import board
    from demo.stage.opening import Opening

    if not no_runs:
        opening = Opening(stage.people, stage.console)
        opening.prepare(stage.applications.values())
    board.show(stage)


def _walk(home: Home, console: Console) -> int:
    """In a folder of its own, always anew: the demo's own state stays as it is."""
    from demo.stage.walkthrough import walk

    own = Home(home.folder("walkthrough"))
    own.open()
    try:
        own.erase()
        stage = Stage(own, console)
        with stage.up():
            walk(stage)
        console.say("The walkthrough is done: each state was reached, each verification held.")
        return 0
    finally:
        own.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make demo ARGS=…", description="Causeway on one machine, with two applications."
    )
    parser.add_argument("--fresh", action="store_true", help="erase what an earlier demo made, and begin anew")
    parser.add_argument("--walkthrough", action="store_true", help="go through everything unattended, then end")
    parser.add_argument("--no-runs", action="store_true", help="bring everything up, but plan and rehearse nothing")
    parser.add_argument(
        "--state-dir", type=Path, default=ROOT / ".demo", metavar="DIR", help="where everything is kept (.demo)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
