"""The ways that stop the application for as long as its rows are on their way, to compare with."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from bench.crossing.stage import RUN, Moved, Stage
from migrations_app.engine.export.export import export_source, open_export
from migrations_app.engine.load.ddl import create_table
from migrations_app.engine.load.load import load_export
from migrations_app.engine.planning.planning import check_plan_with_profile
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source

_PAGE = 1000  # rows an INSERT


def move(stage: Stage, way: Callable[[Stage], None]) -> Moved:
    """Stop, move the rows, start."""
    began = time.monotonic()
    stage.application.stop()
    way(stage)
    stage.application.point(stage.target)
    stage.application.start()
    return Moved(None, began, stage.application.starts[-1].at, time.monotonic())


def by_copy(stage: Stage) -> None:
    """Stop-copy-start: our own export and load, without backup and verification."""
    folder = stage.folder / "export"
    with open_source(stage.source) as source:
        _misfits, profile = check_plan_with_profile(stage.pair.plan, source)
        export_source(
            source, stage.pair.plan, folder, stage.control, fingerprint(stage.source), profile=profile, jobs=2
        )
    load_export(open_export(folder), stage.pair.plan, stage.pair.url, run_key=RUN, lease=None, jobs=2)


def by_json(stage: Stage) -> None:
    """The runbook's scripts in short: every table into one JSON file, then INSERTs; keys and indexes as ours."""
    path = stage.folder / "data_export.json"
    source = sqlite3.connect(stage.source)
    with path.open("w") as file:
        for table in stage.pair.plan.tables:
            for row in source.execute(f'SELECT * FROM "{table.name}"'):
                file.write(json.dumps([table.name, *(_plain(cell) for cell in row)], ensure_ascii=False) + "\n")
    source.close()
    target = psycopg2.connect(stage.target)
    with target, target.cursor() as cursor:
        for table in stage.pair.plan.tables:
            cursor.execute(create_table(table, "public"))
            _insert(cursor, table.name, _rows(path, table.name, [c.conversion for c in table.columns]))
        for wanted in ("primary_key", "unique", "index", "foreign_key"):
            for table in stage.pair.plan.tables:
                for each in table.objects:
                    if each.kind == wanted and each.sql:
                        cursor.execute(each.sql.replace("{schema}", "public"))
        for table in ("accounts", "entries", "files", "history"):
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT coalesce(max(id), 1) FROM {table}))"
            )
    target.close()


def _plain(cell: Any) -> Any:
    return cell.hex() if isinstance(cell, bytes) else cell


def _rows(path: Any, table: str, conversions: list[str]) -> Iterator[list[Any]]:
    with path.open() as file:
        for line in file:
            name, *cells = json.loads(line)
            if name == table:
                yield [_typed(cell, conversion) for cell, conversion in zip(cells, conversions, strict=True)]


def _typed(cell: Any, conversion: str) -> Any:
    if cell is None:
        return None
    if conversion.startswith("boolean"):
        return bool(cell)
    return bytes.fromhex(cell) if conversion.startswith("bytea") else cell


def _insert(cursor: Any, table: str, rows: Iterator[list[Any]]) -> None:
    execute_values(cursor, f'INSERT INTO public."{table}" VALUES %s', rows, page_size=_PAGE)
