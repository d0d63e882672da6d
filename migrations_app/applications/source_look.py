"""Run as a program, alone: looks at one SQLite file and prints what it is, as JSON. Read-only, nothing is counted.

`python -m migrations_app.applications.source_look FILE`. In a process of its own for two reasons: the file is untrusted
(time and memory are limited here), and closing it would drop the locks that another part of the caller holds on it.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError
from migrations_app.engine.source.opening import open_source

CPU_SECONDS = 20
MEMORY_BYTES = 2 << 30
SHOWN = 200  # names of tables that are told


def look(path: Path) -> dict[str, Any]:
    """Size, journal mode, encoding and tables. Raises the engine's errors for what is no sound SQLite file."""
    with open_source(path, Control()) as source:
        tables = [table.name for table in source.schema.tables if table.kind == "table"]
        return {
            "path": str(path),
            "bytes": path.stat().st_size,
            "log_bytes": _size(Path(f"{path}-wal")),
            "modified_at": path.stat().st_mtime,
            "journal_mode": source.schema.journal_mode,
            "encoding": source.schema.encoding,
            "table_count": len(tables),
            "tables": tables[:SHOWN],
        }


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def main(path: str) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        answer: dict[str, Any] = {"facts": look(Path(path))}
    except EngineError as error:
        answer = {"problem": {"code": error.code, "message": error.message, "hint": error.hint}}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
