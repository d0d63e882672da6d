"""What the pages and the endpoints read: plain rows as dictionaries, the same on both databases."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from crypto import Cipher
from models import Base, Employee, Genzai, LeaveRequest, Staff, Ukeoi, UsageDetail

Row = dict[str, Any]
REGISTERS: Mapping[str, type[Genzai] | type[Ukeoi] | type[Staff]] = {"genzai": Genzai, "ukeoi": Ukeoi, "staff": Staff}
ENCRYPTED = ("birth_date", "hourly_wage")


def all_columns(model: type[Base]) -> Select[Any]:
    """A query for a table's rows as plain values: many times faster than objects, and lists are long."""
    return select(*model.__table__.columns)


def rows_of(session: Session, query: Select[Any]) -> Iterator[Row]:
    """Each row as a dictionary, fetched in pieces."""
    return (dict(row) for row in session.execute(query.execution_options(yield_per=1000)).mappings())


def employees(session: Session, *, year: int | None = None, limit: int | None = None) -> Iterator[Row]:
    """Leave accounts in the order of their ids."""
    query = all_columns(Employee).order_by(Employee.id).limit(limit)
    return rows_of(session, query if year is None else query.where(Employee.year == year))


def people(session: Session, register: str, cipher: Cipher, *, limit: int | None = None) -> Iterator[Row]:
    """A register's people with birth date and wage decrypted. Raises DecryptionError while it is read."""
    model = REGISTERS[register]
    for row in rows_of(session, all_columns(model).order_by(model.id).limit(limit)):
        for column in ENCRYPTED:
            row[column] = cipher.decrypt(row[column], table=register, column=column, row_key=row["id"])
        yield row


def leave_requests(
    session: Session, *, status: str | None = None, year: int | None = None, limit: int | None = None
) -> Iterator[Row]:
    """Requests, the newest first."""
    query = all_columns(LeaveRequest).order_by(LeaveRequest.id.desc()).limit(limit)
    if status is not None:
        query = query.where(LeaveRequest.status == status)
    return rows_of(session, query if year is None else query.where(LeaveRequest.year == year))


def search(session: Session, words: str, *, limit: int = 50) -> list[Row]:
    """People whose name or reading contains the words, from the registers and, once each, the leave accounts."""
    found: list[Row] = []
    for source, model in {**REGISTERS, "employees": Employee}.items():
        matches = model.name.icontains(words, autoescape=True) | model.kana.icontains(words, autoescape=True)
        query = select(model.employee_num, model.name, model.kana).where(matches).distinct()
        for row in session.execute(query.order_by(model.employee_num, model.name).limit(limit)).mappings():
            found.append({"source": source, **row})
    return found


def years(session: Session) -> list[int]:
    """The years that have leave accounts, the newest first."""
    return list(session.scalars(select(Employee.year).distinct().order_by(Employee.year.desc())))


def days_by_month(session: Session, year: int) -> list[float]:
    """Days taken in each month of a year, January first."""
    query = (
        select(UsageDetail.month, func.sum(UsageDetail.days_used))
        .where(UsageDetail.year == year)
        .group_by(UsageDetail.month)
    )
    sums = {month: float(days) for month, days in session.execute(query)}
    return [sums.get(month, 0.0) for month in range(1, 13)]


def balances(session: Session, year: int) -> list[float]:
    """The days left on each active account of a year."""
    query = select(Employee.balance).where(Employee.year == year, Employee.is_active)
    return [float(balance) for balance in session.scalars(query)]


def totals(session: Session, year: int) -> Row:
    """The figures at the top of the dashboard."""
    accounts, granted, used = session.execute(
        select(func.count(), func.sum(Employee.granted), func.sum(Employee.used)).where(Employee.year == year)
    ).one()
    pending = session.scalar(
        select(func.count())
        .select_from(LeaveRequest)
        .where(LeaveRequest.year == year, LeaveRequest.status == "pending")
    )
    return {"accounts": accounts, "granted": float(granted or 0), "used": float(used or 0), "pending": pending}


def count(session: Session, register: str) -> int:
    """How many people a register has."""
    return session.scalar(select(func.count()).select_from(REGISTERS[register])) or 0
