"""The demo's folder: one instance, and nothing erased that isn't its own."""

from pathlib import Path

import pytest

from demo.stage.errors import StageError
from demo.stage.home import Home


def opened(path: Path) -> Home:
    home = Home(path)
    home.open()
    return home


def test_a_second_instance_is_refused_with_the_address_of_the_first(tmp_path: Path) -> None:
    first = opened(tmp_path / "demo")
    first.note_address("http://127.0.0.1:8000")
    with pytest.raises(StageError, match=r"already runs.*8000") as refused:
        opened(tmp_path / "demo")
    assert refused.value.code == "demo.running"
    first.close()
    opened(tmp_path / "demo").close()


def test_erasing_removes_what_the_demo_made(tmp_path: Path) -> None:
    home = opened(tmp_path / "demo")
    (home.folder("keys") / "secret-key").write_text("x")
    home.control_database.write_text("x")
    home.erase()
    assert sorted(entry.name for entry in home.path.iterdir()) == ["causeway-demo", "lock"]
    home.close()


def test_erasing_refuses_a_folder_that_holds_something_else_and_removes_nothing(tmp_path: Path) -> None:
    home = opened(tmp_path / "demo")
    (home.path / "thesis.txt").write_text("years of work")
    home.control_database.write_text("x")
    with pytest.raises(StageError, match=r"thesis\.txt"):
        home.erase()
    assert home.control_database.exists()
    home.close()


def test_a_folder_of_somebody_elses_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_text("x")
    with pytest.raises(StageError) as refused:
        opened(tmp_path / "photos")
    assert refused.value.code == "demo.foreign_folder"
    assert [entry.name for entry in (tmp_path / "photos").iterdir()] == ["1.jpg"]


def test_a_link_to_another_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "demo").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StageError, match="not a folder of its own"):
        opened(tmp_path / "demo")


def test_what_a_development_run_left_in_the_folder_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "control.sqlite3").write_text("")
    with pytest.raises(StageError):
        opened(tmp_path / "demo" / "control.sqlite3")
    opened(tmp_path / "demo").close()
