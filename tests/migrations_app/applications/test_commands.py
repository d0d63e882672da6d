"""Operator's commands: no shell, a minimal environment, bounded and redacted output, an end in time."""

import sys
import threading
from pathlib import Path

import pytest

from migrations_app.applications import processes
from migrations_app.applications.commands import OUTPUT_BYTES, run_command
from migrations_app.applications.description import CommandSpec
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, Failed, Refused
from tests.migrations_app.applications.conftest import until


def command(folder: Path, *argv: str, **more) -> CommandSpec:
    return CommandSpec("it", argv, folder, **more)


def python(folder: Path, code: str, *argv: str, **more) -> CommandSpec:
    return command(folder, "{python}", "-c", code, *argv, **more)


def test_it_tells_status_and_output_of_both_streams(tmp_path: Path) -> None:
    result = run_command(python(tmp_path, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(4)"))
    assert (result.exit_status, result.succeeded) == (4, False)
    assert sorted(result.output.split()) == ["err", "out"]


def test_it_runs_in_its_folder_without_a_shell(tmp_path: Path) -> None:
    result = run_command(command(tmp_path, "ls", "-d", "$HOME; *", "."))
    assert result.exit_status != 0 and "$HOME; *" in result.output
    assert run_command(command(tmp_path, "pwd")).output.strip() == str(tmp_path)


def test_its_environment_is_minimal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "canary")
    monkeypatch.setenv("DATABASE_URL", "postgresql://canary")
    spec = command(tmp_path, "env", environment={"A": "declared"})
    names = {line.partition("=")[0] for line in run_command(spec, {"B": "extra"}).output.splitlines()}
    assert {"A", "B", "PATH"} <= names and not {"SECRET_KEY", "DATABASE_URL"} & names


def test_secrets_do_not_come_back_in_the_output(tmp_path: Path) -> None:
    url = "postgresql://u:canary-in-url@h/d"
    code = "import os; print(os.environ['DATABASE_URL'], os.environ['API_TOKEN'], 'canary-in-url', 'password=canary-3')"
    result = run_command(python(tmp_path, code), {"DATABASE_URL": url, "API_TOKEN": "canary-token"})
    assert result.succeeded and "canary" not in result.output


def test_only_the_end_of_a_long_output_is_kept(tmp_path: Path) -> None:
    result = run_command(python(tmp_path, "for n in range(200000): print('line', n)"))
    assert result.truncated and len(result.output) <= OUTPUT_BYTES and result.output.endswith("line 199999\n")


def test_the_time_limit_ends_it_and_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import os,subprocess,sys,signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "a=subprocess.Popen(['sleep','600']); b=subprocess.Popen(['sleep','600'], start_new_session=True);"
        "open('pids','w').write(f'{os.getpid()} {a.pid} {b.pid}'); print('begun', flush=True); time.sleep(600)"
    )
    result = run_command(python(tmp_path, code), timeout=1.5)
    assert result.exit_status is None and result.output == "begun\n"
    assert [pid for pid in map(int, (tmp_path / "pids").read_text().split()) if processes.create_time(pid)] == []


def test_a_background_process_that_keeps_the_pipe_does_not_hold_it_up(tmp_path: Path) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep','600'], start_new_session=True).pid)"
    result = run_command(python(tmp_path, code), timeout=60)
    assert result.succeeded
    assert processes.create_time(int(result.output)) is None


def test_a_stop_from_outside_ends_it(tmp_path: Path) -> None:
    control = Control()
    code = "import os,time; open('pid','w').write(str(os.getpid())); time.sleep(600)"
    threading.Timer(0.5, control.stop.set).start()
    with pytest.raises(Cancelled):
        run_command(python(tmp_path, code), timeout=60, control=control)
    text = (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else "0"
    assert processes.create_time(int(text)) is None or text == "0"


@pytest.mark.parametrize("argv", [("/no/such/program",), ("{port}",)])
def test_what_can_not_be_run_is_told(tmp_path: Path, argv: tuple[str, ...]) -> None:
    with pytest.raises((Failed, Refused)) as error:
        run_command(command(tmp_path, *argv))
    assert error.value.code in ("COMMAND_NOT_RUN", "PORT_MISSING") and error.value.hint


def test_a_spec_shows_no_environment(tmp_path: Path) -> None:
    assert "canary" not in repr(command(tmp_path, "x", environment={"A": "canary"}))


def test_a_recycled_pid_is_another_process() -> None:
    created = processes.create_time(1)
    assert created is not None and processes.is_same(1, created)
    assert not processes.is_same(1, created + 60)


def test_a_zombie_does_not_live(tmp_path: Path) -> None:
    import subprocess

    child = subprocess.Popen([sys.executable, "-c", ""])
    until(lambda: processes.create_time(child.pid) is None)
    child.wait(5)
