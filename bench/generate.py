"""Makes the database that speed is measured with: `python -m bench.generate OUT.db [--scale 1.0]`.

Scale 1 is about 400 MB and 2.85 million rows: employees and three registers with text keys, leave requests with awkward
text, usage details (two thirds of all rows), attachments. The same scale gives the same rows. Rows are made a batch at
a time, so that memory stays the same at any scale.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import datetime
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

SEED = 20_240_401
BATCH = 10_000
# Rows at scale 1.
EMPLOYEES, PEOPLE, REQUESTS, DETAILS, ATTACHMENTS = 200_000, 50_000, 500_000, 2_000_000, 2_000
YEARS_PER_EMPLOYEE = 5  # an employee has a row for each year
REGISTERS = ("permanent", "contract", "office")

Column = Sequence[Any]

_PERSON = """CREATE TABLE {table} (
    id TEXT PRIMARY KEY NOT NULL, status TEXT, employee_num TEXT NOT NULL, site TEXT, department TEXT, line TEXT,
    name TEXT NOT NULL, reading TEXT, gender TEXT, nationality TEXT, birth_date TEXT, age INTEGER, hourly_wage INTEGER,
    wage_revised TEXT, hire_date TEXT, leave_date TEXT, last_updated TEXT);
"""
TABLES = (
    """CREATE TABLE employees (
    id TEXT PRIMARY KEY NOT NULL, employee_num TEXT NOT NULL, name TEXT NOT NULL, company TEXT, granted REAL, used REAL,
    balance REAL, hourly_wage REAL, usage_rate REAL, year INTEGER NOT NULL, is_active INTEGER NOT NULL,
    created_at TEXT NOT NULL, last_updated TEXT);
"""
    + "".join(_PERSON.format(table=table) for table in REGISTERS)
    + """CREATE TABLE leave_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, employee_num TEXT NOT NULL, employee_name TEXT, start_date TEXT NOT NULL,
    end_date TEXT NOT NULL, days REAL NOT NULL, hours REAL, leave_type TEXT, reason TEXT, status TEXT NOT NULL,
    year INTEGER NOT NULL, approver TEXT, approved_at TEXT, hourly_wage INTEGER, created_at TEXT NOT NULL);
CREATE TABLE usage_details (
    id INTEGER PRIMARY KEY AUTOINCREMENT, employee_num TEXT NOT NULL, name TEXT, use_date TEXT NOT NULL,
    year INTEGER NOT NULL, month INTEGER NOT NULL, days REAL NOT NULL, last_updated TEXT);
CREATE TABLE attachments (id INTEGER PRIMARY KEY AUTOINCREMENT, request_id INTEGER NOT NULL, file_name TEXT, data BLOB);
"""
)
INDEXES = "\n".join(
    [
        "CREATE INDEX employees_num_year ON employees (employee_num, year);",
        "CREATE INDEX employees_name ON employees (name);",
        *(f"CREATE INDEX {table}_num ON {table} (employee_num);" for table in REGISTERS),
        "CREATE INDEX requests_num ON leave_requests (employee_num);",
        "CREATE INDEX requests_status_year ON leave_requests (status, year);",
        "CREATE INDEX requests_start ON leave_requests (start_date);",
        "CREATE INDEX usage_num_year ON usage_details (employee_num, year);",
        "CREATE INDEX usage_date ON usage_details (use_date);",
        "CREATE INDEX attachments_request ON attachments (request_id);",
        "ANALYZE;",
    ]
)

FAMILY = (
    "小川",
    "長谷川",
    "近藤",
    "藤田",
    "後藤",
    "岡本",
    "石井",
    "前田",
    "𠮷村",
    "髙田",
    "Nguyễn",
    "Santos",
    "Müller",
)
GIVEN = ("葵", "陽菜", "蓮", "大翔", "結衣", "悠真", "Thị Lan", "José María", "Zoë", "明日香", "健", "ミゲル")
COMPANIES = ("名古屋製作所", "三河工場 第二", "浜松精機", "Werk Süd", "四日市物流", None)
# What breaks loaders that escape by hand: line ends, tabs, quotes, backslashes, NULL's spellings, other planes.
REASONS = (
    "家庭の用事のため休みます",
    "歯科の予約\n(午後から)",
    "引っ越し\r\n朝 9:00",
    'Parents\' visit, "golden week"',
    "D:\\new\\table\\file.txt",
    "一列目\t二列目",
    "",
    None,
    "運転免許の更新と市役所での手続き",
    "友人の結婚式 🎊",
    "a\\b\\n 'q' \"d\"\n\n終わり\\",
    "NULL",
    "\\N",
    '{"days": [1, 2, null]}',
    "体調がすぐれないため、一日お休みをいただきます。",
)
_FIRST_DAY = datetime.date(2018, 1, 1)
DAYS = tuple((_FIRST_DAY + datetime.timedelta(days=number)).isoformat() for number in range(3200))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.generate", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    generate(options.out, options.scale)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:,.0f} MB")
    return 0


def generate(path: Path, scale: float = 1.0) -> None:
    """Write a new database; a file that is there is replaced."""
    path.unlink(missing_ok=True)
    draw = random.Random(SEED)
    numbers = [f"{200_000 + index}" for index in range(max(1, int(EMPLOYEES * scale) // YEARS_PER_EMPLOYEE))]
    names = {number: _name(draw) for number in numbers}
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + TABLES)
        connection.execute("BEGIN")
        _fill(connection, "employees", int(EMPLOYEES * scale), lambda at, n: _employees(draw, numbers, names, at, n))
        for table in REGISTERS:
            _fill(connection, table, int(PEOPLE * scale), partial(_people, draw, numbers, table))
        requests = int(REQUESTS * scale)
        _fill(connection, "leave_requests", requests, lambda at, n: _requests(draw, numbers, names, n))
        _fill(connection, "usage_details", int(DETAILS * scale), lambda at, n: _details(draw, numbers, names, n))
        attached = int(ATTACHMENTS * scale)
        _fill(connection, "attachments", attached, lambda at, n: _attachments(draw, max(1, requests), at, n))
        connection.execute("COMMIT")
        connection.executescript(INDEXES)


def _fill(connection: sqlite3.Connection, table: str, rows: int, make: Callable[[int, int], list[Column]]) -> None:
    """`make(first row, rows)` gives the columns of one batch."""
    for start in range(0, rows, BATCH):
        columns = make(start, min(BATCH, rows - start))
        connection.executemany(
            f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", zip(*columns, strict=True)
        )


def _name(draw: random.Random) -> str:
    return f"{draw.choice(FAMILY)} {draw.choice(GIVEN)}"


def _names(draw: random.Random, count: int) -> list[str]:
    return [
        f"{family} {given}"
        for family, given in zip(draw.choices(FAMILY, k=count), draw.choices(GIVEN, k=count), strict=True)
    ]


def _moments(draw: random.Random, count: int, *, between: str = "T", fraction: bool = True) -> list[str]:
    """Times of day on random days, as text."""
    moments = []
    for day, second in zip(draw.choices(DAYS, k=count), draw.choices(range(86_400), k=count), strict=True):
        text = f"{day}{between}{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        moments.append(f"{text}.{draw.randrange(1_000_000):06d}" if fraction else text)
    return moments


def _some(draw: random.Random, values: Column, share: float) -> list[Any]:
    """The same values, a share of them, NULL elsewhere."""
    return [value if draw.random() < share else None for value in values]


def _employees(draw: random.Random, numbers: list[str], names: dict[str, str], at: int, count: int) -> list[Column]:
    num = [numbers[row % len(numbers)] for row in range(at, at + count)]
    year = [2020 + row // len(numbers) for row in range(at, at + count)]
    granted = draw.choices((10.0, 11.0, 12.0, 14.0, 16.0, 18.0, 20.0), k=count)
    used = [half * 0.5 for half in draw.choices(range(41), k=count)]
    return [
        [f"{one}_{of}" for one, of in zip(num, year, strict=True)],
        num,
        [names[one] for one in num],
        draw.choices(COMPANIES, k=count),
        granted,
        used,
        [have - taken for have, taken in zip(granted, used, strict=True)],
        draw.choices((1000, 1250.5, 4000 / 3, 1800.25), k=count),
        [taken / have * 100 for have, taken in zip(granted, used, strict=True)],
        year,
        draw.choices((0, 1), k=count),
        _moments(draw, count),
        _some(draw, _moments(draw, count), 0.5),
    ]


def _people(draw: random.Random, numbers: list[str], table: str, at: int, count: int) -> list[Column]:
    names = _names(draw, count)
    return [
        [f"{table}_{row:06d}" for row in range(at, at + count)],
        draw.choices(("在職中", "退職", "休職中"), k=count),
        draw.choices(numbers, k=count),
        draw.choices(COMPANIES, k=count),
        draw.choices(("組立", "検査", "塗装", None), k=count),
        draw.choices(("A1", "B2\tC", None), k=count),
        names,
        [f"ヨミ {name}" for name in names],
        draw.choices(("男", "女"), k=count),
        draw.choices(("日本", "ベトナム", "ブラジル", "フィリピン"), k=count),
        list(_sealed(draw, count)),
        draw.choices(range(18, 66), k=count),
        draw.choices(range(1000, 2500), k=count),
        draw.choices((None, "2023-10-01"), k=count),
        draw.choices(DAYS, k=count),
        draw.choices((None, None, "2024-06-30", ""), k=count),
        _moments(draw, count, between=" ", fraction=False),
    ]


def _sealed(draw: random.Random, count: int) -> Iterator[str]:
    """Text of the length and alphabet of an encrypted cell; there is nothing inside."""
    for _ in range(count):
        yield "gAAAAA" + base64.urlsafe_b64encode(draw.randbytes(69)).decode()


def _requests(draw: random.Random, numbers: list[str], names: dict[str, str], count: int) -> list[Column]:
    num = draw.choices(numbers, k=count)
    start = draw.choices(range(len(DAYS) - 10), k=count)
    approved = draw.choices((True, True, True, True, True, True, True, False, False, False), k=count)
    return [
        [None] * count,
        num,
        [names[one] for one in num],
        [DAYS[day] for day in start],
        [DAYS[day + more] for day, more in zip(start, draw.choices(range(4), k=count), strict=True)],
        draw.choices((0.5, 1.0, 2.0, 3.0), k=count),
        [draw.choice((None, 0.0, 2.25, draw.random() * 8)) for _ in range(count)],
        draw.choices(("full", "half_am", "half_pm", "hourly"), k=count),
        draw.choices(REASONS, k=count),
        ["APPROVED" if yes else other for yes, other in zip(approved, _undecided(draw, count), strict=True)],
        [int(DAYS[day][:4]) for day in start],
        ["manager01" if yes else None for yes in approved],
        [moment if yes else None for yes, moment in zip(approved, _moments(draw, count), strict=True)],
        draw.choices(range(1000, 2500), k=count),
        _moments(draw, count, between=" ", fraction=False),
    ]


def _undecided(draw: random.Random, count: int) -> list[str]:
    return draw.choices(("PENDING", "REJECTED"), k=count)


def _details(draw: random.Random, numbers: list[str], names: dict[str, str], count: int) -> list[Column]:
    num = draw.choices(numbers, k=count)
    day = draw.choices(DAYS, k=count)
    return [
        [None] * count,
        num,
        [names[one] for one in num],
        day,
        [int(one[:4]) for one in day],
        [int(one[5:7]) for one in day],
        draw.choices((0.5, 1.0, 1.0, 1.0), k=count),
        draw.choices((None, "2025-01-15T09:30:00.123456"), k=count),
    ]


def _attachments(draw: random.Random, requests: int, at: int, count: int) -> list[Column]:
    return [
        [None] * count,
        [draw.randrange(1, requests + 1) for _ in range(count)],
        [f"証明書_{row}.pdf" for row in range(at, at + count)],
        [draw.choice((None, b"", draw.randbytes(draw.randrange(1, 8192)))) for _ in range(count)],
    ]


if __name__ == "__main__":
    sys.exit(main())
