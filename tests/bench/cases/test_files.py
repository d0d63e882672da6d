"""Which files are cases, and what goes with a copy."""

from pathlib import Path

from bench.cases.files import copy_case, find_files


def test_side_files_are_no_cases_but_go_with_their_file(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "below"
    folder.mkdir(parents=True)
    for name in ("a.db", "a.db-wal", "a.db-shm", "b.gpkg", "notes.md", "expected.json", ".hidden", "noending"):
        (folder / name).write_text(name)
    assert [path.name for path in find_files(tmp_path / "in")] == ["a.db", "b.gpkg", "noending"]
    copy = copy_case(folder / "a.db", tmp_path / "copy")
    assert copy.read_text() == "a.db"
    assert sorted(path.name for path in copy.parent.iterdir()) == ["a.db", "a.db-wal"]
