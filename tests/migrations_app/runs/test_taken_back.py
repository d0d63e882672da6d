"""Someone was faster than Causeway: rollback.sh took the application back, and users went on."""

import os
import sqlite3
import subprocess
from contextlib import closing

from migrations_app.services.rollback import request_rollback
from migrations_app.steps import workplace
from tests.migrations_app.runs.conftest import World


def test_rows_that_were_written_after_rollback_sh_survive_the_rollback_by_causeway(world: World) -> None:
    plan = world.plan()
    world.rehearse(plan)
    run = world.crossed(plan)
    script = workplace.run_directory(run) / "rollback.sh"
    done = subprocess.run(["sh", str(script)], env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(sqlite3.connect(world.sqlite, timeout=10)) as connection:
        connection.execute("INSERT INTO items (name) VALUES ('written after rollback.sh')")
        connection.commit()

    request_rollback(
        actor=world.ana, run=world.fresh(run), reason="it was taken back", typed_name="tiny", reauthenticated=True
    )
    run = world.drive(run)

    assert run.state == "rolled_back", run.held_reason
    assert world.items_in_sqlite()[-1][1] == "written after rollback.sh"
    assert world.step(run, "back_restore_source").evidence["kept_because"] == "taken back before"
