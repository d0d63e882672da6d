"""Templates are filled for what they are, a rehearsal's copy stays apart, and no secret shows in a repr."""

from dataclasses import replace
from pathlib import Path

import pytest

from migrations_app.applications.description import (
    ApplicationDescription,
    CommandSpec,
    Pointing,
    PointingValues,
    ProcessSpec,
    fill_template,
    for_rehearsal,
)
from migrations_app.engine.errors import Refused
from migrations_app.engine.target.target_url import parse_target_url

KEYS = {"DATABASE_URL": {"sqlite": "sqlite:///{path}", "postgresql": "{url}"}}
VALUES = PointingValues(Path("/srv/a.db"), "::1", 5432, "us er", "p@ss/{host}", "my db", "verify-full", "/etc/ca.pem")


def description(**more) -> ApplicationDescription:
    command = CommandSpec("web", ("serve", "{port}"), Path("/srv"), {"API_KEY": "canary"})
    return ApplicationDescription(
        "app",
        Path("/srv/a.db"),
        (ProcessSpec("web", command, 1, 8000), ProcessSpec("worker", CommandSpec("w", ("work",), Path("/srv")), 0)),
        Pointing("file", KEYS, Path("/var/state.json"), Path("/srv/.env")),
        before_stop=command,
        **more,
    )


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{url}", "postgresql://us%20er:p%40ss%2F%7Bhost%7D@[::1]:5432/my%20db?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"),
        ("postgres://{user}:{password}@{host}:{port}/{database}", "postgres://us%20er:p%40ss%2F%7Bhost%7D@[::1]:5432/my%20db"),
        ("{password}", "p@ss/{host}"),
        ("{host}", "::1"),
        ("{dialect}+psycopg2", "postgresql+psycopg2"),
        ("{sslmode}", "verify-full"),
    ],
)  # fmt: skip
def test_values_are_encoded_only_where_the_template_is_a_url(template: str, filled: str) -> None:
    assert fill_template("K", template, "postgresql", VALUES) == filled


@pytest.mark.parametrize("path", ["/srv/a?b.db", "/srv/a#b.db", "/srv/100%.db"])
def test_a_path_that_a_url_reads_differently_is_refused(path: str) -> None:
    with pytest.raises(Refused) as error:
        fill_template("K", "sqlite:///{path}", "sqlite", PointingValues(Path(path)))
    assert error.value.code == "BAD_VALUE"
    assert fill_template("K", "{path}", "sqlite", PointingValues(Path(path))) == path


def test_values_come_from_a_target_url() -> None:
    target = parse_target_url("postgresql://u:p%40@127.0.0.1:5433/d")
    assert PointingValues.of(target, Path("/a")).url == "postgresql://u:p%40@127.0.0.1:5433/d"


@pytest.mark.parametrize(
    "keys", [{}, {"A B": KEYS["DATABASE_URL"]}, {"A": {"sqlite": ""}}, {"A": {**KEYS["DATABASE_URL"], "mysql": ""}}]
)
def test_pointing_that_can_not_work_is_refused(keys: dict) -> None:
    with pytest.raises(Refused) as error:
        Pointing("file", keys, Path("/s"), Path("/f"))
    assert error.value.code == "BAD_TEMPLATE"


def test_a_rehearsal_is_pointed_by_environment_on_other_ports_without_hooks() -> None:
    copy = for_rehearsal(
        description(environment={"MAIL": "1"}),
        source_path=Path("/tmp/copy.db"),
        state_dir=Path("/tmp/rehearsal"),
        ports={"web": 8001},
        environment={"MAIL": "0"},
    )
    assert copy.pointing.mechanism == "environment" and copy.pointing.file is None
    assert copy.pointing.state_file.parent == Path("/tmp/rehearsal")
    assert [(process.name, process.port) for process in copy.in_start_order()] == [("worker", None), ("web", 8001)]
    assert copy.process("web").argv == ("serve", "8001")
    assert copy.environment == {"MAIL": "0"} and copy.before_stop is None and not copy.adopts


@pytest.mark.parametrize("ports", [{}, {"web": 8000}])
def test_a_rehearsal_never_takes_the_production_port(ports: dict[str, int]) -> None:
    with pytest.raises(Refused) as error:
        for_rehearsal(description(), source_path=Path("/c"), state_dir=Path("/r"), ports=ports, environment={})
    assert error.value.code == "PORT_MISSING"


def test_no_secret_shows() -> None:
    shown = repr(replace(description(), environment={"TOKEN": "canary"})) + repr(replace(VALUES, password="canary"))
    assert "canary" not in shown


def test_an_unknown_process_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(Refused) as error:
        description().process("cron")
    assert error.value.code == "NO_SUCH_PROCESS" and "web, worker" in error.value.hint
