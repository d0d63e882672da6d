"""The operator's file: what it says, and when it is not believed."""

import os
from pathlib import Path

import pytest

from migrations_app.applications.operator_file import read_operator_file
from migrations_app.engine.errors import Refused

GOOD = """
[roots]
files = ["{root}"]
hosts = ["Yukyu.Internal"]
[commands.web]
argv = ["{{python}}", "-m", "uvicorn", "main:app", "--port", "{{port}}"]
cwd = "{root}"
timeout_seconds = 30
[commands.web.environment]
MODE = "x"
[commands.up]
argv = ["true"]
cwd = "/"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "srv").mkdir()
    return tmp_path / "srv"


def write(root: Path, text: str) -> Path:
    path = root.parent / "operator.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_it_is_read(root: Path) -> None:
    found = read_operator_file(write(root, GOOD.format(root=root)))
    assert found.roots == (root,) and found.hosts == ("yukyu.internal",)
    web = found.command("web")
    assert (
        web.argv[-1] == "{port}" and web.cwd == root and web.timeout_seconds == 30 and web.environment == {"MODE": "x"}
    )
    assert web.resolved_argv(8000)[-1] == "8000" and found.command("up").timeout_seconds == 60


def test_an_unknown_command_is_refused_and_the_known_are_named(root: Path) -> None:
    with pytest.raises(Refused) as error:
        read_operator_file(write(root, GOOD.format(root=root))).command("rm")
    assert error.value.code == "UNKNOWN_COMMAND" and "up, web" in error.value.hint


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(root: Path, mode: int) -> None:
    path = write(root, GOOD.format(root=root))
    path.chmod(mode)
    with pytest.raises(Refused) as error:
        read_operator_file(path)
    assert error.value.code == "OPERATOR_FILE_UNSAFE"


def test_a_folder_that_others_can_write_is_refused(root: Path) -> None:
    path = write(root, GOOD.format(root=root))
    path.parent.chmod(0o777)
    with pytest.raises(Refused) as error:
        read_operator_file(path)
    assert error.value.code == "OPERATOR_FILE_UNSAFE"


def test_another_users_file_is_refused(root: Path) -> None:
    path = write(root, GOOD.format(root=root))
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    else:
        path = Path("/proc/1/cmdline")
    with pytest.raises(Refused) as error:
        read_operator_file(path)
    assert error.value.code == "OPERATOR_FILE_UNSAFE"


@pytest.mark.parametrize("kind", ["missing", "link", "folder", "fifo"])
def test_what_is_no_file_is_refused(root: Path, kind: str) -> None:
    path = root.parent / "other.toml"
    if kind == "link":
        path.symlink_to(write(root, GOOD.format(root=root)))
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(Refused) as error:
        read_operator_file(path)
    assert error.value.code in ("OPERATOR_FILE_MISSING", "OPERATOR_FILE_UNSAFE")


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "[extra]",
        "roots = 3",
        "[roots]\nfiles = 'x'",
        "[roots]\nfiles = ['relative']",
        "[roots]\nfiles = ['/']",
        "[roots]\nfiles = ['/a/../b']",
        "[roots]\nother = []",
        "[commands.x]\nargv = []\ncwd = '/'",
        "[commands.x]\nargv = 'ls'\ncwd = '/'",
        "[commands.x]\nargv = ['ls']",
        "[commands.x]\nargv = ['ls']\ncwd = 'here'",
        "[commands.x]\nargv = ['ls']\ncwd = '/'\nshell = true",
        "[commands.x]\nargv = ['ls']\ncwd = '/'\ntimeout_seconds = 0",
        "[commands.x]\nargv = ['ls']\ncwd = '/'\ntimeout_seconds = true",
        "[commands.x]\nargv = ['ls']\ncwd = '/'\nenvironment = {A = 1}",
        "[commands.x]\nargv = ['ls']\ncwd = '/'\nenvironment = {'A=B' = 'x'}",
    ],
)
def test_a_broken_file_is_refused_with_its_place(root: Path, text: str) -> None:
    path = write(root, text)
    with pytest.raises(Refused) as error:
        read_operator_file(path)
    assert error.value.code == "OPERATOR_FILE_BROKEN" and str(path) in error.value.message


def test_paths_inside_the_roots_are_allowed(root: Path) -> None:
    found = read_operator_file(write(root, GOOD.format(root=root)))
    (root / "a").mkdir()
    assert found.inside_roots(str(root / "a" / "x.db")) == root / "a" / "x.db"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{root}/../x.db", "x.db", "{root}/a\0b", "{root}x/a.db", "{root}/link/a.db", ""]
)
def test_paths_that_lead_outside_are_refused(root: Path, path: str) -> None:
    (root / "link").symlink_to("/etc")
    with pytest.raises(Refused) as error:
        read_operator_file(write(root, GOOD.format(root=root))).inside_roots(path.format(root=root))
    assert error.value.code == "PATH_NOT_ALLOWED"
