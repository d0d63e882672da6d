"""Make a SQLite database of the sample application, of any size: the same arguments give the same rows.

    python demo/generate.py OUT.db --employees 800 --requests 2000 --details 8000 --seed 7

The schema is made by the application's own migrations. Rows are written in a stream, so memory doesn't grow with them.
"""

import argparse
import os
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from rows import (
    PASSWORD,
    USERS,
    CellCipher,
    Row,
    Size,
    employees,
    leave_requests,
    register,
    usage_details,
    users,
)

APPLICATION = Path(__file__).resolve().parent / "yukyu"
# Demonstrations only; the same as in yukyu/.env.example.
DEMO_KEY = b"yukyu-demo-key-only-for-demos-01".hex()
REGISTERS = (("genzai", 55), ("ukeoi", 30), ("staff", 15))


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
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB")
    print(f"{size.employees} leave accounts, {size.requests} requests, {size.details} days taken")
    print(f"sign-ins: {', '.join(name for name, *_ in USERS)}; password: {PASSWORD}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
