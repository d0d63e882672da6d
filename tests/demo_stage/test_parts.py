"""Parts of the stage, each alone."""

import os
import stat
import sys
import urllib.request
from pathlib import Path

import pytest

from controlplane.embedded import TetheredProcess
from controlplane.embedded.ports import free_port, is_free
from demo.stage import crew, samples, servers
from demo.stage.home import ROOT
from demo.stage.keys import Keys
from demo.stage.ports import Ports
from demo.stage.walkthrough import browser
from migrations_app.applications.dotenv import effective
from migrations_app.applications.operator_file import read_operator_file
from tests.demo.running import wait_until


@pytest.fixture
def installation(tmp_path: Path) -> samples.Installation:
    return samples.Installation(samples.SAMPLES[1], tmp_path / 'a "folder"', 8020, 8120)


def test_the_operator_file_is_one_that_causeway_accepts(tmp_path: Path, installation: samples.Installation) -> None:
    path = tmp_path / "operator.toml"
    samples.write_operator_file(path, [installation])
    operator = read_operator_file(path)
    assert operator.inside_roots(installation.source) == installation.source
    named = {entry["command"] for entry in samples.describe(installation)["processes"]}
    named |= set(samples.describe(installation)["commands"].values())
    assert named == set(operator.commands)


def test_the_configuration_of_a_sample_differs_from_the_applications_example_in_four_lines(
    tmp_path: Path, installation: samples.Installation
) -> None:
    installation.source.parent.mkdir()
    installation.source.touch()
    samples.install(installation, "ab" * 32)
    example = (samples.CODE / ".env.example").read_text().splitlines()
    made = installation.dotenv.read_text().splitlines()
    assert sum(one != other for one, other in zip(example, made, strict=True)) == 4
    values = effective(installation.dotenv.read_bytes())
    assert (values["WORKER_ENABLED"], values["DATABASE_ENCRYPTION_KEY"]) == ("0", "ab" * 32)
    assert values["DATABASE_URL"] == f"sqlite:///{installation.source}"


def test_secrets_are_made_once_and_readable_by_this_user_alone(tmp_path: Path) -> None:
    first = Keys(tmp_path).passwords(("ana", "ben"))
    assert Keys(tmp_path).passwords(("ana", "ben")) == first
    assert all(len(password) >= 10 for password in first.values())
    Keys(tmp_path).secret_key()
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_port_is_the_same_at_the_next_start(tmp_path: Path) -> None:
    first = Ports(tmp_path / "ports.json").keep("web", [])
    assert is_free(first)
    assert Ports(tmp_path / "ports.json").keep("web", range(9000, 9010)) == first


def test_two_names_never_share_a_port(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json")
    wanted = range(18000, 18050)
    assert len({ports.keep(name, wanted) for name in ("web", "yukyu", "yukyu-west")}) == 3


def test_the_place_of_a_server_is_said_without_its_password() -> None:
    assert servers._place("redis://:s3cret@cache.example.org:6380/0") == "cache.example.org:6380"


def test_forms_are_read_as_a_browser_reads_them() -> None:
    parser = browser._Parser("http://127.0.0.1/runs/1/sign/go/")
    parser.feed(
        '<div class="notice" role="alert"><p>Not done: <b>too early</b></p></div><p>outside</p>'
        '<form method="post"><input type="hidden" name="do" value="sign"><textarea name="reason">\nwell</textarea>'
        '<select name="role"><option value="lead">Lead</option><option value="ops" selected>Ops</option></select>'
        '<input type="radio" name="outcome" value="passed"><button name="send" value="1">Go</button></form>'
    )
    form = parser.forms[0]
    assert form.action == "http://127.0.0.1/runs/1/sign/go/"
    assert form.fields == {"do": "sign", "reason": "well", "role": "ops", "outcome": "", "send": "1"}
    assert parser.notices == ["Not done: too early"]


def test_the_web_servers_log_holds_no_link_that_acts_as_somebody(tmp_path: Path) -> None:
    """Asked of a real gunicorn, as the stage starts it, in front of an application that answers anything."""
    token = f"WyJ1c2VyIiwzXQ:1xVaXj:{'k' * 43}"
    (tmp_path / "anything.py").write_text(
        "def application(asked, start):\n    start('200 OK', [('Content-Length', '0')])\n    return [b'']\n"
    )
    port = free_port()
    log = tmp_path / "web.log"
    argv = (sys.executable, "-m", "gunicorn", *crew.gunicorn_options(port), "--chdir", str(tmp_path), "anything")
    process = TetheredProcess(argv, log=log, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT)
    try:
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/told/acknowledge/{token}/?x=1")
        asked.add_header("Referer", f"http://127.0.0.1:{port}/told/acknowledge/{token}/")
        wait_until(lambda: not is_free(port), "gunicorn to listen")
        urllib.request.urlopen(asked, timeout=20).close()
        wait_until(lambda: "/told/acknowledge/***/" in log.read_text(), "the line of its log")
        assert "k" * 43 not in log.read_text()
    finally:
        process.stop()
