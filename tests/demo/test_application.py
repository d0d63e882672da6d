"""The sample application answers alike on SQLite and on PostgreSQL, and says which of them it uses."""

import csv
import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.demo.running import YUKYU, Running, environment, run, web
from tests.demo.tables import count, query

LISTS = ("employees", "genzai", "ukeoi", "staff")
CREATE = {"start_date": "2025-10-01", "end_date": "2025-10-03", "reason": "私用 🎌\n'x'"}


def account_with_days(app: Running) -> dict[str, object]:
    rows = app.get("/api/employees?year=2025").json()
    return next(row for row in rows if row["is_active"] and row["balance"] >= 6)


@pytest.mark.parametrize("path", ["/health", "/api/health"])
def test_health_names_the_database_in_use(app: Running, dialect: str, path: str) -> None:
    answer = app.get(path)
    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"
    assert answer.json()["database"] == dialect
    assert answer.json()["schema"] == "0003_search_and_worker"


@pytest.mark.parametrize("table", LISTS)
def test_a_list_holds_every_row_of_its_table(app: Running, generated: Path, table: str) -> None:
    rows = app.get(f"/api/{table}").json()
    assert [row["id"] for row in rows] == [key for (key,) in query(generated, f"SELECT id FROM {table} ORDER BY id")]
    assert len(app.get(f"/api/{table}?limit=3").json()) == 3


def test_requests_are_listed_and_filtered(app: Running, generated: Path) -> None:
    old = [row for row in app.get("/api/leave-requests").json() if row["id"] <= 300]
    assert len(old) == count(generated, "leave_requests")
    pending = query(
        generated, "SELECT id FROM leave_requests WHERE status = 'pending' AND year = 2024 ORDER BY id DESC"
    )
    assert [row["id"] for row in app.get("/api/leave-requests?status=pending&year=2024").json()] == [
        key for (key,) in pending
    ]


def test_accounts_are_filtered_by_year(app: Running) -> None:
    assert {row["year"] for row in app.get("/api/employees?year=2024").json()} == {2024}
    assert app.get("/api/employees?year=1990").json() == []


def test_both_databases_give_the_same_answers(
    yukyu_url: str, sqlite_file: Path, tmp_path: Path, generated: Path
) -> None:
    with (
        web(environment(f"sqlite:///{sqlite_file}"), tmp_path) as old,
        web(environment(yukyu_url), tmp_path) as new,
    ):
        for path in ("genzai", "ukeoi", "staff", "employees?year=2024", "leave-requests?year=2024", "search?q=ト"):
            assert old.get(f"/api/{path}").json() == new.get(f"/api/{path}").json(), path
        assert old.get("/export.csv?year=2024").text == new.get("/export.csv?year=2024").text


@pytest.mark.parametrize("table", ["genzai", "ukeoi", "staff"])
def test_birth_dates_and_wages_are_readable_only_through_the_application(
    app: Running, generated: Path, table: str
) -> None:
    people = app.get(f"/api/{table}").json()
    assert any(person["birth_date"] for person in people)
    for person in people:
        assert person["birth_date"] is None or re.fullmatch(r"\d{4}-\d{2}-\d{2}", person["birth_date"])
        assert person["hourly_wage"] is None or person["hourly_wage"].isdigit()
    stored = query(generated, f"SELECT birth_date, hourly_wage FROM {table}")
    assert all(cell is None or re.fullmatch(r"[A-Za-z0-9+/]{40,}=*", cell) for row in stored for cell in row)


def test_a_request_takes_its_days_off_the_balance(app: Running) -> None:
    account = account_with_days(app)
    answer = app.post("/api/leave-requests", {**CREATE, "employee_id": account["id"]})
    assert answer.status_code == 201, answer.text
    assert answer.json()["days_requested"] == 3
    assert answer.json()["details"] == 3
    after = next(row for row in app.get("/api/employees").json() if row["id"] == account["id"])
    assert after["balance"] == account["balance"] - 3  # type: ignore[operator]
    assert after["used"] + after["balance"] == pytest.approx(after["granted"])
    newest = app.get("/api/leave-requests?limit=1").json()[0]
    assert newest["id"] == answer.json()["id"] > 300
    assert newest["reason"] == CREATE["reason"]
    assert newest["status"] == "pending"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"employee_id": "nobody_2025"}, 404, "unknown_employee"),
        ({"end_date": "2025-09-30"}, 422, "invalid_request"),
        ({"start_date": "someday"}, 422, "invalid_request"),
        ({"leave_type": "hourly", "end_date": "2025-10-01"}, 422, "invalid_request"),
        ({"surprise": 1}, 422, "invalid_request"),
        ({"reason": "a\x00b"}, 422, "invalid_request"),
        ({"start_date": "2025-10-04", "end_date": "2025-10-05"}, 422, "no_working_day"),
        ({"start_date": "2025-10-01", "end_date": "2025-11-28"}, 409, "not_enough_days"),
    ],
)
def test_a_bad_request_is_refused_and_changes_nothing(
    app: Running, change: dict[str, object], status: int, code: str
) -> None:
    before = app.get("/api/employees").json(), app.get("/api/leave-requests").json()
    body = {**CREATE, "employee_id": account_with_days(app)["id"], **change}
    answer = app.post("/api/leave-requests", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["hint"]
    assert (app.get("/api/employees").json(), app.get("/api/leave-requests").json()) == before


def test_requests_at_once_never_overdraw_an_account(app: Running) -> None:
    account = min(
        (row for row in app.get("/api/employees?year=2025").json() if row["is_active"] and row["balance"] >= 1),
        key=lambda row: row["balance"],
    )
    body = {"employee_id": account["id"], "start_date": "2025-12-01", "end_date": "2025-12-01"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: app.post("/api/leave-requests", body).status_code, range(40)))
    assert answers.count(201) == int(account["balance"])
    assert set(answers) == {201, 409}


def test_status_shows_the_pool_and_no_password(app: Running, dialect: str) -> None:
    status = app.get("/api/db-status").json()
    assert status["dialect"] == dialect
    assert status["pool"]["size"] == 3
    assert status["pool"]["max_overflow"] == 4
    assert status["pool"]["checked_out"] >= 1
    assert status["server_version"][0].isdigit()
    assert not re.search(r"://[^/@]*:[^/@]*@", status["url"])


def test_search_finds_names_and_readings_and_takes_wildcards_literally(app: Running) -> None:
    found = app.get("/api/search?q=サトウ").json()
    assert found
    assert all("サトウ" in hit["kana"] for hit in found)
    assert app.get("/api/search?q=d'souza").json()
    assert app.get("/api/search?q=%25").json() == []
    assert app.get("/api/search").status_code == 422


def test_the_dashboard_draws_charts_and_tables_of_the_year(app: Running, generated: Path, dialect: str) -> None:
    page = app.get("/?year=2024&show=all").text
    assert page.count("<svg") == 2
    bars = re.findall(r'<rect class="bar-of-chart"[^>]* height="([0-9.]+)"', page)
    assert len(bars) == 12 + 8
    assert sum(float(height) > 0 for height in bars) >= 12
    rows = [part.split("</tbody>")[0].count("<tr>") for part in page.split("<tbody>")[1:]]
    assert rows[:2] == [count(generated, "genzai"), count(generated, "ukeoi")]
    assert '<option value="2024" selected>' in page
    assert "<script" not in page.replace("&lt;script", "")
    assert f"database <strong>{dialect}</strong>" in page
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert app.get("/static/yukyu.css").status_code == 200


def test_the_csv_holds_the_year_and_no_formulas(app: Running, generated: Path) -> None:
    answer = app.get("/export.csv?year=2024")
    assert 'filename="yukyu_2024.csv"' in answer.headers["content-disposition"]
    assert answer.text.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"), newline="")))
    (expected,) = query(generated, "SELECT count(*) FROM employees WHERE year = 2024")
    assert len(rows) == expected[0]
    assert {row["year"] for row in rows} == {"2024"}
    assert not any(cell.startswith("=") for row in rows for cell in row.values())


def test_a_cell_that_does_not_open_is_named_and_not_shown(sqlite_file: Path, tmp_path: Path) -> None:
    other_key = "ab" * 32
    with web(environment(f"sqlite:///{sqlite_file}", DATABASE_ENCRYPTION_KEY=other_key), tmp_path) as app:
        answer = app.get("/api/genzai")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "decryption_failed"
    assert "genzai.birth_date of row genzai_0000" in answer.json()["error"]["message"]


def test_without_a_schema_health_says_unhealthy(tmp_path: Path) -> None:
    with web(environment(f"sqlite:///{tmp_path / 'empty.db'}"), tmp_path) as app:
        answer = app.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
        assert app.get("/api/employees").json()["error"]["code"] == "database_unavailable"


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_the_journal_is_chosen_and_the_stop_leaves_one_file(sqlite_file: Path, tmp_path: Path, journal: str) -> None:
    with web(environment(f"sqlite:///{sqlite_file}", YUKYU_SQLITE_JOURNAL=journal), tmp_path) as app:
        assert app.get("/api/db-status").json()["journal_mode"] == journal
        account = account_with_days(app)
        assert app.post("/api/leave-requests", {**CREATE, "employee_id": account["id"]}).status_code == 201
        app.stop()
    assert [path.name for path in tmp_path.glob("yukyu.db*")] == ["yukyu.db"]
    assert count(sqlite_file, "leave_requests") == 301


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"DATABASE_TYPE": "postgresql"}, "DATABASE_TYPE is postgresql, but DATABASE_URL is a sqlite URL"),
        ({"DATABASE_TYPE": "mysql"}, "DATABASE_TYPE: "),
        ({"DATABASE_URL": "postgresql//x:hush-hush@h/d"}, "DATABASE_URL is not a database URL"),
        ({"DATABASE_ENCRYPTION_KEY": "00ff"}, "DATABASE_ENCRYPTION_KEY must be 64 hexadecimal digits"),
        ({"DB_POOL_SIZE": "many"}, "DB_POOL_SIZE: "),
    ],
)
def test_bad_settings_end_the_start_with_a_sentence_without_values(
    tmp_path: Path, extra: dict[str, str], said: str
) -> None:
    done = run("-c", "import main", env=environment(f"sqlite:///{tmp_path}/x.db", **extra))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "hush-hush" not in done.stderr


def test_settings_come_from_the_file_and_the_environment_wins(tmp_path: Path) -> None:
    example = (YUKYU / ".env.example").read_text()
    (tmp_path / "chosen.env").write_text(example + "UNKNOWN_KEY=kept\nDB_POOL_SIZE=9\n")
    show = "from settings import *; s = get_settings(); print(s.db_pool_size, s.db_max_overflow, s.database_type)"
    env = environment("sqlite://", YUKYU_ENV_FILE=str(tmp_path / "chosen.env"), DB_MAX_OVERFLOW="2")
    for name in ("DATABASE_TYPE", "DATABASE_URL", "DATABASE_ENCRYPTION_KEY"):
        del env[name]
    assert run("-c", show, env=env).stdout.split() == ["9", "2", "sqlite"]
