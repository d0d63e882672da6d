"""What people may choose for a column's type in mode create: times that are counted, words, rounding, spellings."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from migrations_app.engine.conversions.conversions import Unfit, conversion
from migrations_app.engine.plan import ColumnPlan, MovePlan
from tests.migrations_app.engine.sqlite_files import build, plan_file

MOMENT = "timestamp with time zone"


def column(plan: MovePlan, name: str = "v") -> ColumnPlan:
    return next(item for item in plan.table("t").columns if item.name == name)


def file_of(folder: Path, declared: str, values: str, name: str = "v") -> Path:
    path = folder / "t.db"
    path.unlink(missing_ok=True)
    return build(
        path, f"CREATE TABLE t(id INTEGER PRIMARY KEY, {name} {declared}); INSERT INTO t({name}) VALUES{values}"
    )


@pytest.mark.parametrize(
    ("declared", "values", "choice", "conversion_name"),
    [
        ("DATETIME", "(1577934245),(0)", "epoch_seconds", "epoch:s"),
        ("TIMESTAMP", "(1577934245.5),(NULL)", "epoch_seconds", "epoch:s"),
        ("DATE", "(1577934245123)", "epoch_milliseconds", "epoch:ms"),
        ("TIMESTAMP", "(2458850.628298611)", "julian_day", "julian"),
    ],
)
def test_numbers_in_a_column_of_times_stay_numbers_until_it_is_chosen_what_they_count(
    tmp_path: Path, declared: str, values: str, choice: str, conversion_name: str
) -> None:
    path = file_of(tmp_path, declared, values)
    (finding,) = plan_file(path).findings
    assert finding.code == "TYPE_FOLLOWS_VALUES" and finding.choice == "follow_values" and choice in finding.choices
    assert column(plan_file(path)).target_type in ("bigint", "double precision", "numeric")
    chosen = column(plan_file(path, [("TYPE_FOLLOWS_VALUES@t.v", choice)]))
    assert (chosen.target_type, chosen.conversion) == (MOMENT, conversion_name)
    assert "by choice" in chosen.reason


def test_a_way_that_a_value_doesnt_fit_isnt_offered(tmp_path: Path) -> None:
    (finding,) = plan_file(file_of(tmp_path, "DATETIME", "(1577934245),(999999999999999)")).findings
    assert "epoch_seconds" not in finding.choices and "epoch_milliseconds" not in finding.choices
    (finding,) = plan_file(file_of(tmp_path, "DATETIME", "(1577934245),('soon')")).findings
    assert "epoch_seconds" not in finding.choices


def test_a_column_of_numbers_that_is_named_like_a_time_is_asked_about_and_kept(tmp_path: Path) -> None:
    path = file_of(tmp_path, "INTEGER", "(1577934245),(NULL)", "created_at")
    plan = plan_file(path)
    assert [(item.code, item.choice) for item in plan.findings] == [("NUMBER_MAY_BE_TIME", "keep")]
    assert column(plan, "created_at").target_type == "bigint"
    for key in ("NUMBER_MAY_BE_TIME", "NUMBER_MAY_BE_TIME@t.created_at"):
        assert column(plan_file(path, [(key, "epoch_seconds")]), "created_at").conversion == "epoch:s"


def test_any_other_column_of_numbers_becomes_times_only_when_it_is_named(tmp_path: Path) -> None:
    path = file_of(tmp_path, "REAL", "(1577934245.25)")
    assert plan_file(path).findings == ()
    assert column(plan_file(path, [("NUMBER_MAY_BE_TIME", "epoch_seconds")])).target_type == "double precision"
    assert column(plan_file(path, [("NUMBER_MAY_BE_TIME@t.v", "epoch_seconds")])).target_type == MOMENT


def test_a_number_that_a_time_wouldnt_give_back_is_refused_with_its_row(tmp_path: Path) -> None:
    path = file_of(tmp_path, "REAL", "(1.5),(0.1234567891),(9e300)")
    choice = ("NUMBER_MAY_BE_TIME@t.v", "epoch_seconds")
    (finding,) = plan_file(path, [choice]).open_findings
    assert (finding.code, finding.row_key, finding.count) == ("CHOICE_DOES_NOT_FIT", '{"id": 2}', 2)
    skipping = plan_file(path, [choice, ("CHOICE_DOES_NOT_FIT@t.v", "skip_rows")])
    assert not skipping.open_findings and column(skipping).on_unfit == "skip_row"


@pytest.mark.parametrize(
    ("declared", "values", "choice", "target_type"),
    [
        ("BOOLEAN", "('yes'),('F'),(1)", "words", "boolean"),
        ("DECIMAL(6,2)", "(1.005),(2)", "round", "numeric(6,2)"),
        ("UUID", "('6BA7B8109DAD11D180B400C04FD430C8')", "any_spelling", "uuid"),
    ],
)
def test_what_loses_a_spelling_or_digits_is_only_done_by_choice(
    tmp_path: Path, declared: str, values: str, choice: str, target_type: str
) -> None:
    path = file_of(tmp_path, declared, values)
    assert column(plan_file(path)).target_type != target_type
    assert column(plan_file(path, [("TYPE_FOLLOWS_VALUES", choice)])).target_type == target_type


def test_julian_days_are_the_moments_that_sqlite_means(tmp_path: Path) -> None:
    work = conversion("julian", "timestamp without time zone").convert
    database = sqlite3.connect(":memory:")
    for seconds in range(-62_135_596_800, 253_402_300_799, 7_654_321_987):
        for part in (0, 0.001, 0.5, 0.999):
            query = "SELECT julianday(?1, 'unixepoch'), strftime('%Y-%m-%d %H:%M:%f', ?1, 'unixepoch')"
            number, text = database.execute(query, (seconds + part,)).fetchone()
            assert work(number) == text.rstrip("0").rstrip(".")


@pytest.mark.parametrize("name", ["julian", "epoch:s", "epoch:ms"])
def test_counted_times_refuse_what_isnt_a_moment(name: str) -> None:
    work = conversion(name, MOMENT).convert
    for cell in ("2458850.5", b"1", float("inf"), -1e300, 1e300, 10**30):
        with pytest.raises(Unfit):
            work(cell)
    assert work(None) is None
