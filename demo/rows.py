"""The rows of the sample application's tables, each made from the seed and its number, one at a time."""

import hashlib
import hmac
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import people
from people import draw

YEARS = (2024, 2025)
OPENED_AT = "2023-04-01 09:00:00.000000"
FIRST_DAY = date(YEARS[0], 1, 1)
USERS = (
    ("admin", "管理者", "admin@example.test", "admin", 1),
    ("manager01", "山田 課長", "manager01@example.test", "manager", 1),
    ("manager02", "O'Brien, 真理", "manager02@example.test", "manager", 1),
    ("viewer", "閲覧者", None, "viewer", 1),
    ("retired", "退職者", None, "viewer", 0),
)
PASSWORD = "yukyu-demo"
WORKER_PASSWORD = "!"  # opens nothing
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
