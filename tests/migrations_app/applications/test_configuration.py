"""The switch of a configuration: compared byte for byte, and killed at every point."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import dotenv
import pytest

from migrations_app.applications.configuration import current, switch
from migrations_app.applications.description import Pointing, PointingValues
from migrations_app.applications.dotenv import effective, read_assignments
from migrations_app.engine.errors import Failed, Refused

KEYS = {
    "DATABASE_TYPE": {"sqlite": "sqlite", "postgresql": "postgresql"},
    "DATABASE_URL": {
        "sqlite": "sqlite:///{path}",
        "postgresql": "postgresql+psycopg2://{user}:{password}@{host}:{port}/{database}",
    },
}
VALUES = PointingValues(Path("/srv/app.db"), "db.internal", 5433, "app", "p/w@#:1", "yukyu")
URL = "postgresql+psycopg2://app:p%2Fw%40%23%3A1@db.internal:5433/yukyu"


def pointing(folder: Path, content: bytes, keys: dict = KEYS) -> Pointing:
    (folder / ".env").write_bytes(content)
    return Pointing("file", keys, folder / "state" / "pointing.json", folder / ".env")


CASES = [
    ("plain", b"DATABASE_TYPE=sqlite\nDATABASE_URL=sqlite:///./a.db\n", b"DATABASE_TYPE=postgresql\nDATABASE_URL=U\n"),
    ("comment behind", b"DATABASE_TYPE=sqlite  # for now\nDATABASE_URL=sqlite:///a.db\t# x=y\n",
     b"DATABASE_TYPE=postgresql  # for now\nDATABASE_URL=U\t# x=y\n"),
    ("quotes", b"DATABASE_TYPE='sqlite'\nDATABASE_URL=\"sqlite:///a.db\" # c\n",
     b"DATABASE_TYPE='postgresql'\nDATABASE_URL=\"U\" # c\n"),
    ("CRLF", b"A=1\r\nDATABASE_TYPE=sqlite\r\nDATABASE_URL=sqlite:///a.db\r\nB=2\r\n",
     b"A=1\r\nDATABASE_TYPE=postgresql\r\nDATABASE_URL=U\r\nB=2\r\n"),
    ("export and spaces", b"export DATABASE_TYPE = sqlite\n  export  DATABASE_URL= sqlite:///a.db",
     b"export DATABASE_TYPE = postgresql\n  export  DATABASE_URL= U"),
    ("others stay", b"\xef\xbb\xbf# DATABASE_TYPE=x\n\nMY_DATABASE_TYPE=q\nDATABASE_TYPE=sqlite\nJUNK\nDATABASE_URL=sqlite:///a.db\n"
     b"DATABASE_URL_OLD=sqlite:///b.db\nX='a#b' \n\t\nLAST=\xff\xfe",
     b"\xef\xbb\xbf# DATABASE_TYPE=x\n\nMY_DATABASE_TYPE=q\nDATABASE_TYPE=postgresql\nJUNK\nDATABASE_URL=U\n"
     b"DATABASE_URL_OLD=sqlite:///b.db\nX='a#b' \n\t\nLAST=\xff\xfe"),
    ("BOM then key", b"\xef\xbb\xbfDATABASE_TYPE=sqlite\nDATABASE_URL=sqlite:///a.db\n",
     b"\xef\xbb\xbfDATABASE_TYPE=postgresql\nDATABASE_URL=U\n"),
    ("several lines in quotes", b"PEM=\"x\nDATABASE_TYPE=no\ny\"\nDATABASE_TYPE=sqlite\nDATABASE_URL=sqlite:///a.db\n",
     b"PEM=\"x\nDATABASE_TYPE=no\ny\"\nDATABASE_TYPE=postgresql\nDATABASE_URL=U\n"),
    ("empty value", b"DATABASE_TYPE=\nDATABASE_URL=sqlite:///a.db\n", b"DATABASE_TYPE=postgresql\nDATABASE_URL=U\n"),
    ("key in quotes", b"'DATABASE_TYPE'=sqlite\nDATABASE_URL=sqlite:///a.db\n",
     b"'DATABASE_TYPE'=postgresql\nDATABASE_URL=U\n"),
    ("twice", b"DATABASE_TYPE=sqlite\nDATABASE_URL=sqlite:///a.db\nDATABASE_TYPE=sqlite # again\n",
     b"DATABASE_TYPE=postgresql\nDATABASE_URL=U\nDATABASE_TYPE=postgresql # again\n"),
    ("missing", b"A=1\r\nDATABASE_TYPE=sqlite", b"A=1\r\nDATABASE_TYPE=postgresql\r\nDATABASE_URL=U\r\n"),
    ("empty file", b"", b"DATABASE_TYPE=postgresql\nDATABASE_URL=U\n"),
    ("hash without space", b"DATABASE_TYPE=sqlite\nDATABASE_URL=sqlite:///a#b.db\n",
     b"DATABASE_TYPE=postgresql\nDATABASE_URL=U\n"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_only_the_values_of_the_keys_change_and_come_back(tmp_path: Path, before: bytes, after: bytes) -> None:
    target = pointing(tmp_path, before)
    result = switch(target, "postgresql", VALUES)
    assert (tmp_path / ".env").read_bytes() == after.replace(b"U\n", URL.encode() + b"\n").replace(
        b"U\r", URL.encode() + b"\r"
    ).replace(b"=U\t", b"=" + URL.encode() + b"\t").replace(b'"U"', b'"' + URL.encode() + b'"').replace(
        b"= U", b"= " + URL.encode()
    )
    assert result.changed and current(target) == "postgresql"
    assert result.old_copy is not None and result.old_copy.read_bytes() == before
    back = switch(target, "sqlite", VALUES)
    assert (tmp_path / ".env").read_bytes() == before and back.changed
    assert current(target) == "sqlite"


def test_dotenv_itself_reads_what_was_written(tmp_path: Path) -> None:
    for name, before, _after in CASES:
        target = pointing(tmp_path, before)
        target.state_file.unlink(missing_ok=True)
        ours = effective(before)
        theirs = dotenv.dotenv_values(tmp_path / ".env", encoding="latin-1" if b"\xff" in before else "utf-8-sig")
        assert {key: ours.get(key) for key in KEYS} == {key: theirs.get(key) for key in KEYS}, name
        switch(target, "postgresql", VALUES)
        theirs = dotenv.dotenv_values(tmp_path / ".env", encoding="latin-1" if b"\xff" in before else "utf-8-sig")
        assert (theirs["DATABASE_TYPE"], theirs["DATABASE_URL"]) == ("postgresql", URL), name


def test_a_doubled_key_and_a_missing_one_are_told(tmp_path: Path) -> None:
    result = switch(pointing(tmp_path, b"DATABASE_TYPE=sqlite\nDATABASE_TYPE=sqlite\n"), "postgresql", VALUES)
    assert "2 times (lines 1, 2)" in result.notes[0] and "DATABASE_URL did not stand" in result.notes[1]


def test_the_second_switch_changes_nothing(tmp_path: Path) -> None:
    target = pointing(tmp_path, CASES[0][1])
    switch(target, "postgresql", VALUES)
    before = (tmp_path / ".env").stat()
    assert not switch(target, "postgresql", VALUES).changed
    assert (tmp_path / ".env").stat() == before


def test_an_edit_in_between_survives_the_way_back(tmp_path: Path) -> None:
    target = pointing(tmp_path, CASES[0][1])
    switch(target, "postgresql", VALUES)
    with open(tmp_path / ".env", "ab") as handle:
        handle.write(b"NEW=1\n")
    switch(target, "sqlite", VALUES)
    content = (tmp_path / ".env").read_bytes()
    assert content == b"DATABASE_TYPE=sqlite\nDATABASE_URL=sqlite:////srv/app.db\nNEW=1\n"


def test_a_new_password_is_used_at_the_second_cut_over(tmp_path: Path) -> None:
    target = pointing(tmp_path, CASES[0][1])
    switch(target, "postgresql", VALUES)
    switch(target, "sqlite", VALUES)
    switch(target, "postgresql", PointingValues(Path("/srv/app.db"), "db.internal", 5433, "app", "other", "yukyu"))
    assert effective((tmp_path / ".env").read_bytes())["DATABASE_URL"].startswith("postgresql+psycopg2://app:other@")


def test_mode_and_link_stay(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    target = pointing(real, CASES[0][1])
    (real / ".env").chmod(0o640)
    (tmp_path / ".env").symlink_to(real / ".env")
    switch(Pointing("file", KEYS, target.state_file, tmp_path / ".env"), "postgresql", VALUES)
    assert (tmp_path / ".env").is_symlink() and (real / ".env").stat().st_mode & 0o777 == 0o640
    assert current(target) == "postgresql"
    assert sorted(path.name for path in real.iterdir()) == [".env", "state"]


def test_the_owner_stays(tmp_path: Path) -> None:
    target = pointing(tmp_path, CASES[0][1])
    owner = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getgroups()[-1])  # only root gives files away
    os.chown(tmp_path / ".env", *owner)
    switch(target, "postgresql", VALUES)
    assert ((tmp_path / ".env").stat().st_uid, (tmp_path / ".env").stat().st_gid) == owner


def test_kept_copies_and_state_are_private(tmp_path: Path) -> None:
    target = pointing(tmp_path, CASES[0][1])
    switch(target, "postgresql", VALUES)
    switch(target, "sqlite", VALUES)
    assert [path.stat().st_mode & 0o077 for path in (tmp_path / "state").iterdir()] == [0, 0, 0]
    assert b"%2F" not in target.state_file.read_bytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"DATABASE_TYPE=sqlite\nDATABASE_URL=sqlite:///a.db\n", "sqlite"),
        (b"DATABASE_TYPE=postgresql\nDATABASE_URL=postgres://x/y\n", "postgresql"),
        (b"DATABASE_TYPE=postgresql\nDATABASE_URL=sqlite:///a.db\n", "mixed"),
        (b"DATABASE_TYPE=mysql\nDATABASE_URL=mysql://a\n", "mixed"),
        (b"DATABASE_TYPE=sqlite\nDATABASE_TYPE=postgresql\nDATABASE_URL=postgresql+psycopg2://x/y\n", "postgresql"),
        (b"OTHER=1\n", "sqlite"),
    ],
)
def test_current_tells_where_it_points(tmp_path: Path, content: bytes, says: str) -> None:
    assert current(pointing(tmp_path, content)) == says


def test_values_that_are_no_urls_decide_by_their_template(tmp_path: Path) -> None:
    keys = {
        "DB_ENGINE": {"sqlite": "django.db.backends.sqlite3", "postgresql": "django.db.backends.{dialect}"},
        "DB_HOST": {"sqlite": "", "postgresql": "{host}"},
        "DB_PASSWORD": {"sqlite": "", "postgresql": "{password}"},
    }
    target = pointing(tmp_path, b"DB_ENGINE=django.db.backends.sqlite3\nDB_HOST=\nDB_PASSWORD=\n", keys)
    assert current(target) == "sqlite"
    switch(target, "postgresql", VALUES)
    assert (tmp_path / ".env").read_bytes() == (
        b"DB_ENGINE=django.db.backends.postgresql\nDB_HOST=db.internal\nDB_PASSWORD='p/w@#:1'\n".replace(
            b"'p/w@#:1'", b"'p/w@#:1'"
        )
    )
    assert current(target) == "postgresql"


@pytest.mark.parametrize(
    "password", ["a\nDATABASE_TYPE=x", "tab\there", "nul\0", "${HOME}", "$x", "a'b\"c", "back\\slash"]
)
def test_values_that_a_dotenv_file_can_not_hold_are_refused(tmp_path: Path, password: str) -> None:
    keys = {"DB_PASSWORD": {"sqlite": "", "postgresql": "{password}"}, **KEYS}
    target = pointing(tmp_path, CASES[0][1], keys)
    with pytest.raises(Refused) as error:
        switch(target, "postgresql", PointingValues(Path("/a"), "h", 1, "u", password, "d"))
    assert error.value.code == "BAD_VALUE" and password not in str(error.value)
    assert (tmp_path / ".env").read_bytes() == CASES[0][1]


def test_an_unknown_placeholder_and_a_missing_value_are_refused(tmp_path: Path) -> None:
    keys = {"DATABASE_URL": {"sqlite": "sqlite:///{path}", "postgresql": "postgresql://{usr}@{host}"}}
    with pytest.raises(Refused) as error:
        switch(pointing(tmp_path, b"", keys), "postgresql", VALUES)
    assert error.value.code == "BAD_TEMPLATE"
    with pytest.raises(Refused) as error:
        switch(pointing(tmp_path, b""), "postgresql", PointingValues(Path("/a")))
    assert error.value.code == "VALUE_MISSING"


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / ".env").mkdir()
    with pytest.raises(Refused) as error:
        switch(Pointing("file", KEYS, tmp_path / "state.json", tmp_path / ".env"), "postgresql", VALUES)
    assert error.value.code == "NO_CONFIGURATION_FILE"


def test_environment_keeps_the_choice_in_the_state_file_alone(tmp_path: Path) -> None:
    target = Pointing("environment", KEYS, tmp_path / "state" / "pointing.json")
    assert current(target) == "sqlite"
    assert switch(target, "postgresql", VALUES).changed
    assert current(target) == "postgresql" and "p%2Fw" not in target.state_file.read_text()
    assert not switch(target, "postgresql", VALUES).changed


def test_a_broken_state_file_is_not_guessed_at(tmp_path: Path) -> None:
    target = Pointing("environment", KEYS, tmp_path / "pointing.json")
    target.state_file.write_text("{")
    with pytest.raises(Failed) as error:
        current(target)
    assert error.value.code == "STATE_FILE_BROKEN"


SWITCH_AND_DIE = """
import os, signal, sys
from pathlib import Path
from migrations_app.applications import configuration
from tests.migrations_app.applications.test_configuration import KEYS, VALUES
from migrations_app.applications.description import Pointing

def reached(point):
    if point == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

configuration.reached = reached
folder = Path(sys.argv[1])
configuration.switch(Pointing("file", KEYS, folder / "state" / "pointing.json", folder / ".env"), sys.argv[3], VALUES)
"""
POINTS = ["copies kept", "state written", "half written", "written", "renamed"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_a_kill_leaves_the_old_file_or_the_new_one_and_a_repeat_ends_it(
    tmp_path: Path, point: str, dialect: str
) -> None:
    old = b"# mine\nDATABASE_TYPE=sqlite # x\nDATABASE_URL=sqlite:///./a.db\n"
    target = pointing(tmp_path, old)
    new = old.replace(b"=sqlite #", b"=postgresql #").replace(b"sqlite:///./a.db", URL.encode())
    if dialect == "sqlite":
        switch(target, "postgresql", VALUES)
        old, new = new, old
    child = subprocess.run([sys.executable, "-c", SWITCH_AND_DIE, str(tmp_path), point, dialect], timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert (tmp_path / ".env").read_bytes() == (new if point == "renamed" else old)
    assert current(target) == (
        dialect if point == "renamed" else {"postgresql": "sqlite", "sqlite": "postgresql"}[dialect]
    )
    switch(target, dialect, VALUES)
    assert (tmp_path / ".env").read_bytes() == new
    back = "sqlite" if dialect == "postgresql" else "postgresql"
    switch(target, back, VALUES)
    assert (tmp_path / ".env").read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "state"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    import resource

    target = pointing(tmp_path, CASES[0][1] + b"#" * 5000 + b"\n")
    before = (tmp_path / ".env").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(Failed) as error:
            switch(target, "postgresql", VALUES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert error.value.code == "CONFIGURATION_NOT_WRITTEN"
    assert (tmp_path / ".env").read_bytes() == before and current(target) == "sqlite"


def test_an_unclosed_quote_is_no_assignment() -> None:
    found = read_assignments(b'A=\'x\nB=1\nC="y"z\nD=2\n')
    assert [(item.key, item.value) for item in found] == [("B", "1"), ("D", "2")]
