"""Two instances behind a real nginx: the traffic moves when the new one is well, and never to one that isn't."""

import json
import os
import stat
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from migrations_app.applications import processes
from migrations_app.applications.command_spec import CommandSpec
from migrations_app.applications.description import ApplicationDescription, PointingValues
from migrations_app.applications.drivers.choosing import make_driver
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.specs import BlueGreen, Upstream
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.target.target_url import parse_target_url
from tests.migrations_app.applications import private_nginx
from tests.migrations_app.applications.conftest import TINY, Tiny, free_port, until
from tests.migrations_app.applications.private_nginx import TEMPLATE, PrivateNginx
from tests.migrations_app.applications.test_rollback_script import make_tables


@dataclass
class Pair:
    """The tiny application twice, nginx in front, and who asks through it all the time."""

    tiny: Tiny
    nginx: PrivateNginx
    values: PointingValues
    green_port: int = field(default_factory=free_port)

    def spec(self, **more) -> BlueGreen:
        upstream = Upstream(self.nginx.upstream, TEMPLATE, "web", self.nginx.reload, self.nginx.port)
        return BlueGreen({"web": self.tiny.port}, {"web": self.green_port}, replace(upstream, **more))

    def describe(self, *, fault: str = "", writes: bool = False, **more) -> ApplicationDescription:
        return replace(self.tiny.describe(fault=fault, writes=writes), driver=self.spec(**more))

    def driver(self, **more) -> Driver:
        return make_driver(self.describe(**more), self.tiny.folder / "state")

    def front(self) -> str:
        """Which database answers people."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.nginx.port}/health", timeout=5) as answer:
            return str(json.load(answer)["database"])


@pytest.fixture
def pair(tiny: Tiny, target_url: str) -> Iterator[Pair]:
    make_tables(target_url)
    nginx = private_nginx.make(tiny.folder / "nginx", free_port())
    nginx.write(tiny.port)
    made = Pair(tiny, nginx, PointingValues.of(parse_target_url(target_url), tiny.sqlite))
    yield made
    made.driver().stop(10)
    nginx.end()


@pytest.fixture
def blue(pair: Pair) -> Pair:
    """Blue runs on SQLite and has the traffic."""
    pair.nginx.begin()
    pair.driver().start("sqlite", pair.values)
    assert pair.front() == "sqlite"
    return pair


def test_green_takes_over_after_blue_has_stopped(blue: Pair) -> None:
    driver = blue.driver()
    driver.stop()
    assert driver.prove_stopped().stopped
    driver.point("postgresql", blue.values)
    reality = driver.start("postgresql", blue.values)
    assert driver.traffic() == blue.front() == "postgresql"
    assert [(entry.name, entry.port) for entry in reality.processes] == [("web", blue.green_port), ("worker", None)]
    assert reality.state == "running" and reality.open_ports == (blue.green_port,)
    driver.stop()
    driver.point("sqlite", blue.values)
    driver.start("sqlite", blue.values)
    assert driver.traffic() == blue.front() == "sqlite"


def test_both_never_write_beside_each_other(blue: Pair) -> None:
    driver = blue.driver()
    driver.point("postgresql", blue.values)
    with pytest.raises(Refused) as error:
        driver.start("postgresql", blue.values)
    assert error.value.code == "ALREADY_RUNNING" and "on sqlite still runs" in error.value.message
    assert driver.traffic() == blue.front() == "sqlite"


def test_a_warm_green_answers_beside_blue_without_its_worker(blue: Pair) -> None:
    driver = blue.driver()
    assert driver.warm("postgresql", blue.values) and driver.warm("postgresql", blue.values)
    assert blue.tiny.events().count("start web") == 2 and blue.tiny.events().count("start worker") == 1
    assert driver.status().open_ports == (blue.tiny.port,) and driver.traffic() == blue.front() == "sqlite"
    assert "postgresql stands beside it" in driver.status().message
    driver.cool("postgresql")
    assert not processes.port_is_open("127.0.0.1", blue.green_port) and blue.front() == "sqlite"
    with pytest.raises(Refused):
        driver.cool("sqlite")


def test_the_crossing_of_a_warm_pair_leaves_no_request_unanswered(blue: Pair) -> None:
    driver = blue.driver()
    driver.warm("postgresql", blue.values)
    ended, failures, said = threading.Event(), [], set()

    def ask() -> None:
        while not ended.is_set():
            try:
                said.add(blue.front())
            except OSError as error:
                failures.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    driver.point("postgresql", blue.values)
    driver.move_traffic("postgresql")
    driver.signal_stop("sqlite")
    driver.stop(only="sqlite")
    assert driver.prove_stopped("sqlite").stopped
    until(lambda: "postgresql" in said)
    driver.start("postgresql", blue.values)
    ended.set()
    asking.join()
    assert failures == [] and said == {"sqlite", "postgresql"}
    assert [entry.alive for entry in driver.status().processes] == [True, True]
    assert "start worker" in blue.tiny.events()[-3:]


def test_blue_starts_again_beside_a_warm_green_when_the_freeze_was_given_up(blue: Pair) -> None:
    driver = blue.driver()
    driver.warm("postgresql", blue.values)
    driver.signal_stop("sqlite")
    driver.stop(only="sqlite")
    assert driver.start("sqlite", blue.values).state == "running"
    assert driver.traffic() == blue.front() == "sqlite"
    assert processes.port_is_open("127.0.0.1", blue.green_port)  # it waits for the next attempt
    driver.cool("postgresql")


def test_a_green_that_has_taken_over_is_no_longer_one_that_waits(blue: Pair) -> None:
    driver = blue.driver()
    driver.warm("postgresql", blue.values)
    driver.stop(only="sqlite")
    driver.point("postgresql", blue.values)
    driver.start("postgresql", blue.values)
    driver.point("sqlite", blue.values)
    with pytest.raises(Refused) as error:
        driver.start("sqlite", blue.values)
    assert error.value.code == "ALREADY_RUNNING" and blue.front() == "postgresql"


def test_the_way_back_is_the_mirror(blue: Pair) -> None:
    driver = blue.driver()
    driver.stop()
    driver.point("postgresql", blue.values)
    driver.start("postgresql", blue.values)
    driver.warm("sqlite", blue.values)
    driver.signal_stop("postgresql")
    driver.stop(only="postgresql")
    assert driver.prove_stopped("postgresql").stopped  # blue has the file open, as it shall
    driver.point("sqlite", blue.values)
    driver.start("sqlite", blue.values)
    assert driver.traffic() == blue.front() == "sqlite"
    assert driver.status().state == "running"


def test_a_blue_that_was_started_by_hand_is_stopped_too(pair: Pair, python: str) -> None:
    web = pair.tiny.by_hand(python, str(TINY), "web", str(pair.tiny.port))
    until(lambda: processes.port_is_open("127.0.0.1", pair.tiny.port))
    driver = pair.driver()
    driver.warm("postgresql", pair.values)
    assert not driver.prove_stopped("sqlite").stopped
    assert len(driver.stop(only="sqlite").adopted) == 1 and web.wait(5) == 0
    assert driver.prove_stopped("sqlite").stopped
    assert processes.port_is_open("127.0.0.1", pair.green_port)


def test_a_green_that_is_not_well_gets_no_traffic_and_is_stopped(blue: Pair) -> None:
    driver = blue.driver(fault="answers_500")
    driver.stop()
    driver.point("postgresql", blue.values)
    with pytest.raises(Failed) as error:
        driver.start("postgresql", blue.values)
    assert error.value.code == "START_FAILED" and "answered 500" in error.value.message
    assert driver.traffic() == "sqlite" and driver.prove_stopped().stopped


def test_a_green_that_stays_on_sqlite_is_not_warm(blue: Pair) -> None:
    with pytest.raises(Failed) as error:
        blue.driver(fault="stays").warm("postgresql", blue.values)
    assert "'sqlite'" in error.value.message
    assert not processes.port_is_open("127.0.0.1", blue.green_port) and blue.front() == "sqlite"


def test_a_kill_between_rename_and_reload_is_mended_by_moving_again(blue: Pair) -> None:
    driver = blue.driver()
    driver.warm("postgresql", blue.values)
    driver.point("postgresql", blue.values)
    blue.nginx.upstream.write_text(TEMPLATE.replace("{host}", "127.0.0.1").replace("{port}", str(blue.green_port)))
    assert driver.traffic() == "postgresql" and blue.front() == "sqlite"
    driver.move_traffic("postgresql")
    assert blue.front() == "postgresql"


@pytest.mark.parametrize("why", ["refused", "lies", "hangs"])
def test_a_reload_that_fails_leaves_the_traffic_and_the_file_where_they_were(blue: Pair, why: str) -> None:
    blue.driver().warm("postgresql", blue.values)
    before = blue.nginx.upstream.read_bytes()
    argv = {"refused": ("sh", "-c", "echo bad; exit 1"), "lies": ("true",), "hangs": ("sleep", "60")}[why]
    driver = blue.driver(reload=CommandSpec("nginx-reload", argv, blue.tiny.folder, {}, 1))
    with pytest.raises(Failed) as error:
        driver.move_traffic("postgresql")
    assert error.value.code == "TRAFFIC_NOT_MOVED"
    words = {"refused": "ended with 1 (bad)", "lies": "says database is 'sqlite'", "hangs": "did not end in time"}
    assert words[why] in error.value.message
    assert blue.nginx.upstream.read_bytes() == before and blue.front() == "sqlite"


def test_the_upstream_file_keeps_mode_and_owner(blue: Pair) -> None:
    blue.nginx.upstream.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(blue.nginx.upstream, 0, 4242)
    before = blue.nginx.upstream.stat()
    driver = blue.driver()
    driver.warm("postgresql", blue.values)
    driver.move_traffic("postgresql")
    after = blue.nginx.upstream.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (before.st_uid, before.st_gid, 0o640)
    assert after.st_ino != before.st_ino  # renamed into place: nobody ever reads half of it


def test_traffic_is_not_moved_to_an_instance_that_does_not_answer(blue: Pair) -> None:
    with pytest.raises(Refused) as error:
        blue.driver().move_traffic("postgresql")
    assert error.value.code == "NOT_STARTED" and blue.front() == "sqlite"


def test_an_upstream_file_that_says_something_else_is_refused_before_anything(pair: Pair) -> None:
    pair.nginx.upstream.write_text("upstream tiny { server 10.0.0.1:80; }\n")
    for attempt in (pair.driver().check, lambda: pair.driver().upstream.move("postgresql")):  # type: ignore[attr-defined]
        with pytest.raises(Refused) as error:
            attempt()
        assert error.value.code == "UPSTREAM_UNKNOWN"
    assert pair.driver().traffic() == "mixed"
    pair.nginx.upstream.unlink()
    with pytest.raises(Refused) as error:
        pair.driver().check()
    assert error.value.code == "NO_UPSTREAM_FILE"
    with pytest.raises(Refused) as error:
        pair.driver(template="upstream tiny { server 10.0.0.1:80; }").check()
    assert error.value.code == "BAD_TEMPLATE"
