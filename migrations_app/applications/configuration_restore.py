"""Points a configuration back at SQLite from a kept copy; what rollback.sh runs: standard library only.

    python3 -m migrations_app.applications.configuration_restore --file .env --copy COPY --key DATABASE_URL --state S

Exit 0: the keys say what the copy says (with --check: already), 1: with --check, they don't, 2: it can't be done.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from migrations_app.applications.configuration import replace_content
from migrations_app.applications.dotenv import effective, with_values, without_keys
from migrations_app.applications.supervision import write_private
from migrations_app.engine.errors import EngineError


def agrees(content: bytes, copy: bytes, keys: Sequence[str]) -> bool:
    """Whether each key says the same in both, or is missing in both."""
    now, kept = effective(content), effective(copy)
    return all(now.get(key) == kept.get(key) for key in keys)


def restored(content: bytes, copy: bytes, keys: Sequence[str]) -> bytes:
    """The content with the keys as in the copy; all else stays, edits made since included. Raises Refused."""
    kept = effective(copy)
    content = without_keys(content, [key for key in keys if key not in kept])
    return with_values(content, {key: kept[key] for key in keys if key in kept}).content


def state_says_sqlite(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_bytes())["dialect"] == "sqlite")
    except FileNotFoundError:
        return True  # never switched
    except (ValueError, KeyError, TypeError):
        return False


def note_sqlite(path: Path) -> None:
    """The driver's own memory of the choice."""
    try:
        state = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        state = {}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, json.dumps({**(state if isinstance(state, dict) else {}), "dialect": "sqlite"}).encode())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Point a configuration back at SQLite.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--copy", type=Path)
    parser.add_argument("--key", action="append", default=[])
    parser.add_argument("--check", action="store_true", help="change nothing, only tell")
    options = parser.parse_args(arguments)
    try:
        if options.file is None:
            if options.check:
                return 0 if state_says_sqlite(options.state) else 1
        else:
            path = options.file.resolve(strict=True)
            content, copy = path.read_bytes(), options.copy.read_bytes()
            if options.check:
                return 0 if agrees(content, copy, options.key) else 1
            new = restored(content, copy, options.key)
            if new != content:
                replace_content(path, new)
            if not agrees(path.read_bytes(), copy, options.key):
                print(f"{path} was written, but does not say what {options.copy} says", file=sys.stderr)
                return 2
        note_sqlite(options.state)
    except (EngineError, OSError) as error:
        print(f"the configuration can't be restored: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
