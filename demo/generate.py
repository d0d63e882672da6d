"""Make a SQLite database of the sample application, of any size: the same arguments give the same rows.

    python demo/generate.py OUT.db --employees 800 --requests 2000 --details 8000 --seed 7

The schema is made by the application's own migrations. Rows are written in a stream, so memory doesn't grow with them.
"""

import argparse
import hashlib
import hmac
import os
import random
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import people
from people import draw

APPLICATION = Path(__file__).resolve().parent / "yukyu"
YEARS = (2024, 2025)
OPENED_AT = "2023-04-01 09:00:00.000000"
FIRST_DAY = date(YEARS[0], 1, 1)
# Demonstrations only; the same as in yukyu/.env.example.
DEMO_KEY = b"yukyu-demo-key-only-for-demos-01".hex()
USERS = (
    ("admin", "管理者", "admin@example.test", "admin", 1),
    ("manager01", "山田 課長", "manager01@example.test", "manager", 1),
    ("manager02", "O'Brien, 真理", "manager02@example.test", "manager", 1),
    ("viewer", "閲覧者", None, "viewer", 1),
    ("retired", "退職者", None, "viewer", 0),
)
PASSWORD = "yukyu-demo"
WORKER_PASSWORD = "!"  # opens nothing
REGISTERS = (("genzai", 55), ("ukeoi", 30), ("staff", 15))

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Size:
    """How many rows to make. `employees` are leave accounts: one a person and year."""

    employees: int
    requests: int
    details: int
    seed: int

    @property
    def persons(self) -> int:
        return -(-self.employees // len(YEARS))

    def account(self, number: int) -> tuple[int, int]:
        """Person and year of the leave account with this number."""
        return number % self.persons, YEARS[number // self.persons]


class CellCipher:
    """Encrypts reproducibly: the nonce follows from the seed, the cell and its plaintext, so none is used twice."""

    def __init__(self, key: bytes, seed: int) -> None:
        from crypto import Cipher

        self._key, self._seed, self._cipher = key, seed, Cipher(key)

    def encrypt(self, table: str, column: str, row_key: str, plaintext: str) -> str:
        place = "|".join((str(self._seed), table, column, row_key, plaintext))
        return self._cipher.encrypt(plaintext, hmac.new(self._key, place.encode(), hashlib.sha256).digest()[:12])


def make_schema(path: Path) -> None:
    """Run the application's migrations on a new file."""
    from alembic import command
    from alembic.config import Config

    config = Config(APPLICATION / "alembic.ini", attributes={"url": f"sqlite:///{path}"})
    command.upgrade(config, "head")


def insert(connection: sqlite3.Connection, table: str, columns: str, rows: Iterable[Row]) -> None:
    """Insert rows as they come."""
    marks = ", ".join("?" * len(columns.split()))
    connection.executemany(f"INSERT INTO {table} ({', '.join(columns.split())}) VALUES ({marks})", rows)


def password_hash(password: str, salt: bytes) -> str:
    """scrypt, with its parameters beside it."""
    digest = hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)
    return f"scrypt$16384$8$1${salt.hex()}${digest.hex()}"


def users(seed: int) -> Iterator[Row]:
    """People who sign in, and the worker's account, which nobody can."""
    for username, display_name, email, role, is_active in USERS:
        salt = draw(seed, "salt", username).to_bytes(8, "big")
        yield (
            username,
            display_name,
            email,
            password_hash(PASSWORD, salt),
            role,
            is_active,
            "2023-04-01 09:00:00.000000",
        )
    yield "worker", "Background worker", None, WORKER_PASSWORD, "service", 0, OPENED_AT


def employees(size: Size) -> Iterator[Row]:
    """Leave accounts; what was used is filled in at the end, from the details."""
    for number in range(size.employees):
        person, year = size.account(number)
        name, kana = people.full_name(size.seed, person)
        dice = draw(size.seed, "employee", number)
        yield (
            people.account_id(person, year),
            people.employee_number(person),
            name,
            kana if dice % 11 else None,
            people.WORKPLACES[dice // 3 % len(people.WORKPLACES)],
            (10, 11, 12, 14, 16, 18, 20, 30.5, 40)[dice // 5 % 9],
            (None, 0, 1.5, 2.125)[dice // 13 % 4],
            year,
            people.day(date(year, 4, 1), dice // 17, 180) if dice % 5 else ("" if dice % 2 else None),
            dice // 19 % 12 > 0,
            people.TEXTS[dice // 23 % len(people.TEXTS)],
            people.PROFILES[dice // 29 % len(people.PROFILES)],
            people.moment(FIRST_DAY, dice // 31),
        )


def register(size: Size, table: str, first: int, last: int, cipher: CellCipher) -> Iterator[Row]:
    """A register's people: what the three have in common, then its own columns."""
    for person in range(first, last):
        key = f"{table}_{person - first + 1:06d}"
        name, kana = people.full_name(size.seed, person)
        dice = draw(size.seed, table, person)
        age = 18 + dice % 48
        born = people.day(date(2025 - age, 1, 1), dice // 3, 364)
        state = people.STATES[dice // 5 % len(people.STATES)]
        yield (
            key,
            people.employee_number(person),
            state,
            name,
            kana,
            ("男", "女", None)[dice // 7 % 3],
            people.NATIONALITIES[dice // 11 % len(people.NATIONALITIES)],
            cipher.encrypt(table, "birth_date", key, born) if dice % 50 else None,
            age,
            cipher.encrypt(table, "hourly_wage", key, str(1000 + dice // 13 % 1500)) if dice % 40 else None,
            people.day(date(2015, 4, 1), dice // 17, 3500),
            people.day(date(2025, 1, 1), dice // 19, 300) if state == "退社" else ("", None)[dice // 23 % 2],
            state != "退社",
            people.moment(FIRST_DAY, dice // 29) if dice % 6 else None,
            *own_columns(table, dice // 31),
        )


def own_columns(table: str, dice: int) -> Row:
    """The columns that only one register has."""
    if table == "genzai":
        place = dice % len(people.WORKPLACES)
        department, line = people.DEPARTMENTS[dice // 3 % 6], people.LINES[dice // 5 % 4]
        return 9_000_000_000 + place, people.WORKPLACES[place], department, line, ("2025-04-01", None)[dice // 7 % 2]
    if table == "ukeoi":
        return people.WORKPLACES[dice % len(people.WORKPLACES)], (None, 0.0, 0.1, 12.75, 1 / 3 * (dice % 90))[
            dice // 7 % 5
        ]
    address = f"愛知県豊田市{dice % 9 + 1}-{dice // 9 % 30}\nコーポ「みどり」{dice // 300 % 400}号"
    return people.OFFICES[dice % 3], f"471-{dice % 9000:04d}", address, (None, 0, 1)[dice // 3 % 3]


def leave_requests(size: Size) -> Iterator[Row]:
    """Requests in the order of time, each within its account's year."""
    choose = random.Random(f"{size.seed} requests")
    for number in range(size.requests):
        person, year = size.account(choose.randrange(size.employees))
        kind = choose.choice(("full", "full", "full", "half_am", "half_pm", "hourly"))
        start = date(year, 1, 1) + timedelta(days=choose.randrange(360))
        length = choose.randint(1, 4) if kind == "full" else 1
        hours = choose.randint(1, 7) if kind == "hourly" else None
        share = {"full": 1, "hourly": (hours or 0) / 8}.get(kind, 0.5)
        state = choose.choices(("approved", "pending", "rejected", "cancelled", "expired"), (70, 9, 9, 7, 5))[0]
        asked = people.moment(start - timedelta(days=40), choose.randrange(30) + 730 * choose.randrange(10**9))
        yield (
            people.account_id(person, year),
            people.full_name(size.seed, person)[0],
            start.isoformat(),
            (start + timedelta(days=length - 1)).isoformat(),
            length * share,
            None if hours is None else float(hours),
            kind,
            choose.choice(people.TEXTS),
            state,
            number % 17 == 0,
            year,
            None if state in ("pending", "expired", "cancelled") else choose.randint(2, 3),
            asked,
            None if state == "pending" else start.isoformat() + " 08:30:00.000000",
        )


def usage_details(size: Size, requests: Iterable[Row]) -> Iterator[Row]:
    """First the days of the requests that count, then single days from old spreadsheets, up to the number wanted."""
    choose = random.Random(f"{size.seed} details")
    left = size.details
    for key, account, start, days, asked in requests:
        for offset in range(max(1, int(days))):
            if left == 0:
                return
            left -= 1
            used = date.fromisoformat(start) + timedelta(days=offset)
            yield account, key, used.isoformat(), used.year, used.month, min(1, days), asked
    for _ in range(left):
        person, year = size.account(choose.randrange(size.employees))
        used = date(year, 1, 1) + timedelta(days=choose.randrange(365))
        yield (
            people.account_id(person, year),
            None,
            used.isoformat(),
            year,
            used.month,
            choose.choice((0.5, 1, 1, 1)),
            None,
        )


COUNTING_REQUESTS = """
    SELECT id, employee_id, start_date, days_requested, requested_at FROM leave_requests
    WHERE status IN ('approved', 'pending') ORDER BY id
"""
# Nobody takes more than was granted, so an account with many days gets as many granted as it needs.
SETTLE_ACCOUNTS = """
    UPDATE employees SET used = taken.days, granted = max(granted, taken.days),
        balance = max(granted, taken.days) - taken.days, usage_rate = 100.0 * taken.days / max(granted, taken.days)
    FROM (SELECT e.id, coalesce(sum(d.days_used), 0) AS days FROM employees e
          LEFT JOIN yukyu_usage_details d ON d.employee_id = e.id GROUP BY e.id) AS taken
    WHERE taken.id = employees.id
"""
PERSON = (
    "id employee_num status name kana gender nationality birth_date age hourly_wage hire_date leave_date is_active "
    "updated_at "
)
OWN = {
    "genzai": "dispatch_id dispatch_name department line wage_revision",
    "ukeoi": "contract_business commute_km",
    "staff": "office postal_code address has_spouse",
}
USER = "username display_name email password_hash role is_active created_at"
EMPLOYEE = "id employee_num name kana haken granted expired year grant_date is_active notes profile created_at"
REQUEST = (
    "employee_id employee_name start_date end_date days_requested hours_requested leave_type reason status is_urgent "
    "year decided_by requested_at decided_at"
)
DETAIL = "employee_id request_id use_date year month days_used created_at"


def fill(connection: sqlite3.Connection, size: Size, cipher: CellCipher) -> None:
    """Write all rows in one transaction."""
    with connection:
        insert(
            connection, "users", "username display_name email password_hash role is_active created_at", users(size.seed)
        )
        insert(connection, "employees", EMPLOYEE, employees(size))
        first = 0
        for table, percent in REGISTERS:
            last = size.persons if table == "staff" else first + size.persons * percent // 100
            insert(connection, table, PERSON + OWN[table], register(size, table, first, last, cipher))
            first = last
        insert(connection, "leave_requests", REQUEST, leave_requests(size))
        requests = connection.execute(COUNTING_REQUESTS)
        insert(connection, "yukyu_usage_details", DETAIL, usage_details(size, requests))
        connection.execute(SETTLE_ACCOUNTS)


def generate(path: Path, size: Size, key: bytes) -> None:
    """Build the database beside its place and move it there when it is complete."""
    sys.path.insert(0, str(APPLICATION))
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    try:
        make_schema(part)
        with closing(sqlite3.connect(part)) as connection:
            connection.execute("PRAGMA journal_mode=off")
            connection.execute("PRAGMA synchronous=off")
            fill(connection, size, CellCipher(key, size.seed))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, metavar="OUT.db")
    parser.add_argument("--employees", type=positive, default=800, help="leave accounts, two a person (800)")
    parser.add_argument("--requests", type=not_negative, default=2000, help="leave requests (2000)")
    parser.add_argument("--details", type=not_negative, default=8000, help="days taken (8000)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same rows (7)")
    parser.add_argument("--force", action="store_true", help="replace OUT.db")
    given = parser.parse_args()
    if given.out.exists() and not given.force:
        parser.error(f"{given.out} is there already; --force replaces it")
    try:
        key = bytes.fromhex(os.environ.get("DATABASE_ENCRYPTION_KEY", DEMO_KEY))
    except ValueError:
        key = b""
    if len(key) != 32:
        parser.error("DATABASE_ENCRYPTION_KEY must be 64 hexadecimal digits")
    size = Size(given.employees, given.requests, given.details, given.seed)
    generate(given.out.resolve(), size, key)
    print(
        f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB, {size.employees} employees, {size.requests} requests,"
    )
    print(f"{size.details} details; sign-ins {', '.join(name for name, *_ in USERS)}, password {PASSWORD}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
