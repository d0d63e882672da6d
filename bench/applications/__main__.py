"""`python -m bench.applications [NAME ...] --work DIR`: moves each, and writes docs/reference/applications.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.applications.catalogue import APPLICATIONS
from bench.applications.crossing import cross
from bench.applications.table import write
from controlplane.embedded import EmbeddedPostgres

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "applications.md"


def main() -> int:
    options = _options()
    chosen = [item for item in APPLICATIONS if not options.names or item.name in options.names]
    options.work.mkdir(parents=True, exist_ok=True)
    options.work.chmod(0o711)  # as root the server runs as another user, who must pass through
    with EmbeddedPostgres(options.work / "postgres") as server:
        seen = []
        for application in chosen:
            found = cross(application, options.work, server, again=options.again)
            seen.append(found)
            print(f"{application.name} {found.version}: {found.outcome or 'not moved'}", flush=True)
            print(f"  read back: {found.read_back}, added: {found.added} {found.trouble}", flush=True)
    if len(chosen) == len(APPLICATIONS):
        write(PAGE, seen)
    return 0 if all(each.outcome == "verified" and each.read_back and each.added for each in seen) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.applications", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all, which also writes the page")
    parser.add_argument("--work", type=Path, default=Path("/tmp/causeway-applications"), metavar="DIR")
    parser.add_argument("--again", action="store_true", help="move what an earlier call has filled")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
