"""Tables whose own rows the target keeps: the verification says how they compare, and never calls it a difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations_app.engine.plan import MODE_EXISTING
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify import kept_tables
from migrations_app.engine.verify.compare import verify
from tests.migrations_app.engine.moves import Look, make_export
from tests.migrations_app.engine.sqlite_files import build
from tests.migrations_app.engine.whole_moves import again, move

SOURCE = """CREATE TABLE kept(id INTEGER PRIMARY KEY, live INT, code TEXT, "at" TEXT, ours TEXT);
    INSERT INTO kept VALUES(1, 1, 'ab', '2020-01-02 03:04:05', 'x'), (2, 0, NULL, NULL, 'x');
    CREATE TABLE django_migrations(id INTEGER PRIMARY KEY, app TEXT, name TEXT, applied TEXT);
    INSERT INTO django_migrations VALUES(1, 'auth', '0001', '2020-01-01'), (2, 'auth', '0002', '2020-01-01');
    CREATE TABLE moved(a INT); INSERT INTO moved VALUES(1);"""
TARGET = """CREATE TABLE kept(id bigint PRIMARY KEY, live boolean, code char(4), "at" timestamp,
                                      theirs text DEFAULT 'y');
    INSERT INTO kept VALUES(1, true, 'ab', '2020-01-02 03:04:05'), (2, false, NULL, NULL);
    CREATE TABLE django_migrations(id bigint, app text, name text, applied timestamptz);
    INSERT INTO django_migrations VALUES(7, 'auth', '0002', now()), (8, 'auth', '0001', now());
    CREATE TABLE moved(a bigint)"""
KEEP = [("TARGET_NOT_EMPTY@kept", "keep")]


@pytest.fixture
def path(tmp_path: Path, look: Look) -> Path:
    look.run(TARGET)
    return build(tmp_path / "t.db", SOURCE)


def said(remarks: tuple[str, ...], table: str) -> str:
    (found,) = [remark for remark in remarks if remark.startswith(f"{table} keeps")]
    return found


def test_equal_rows_are_said_to_be_equal(path: Path, tmp_path: Path, url: TargetUrl) -> None:
    plan, result = move(path, url, MODE_EXISTING, KEEP)
    assert result.equal and [table.name for table in result.tables] == ["moved"]
    expected = "kept keeps the target's own rows: 2 there, 2 in the source, equal in id, live, code, at."
    assert said(result.remarks, "kept") == expected
    # When a version was applied, and under which number, differs from place to place.
    assert said(result.remarks, "django_migrations").endswith("2 there, 2 in the source, equal in app, name.")
    export = verify(make_export(path, plan, tmp_path / "export"), plan, url)
    assert export.equal and said(export.remarks, "kept") == expected


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        ("UPDATE kept SET live = NULL WHERE id = 2", "2 there, 2 in the source, not the same in"),
        ("INSERT INTO kept VALUES(3, true, 'c', NULL)", "3 there, 2 in the source, not the same in"),
        ("TRUNCATE kept", "0 there, 2 in the source, not the same in"),
    ],
)
def test_other_rows_are_told_and_are_no_difference(
    path: Path, url: TargetUrl, look: Look, change: str, figures: str
) -> None:
    plan, _result = move(path, url, MODE_EXISTING, KEEP)
    look.run(change)
    result = again(path, plan, url)
    sentence = said(result.remarks, "kept")
    assert result.equal and figures in sentence and "ab" not in sentence


def test_a_cell_that_does_not_fit_is_another_row(path: Path, tmp_path: Path, url: TargetUrl) -> None:
    plan, _result = move(path, url, MODE_EXISTING, KEEP)
    path.unlink()
    changed = build(path, SOURCE.replace("(2, 0, NULL", "(2, 'maybe', NULL"))
    sentence = said(again(changed, plan, url).remarks, "kept")
    assert sentence.endswith("not the same in id, live, code, at: 1 only there, 1 only in the source.")


def test_large_tables_are_only_counted(path: Path, url: TargetUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_tables, "MOST", 1)
    _plan, result = move(path, url, MODE_EXISTING, KEEP)
    assert said(result.remarks, "kept").endswith("2 there, 2 in the source; too many to be compared.")
