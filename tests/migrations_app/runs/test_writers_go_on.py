"""While a plan and a run are prepared the application is at work, and no reading of its file keeps it from that."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from migrations_app.services import plan_making
from migrations_app.steps import export, preflight, workplace
from tests import factories as make
from tests.migrations_app.runs.conftest import World


def test_rows_are_written_while_plan_preflight_and_export_read_the_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a rollback-journal mode a reader would keep writers out. What comes after the export is moved all the same."""
    world.stop_everything()
    with closing(sqlite3.connect(world.sqlite)) as database:
        assert database.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    world.start_application()
    during: list[str] = []

    def writing_before(module: Any, name: str) -> None:
        real = getattr(module, name)

        def work(*args: Any, **kwargs: Any) -> Any:
            if len(during) < 3:  # the application is stopped when the export is made once more
                with closing(sqlite3.connect(world.sqlite, timeout=0.1)) as database:
                    database.execute("INSERT INTO items (name) VALUES (?)", (f"during {name}",))
                    database.commit()
                during.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, work)

    writing_before(plan_making, "plan_move")
    plan = world.plan()
    make.rehearsed(plan, world.ana)
    writing_before(preflight, "check_plan")
    writing_before(export, "export_source")
    run = world.crossed(plan)
    assert run.state == "waiting", run.held_reason
    assert during == ["plan_move", "check_plan", "export_source"]
    names = [name for _id, name in world.items_in_target()]
    assert {f"during {name}" for name in during} <= set(names)
    assert world.items_in_target() == world.items_in_sqlite()
    assert list(workplace.run_directory(run).parent.rglob("copy.sqlite")) == []
