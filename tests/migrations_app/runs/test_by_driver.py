"""A whole run there and back by drivers that stop and start an application otherwise: two instances, and a person."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from migrations_app.applications.processes import port_is_open
from migrations_app.models import MigrationRun
from migrations_app.services.rollback import agree_rollback, request_rollback
from migrations_app.services.strategies import why_not_online
from migrations_app.steps import workplace
from tests import factories as make
from tests.migrations_app.applications import private_nginx
from tests.migrations_app.applications.conftest import free_port
from tests.migrations_app.applications.private_nginx import TEMPLATE, PrivateNginx
from tests.migrations_app.runs.conftest import TINY, World
from tests.migrations_app.runs.online import (
    follow_once,
    go,
    prepared,
    read_sqlite,
    read_target,
    rehearse,
    write_sqlite,
)
from tests.migrations_app.runs.workers import wait_for

NAMES = "SELECT name FROM items ORDER BY id"


def said_at(port: int) -> str:
    """Which database answers there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        return str(json.load(answer)["database"])


def back(world: World, run: MigrationRun, rows: int | None = None):  # type: ignore[no-untyped-def]
    given = {"reason": "slow", "typed_name": "tiny", "rows_typed": rows, "reauthenticated": True}
    return request_rollback(actor=world.ana, run=world.fresh(run), **given)


# Two instances behind nginx


@pytest.fixture
def nginx(world: World) -> Iterator[PrivateNginx]:
    """In front of the tiny application, whose traffic the run moves from blue to green and back."""
    web = world.application.processes[0]
    made = private_nginx.make(world.folder / "nginx", free_port())
    made.write(web["port"])
    made.begin()
    reload = made.reload
    operator = world.folder / "operator.toml"
    named = f'[commands.page_down]\nargv = {json.dumps(list(reload.argv))}\ncwd = "{reload.cwd}"\n'
    operator.write_text(operator.read_text().replace("[commands.page_down]", f"{named}[commands.other]"))
    world.application.driver = {
        "kind": "blue_green",
        "ports": {"web": free_port()},
        "upstream": {
            "file": str(made.upstream),
            "template": TEMPLATE,
            "process": "web",
            "reload": "page_down",
            "front_port": made.port,
        },
    }
    world.application.save()
    yield made
    made.end()


def test_two_instances_cross_while_users_are_served_and_fall_back_with_every_row(
    world: World, nginx: PrivateNginx
) -> None:
    blue, green = world.application.processes[0]["port"], world.application.driver["ports"]["web"]
    plan = world.plan()
    assert (rehearsal := rehearse(world, plan)).state == "completed", rehearsal.held_reason
    assert said_at(nginx.port) == "sqlite"
    run = prepared(world, plan)
    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('the last moment')")
    run = go(world, run)
    assert run.state == "waiting", run.held_reason
    assert (said_at(nginx.port), said_at(green)) == ("postgresql", "postgresql")
    assert not port_is_open("127.0.0.1", blue)
    assert "the last moment" in [name for (name,) in read_target(world, NAMES)]

    world.execute_in_target("INSERT INTO items (name) VALUES ('flowed')")
    follow_once(world)
    world.execute_in_target("INSERT INTO items (name) VALUES ('still on its way')")
    assert back(world, run).lossless
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert (said_at(nginx.port), said_at(blue)) == ("sqlite", "sqlite")
    assert not port_is_open("127.0.0.1", green)
    names = [name for (name,) in read_sqlite(world.application, NAMES)]
    assert names[-3:] == ["the last moment", "flowed", "still on its way"]
    assert "sqlite:///" in world.env_file.read_text()
    assert workplace.production_driver(world.application).status().state == "running"


# A person


class Person:
    """Stops and starts the application when the run asks for it, with no word to the product that it was done."""

    def __init__(self, world: World) -> None:
        self.world, self.asked = world, []
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        web = self.world.application.processes[0]["port"]
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        environment["TINY_SQLITE"] = str(self.world.sqlite)
        for arguments in (["web", str(web)], ["worker"]):
            command = [sys.executable, str(TINY), *arguments]
            self.processes.append(subprocess.Popen(command, cwd=self.world.folder, env=environment))
        wait_for("the application to answer", lambda: port_is_open("127.0.0.1", web))

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait(10)
        self.processes.clear()

    def drive(self, run: MigrationRun) -> MigrationRun:
        """What the workers do, and the person what a step asks for, until nothing is left for either."""
        for _ in range(40):
            run = self.world.drive(run, rounds=1)
            if run.state not in ("running", "rolling_back"):
                return run
            waiting = run.steps.filter(state="pending", evidence__has_key="waiting_for_person_since").first()
            if waiting is not None:
                self.asked.append(waiting.message)
                (self.stop if waiting.message.startswith("Stop web") else self.start)()
        raise AssertionError(f"it never came to an end; asked was {self.asked[-1:]}")


@pytest.fixture
def person(world: World) -> Iterator[Person]:
    world.stop_everything()
    world.application.driver = {"kind": "manual", "instructions": "Call the night shift, 4711."}
    world.application.save()
    somebody = Person(world)
    somebody.start()
    yield somebody
    somebody.stop()


def test_a_person_who_is_asked_takes_the_application_there_and_back(world: World, person: Person) -> None:
    web = world.application.processes[0]["port"]
    plan = world.plan()
    make.rehearsed(plan, world.ana)
    run = world.started(plan)
    assert run.state == "waiting", run.held_reason
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    run = person.drive(run)
    assert run.state == "waiting", run.held_reason
    assert said_at(web) == "postgresql" and world.items_in_target() == world.items_in_sqlite()
    assert [words.split()[0] for words in person.asked] == ["Stop", "Start"]
    assert all("Call the night shift, 4711." in words for words in person.asked)

    world.execute_in_target("INSERT INTO items (name) VALUES ('written on postgresql')")
    agree_rollback(actor=world.ben, request=back(world, run, rows=1), reauthenticated=True)
    run = person.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert said_at(web) == "sqlite" and len(world.items_in_sqlite()) == 7
    assert [words.split()[0] for words in person.asked] == ["Stop", "Start"] * 2
    assert run.facts["delta"]["rows"] == 1


def test_a_person_can_not_take_it_over_while_it_runs_and_is_told_why_before_anything_begins(
    world: World, person: Person
) -> None:
    plan = world.plan()
    [obstacle] = why_not_online(plan)
    assert obstacle.code == "ONLINE_DRIVER" and "within its busy timeout" in obstacle.message
    make.rehearsed(plan, world.ana, strategy="online")
    run = prepared(world, plan)  # past the form that says so
    refused = world.step(run, "preflight")
    assert (run.state, refused.error_code) == ("held", "ONLINE_DRIVER")
    assert "Let another driver start and stop it, or choose the strategy offline." in refused.error_hint
    assert read_sqlite(world.application, "SELECT name FROM sqlite_master WHERE name LIKE 'causeway%'") == []
    assert said_at(world.application.processes[0]["port"]) == "sqlite"
