"""For rollback.sh: stops, or starts on SQLite, an application whose driver isn't Causeway's own supervisor.

`python -m migrations_app.applications.drivers.away FILE stop|start|runs`. Exit 0 done (runs: it runs on SQLite, started
by this driver), 1 not: what is left to do is printed. It needs Causeway's packages, none of its services.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from migrations_app.applications.description import PointingValues
from migrations_app.applications.drivers.choosing import make_driver
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.saved import load
from migrations_app.engine.errors import EngineError


def stop(driver: Driver) -> str:
    """What is left; "" when it is proved stopped. Raises EngineErrors."""
    driver.stop()
    return "; ".join(driver.prove_stopped().reasons)


def start(driver: Driver) -> str:
    """What is missing; "" when it is up. Raises EngineErrors."""
    driver.start("sqlite", PointingValues(path=driver.description.source_path))
    return ""


def runs(driver: Driver) -> str:
    reality = driver.status()
    right = reality.state == "running" and reality.launched_for == "sqlite"
    return "" if right else f"it is {reality.state}"


ACTIONS = {"stop": stop, "start": start, "runs": runs}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Stop or start an application by its driver.")
    parser.add_argument("file", type=Path, help="the description, as it was saved beside rollback.sh")
    parser.add_argument("action", choices=sorted(ACTIONS))
    options = parser.parse_args(arguments)
    try:
        problem = ACTIONS[options.action](make_driver(*load(options.file)))
    except EngineError as error:
        problem = str(error)
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{options.file} can't be read: {type(error).__name__}"
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
