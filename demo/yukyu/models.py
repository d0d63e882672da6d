"""The tables. The schema itself is made by Alembic (`alembic upgrade head`), which a test compares with this."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite numbers rows only in a column declared exactly INTEGER.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")
DOCUMENT = JSON().with_variant(JSONB, "postgresql")
LEAVE_TYPES = ("full", "half_am", "half_pm", "hourly")
REQUEST_STATES = ("pending", "approved", "rejected", "cancelled", "expired")


def one_of(column: str, values: tuple[str, ...]) -> str:
    """The text of a check that a column holds one of some words."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Base(DeclarativeBase):
    """Names of constraints are fixed, so that both databases and all revisions agree on them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Employee(Base):
    """One person's leave account in one year, `id` being `<employee number>_<year>`. Amounts are days."""

    __tablename__ = "employees"
    __table_args__ = (
        UniqueConstraint("employee_num", "year"),
        CheckConstraint("granted >= 0 AND used >= 0", name="days_not_negative"),
        CheckConstraint("year BETWEEN 1950 AND 2200", name="year_plausible"),
        Index("ix_employees_year_name", "year", "name"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    employee_num: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    kana: Mapped[str | None] = mapped_column(Text)
    haken: Mapped[str | None] = mapped_column(Text)
    granted: Mapped[Decimal] = mapped_column(Numeric(7, 3), server_default=text("0"))
    used: Mapped[Decimal] = mapped_column(Numeric(7, 3), server_default=text("0"))
    balance: Mapped[Decimal] = mapped_column(Numeric(7, 3), server_default=text("0"))
    expired: Mapped[Decimal | None] = mapped_column(Numeric(7, 3))
    usage_rate: Mapped[float | None] = mapped_column(Double)
    year: Mapped[int] = mapped_column(Integer)
    grant_date: Mapped[str | None] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    notes: Mapped[str | None] = mapped_column(Text)
    profile: Mapped[Any] = mapped_column(DOCUMENT, nullable=True)
    created_at: Mapped[datetime] = mapped_column(DateTime)
    updated_at: Mapped[datetime | None] = mapped_column(DateTime)


class PersonColumns:
    """What the three registers of people share, as their first columns. Birth dates and wages are encrypted."""

    id: Mapped[str] = mapped_column(Text, primary_key=True, sort_order=-1)
    employee_num: Mapped[str] = mapped_column(Text, index=True, sort_order=-1)
    status: Mapped[str] = mapped_column(Text, sort_order=-1)
    name: Mapped[str] = mapped_column(Text, sort_order=-1)
    kana: Mapped[str | None] = mapped_column(Text, sort_order=-1)
    gender: Mapped[str | None] = mapped_column(Text, sort_order=-1)
    nationality: Mapped[str | None] = mapped_column(Text, sort_order=-1)
    birth_date: Mapped[str | None] = mapped_column(Text, sort_order=-1)
    age: Mapped[int | None] = mapped_column(Integer, sort_order=-1)
    hourly_wage: Mapped[str | None] = mapped_column(Text, sort_order=-1)
    hire_date: Mapped[str | None] = mapped_column(Text, sort_order=-1)
    leave_date: Mapped[str | None] = mapped_column(Text, sort_order=-1)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true(), sort_order=-1)
    updated_at: Mapped[datetime | None] = mapped_column(DateTime, sort_order=-1)


class Genzai(PersonColumns, Base):
    """Dispatched employees, at a client's workplace."""

    __tablename__ = "genzai"

    dispatch_id: Mapped[int | None] = mapped_column(BigInteger)
    dispatch_name: Mapped[str | None] = mapped_column(Text)
    department: Mapped[str | None] = mapped_column(Text)
    line: Mapped[str | None] = mapped_column(Text)
    wage_revision: Mapped[str | None] = mapped_column(Text)


class Ukeoi(PersonColumns, Base):
    """Contract workers, on work that we run ourselves."""

    __tablename__ = "ukeoi"

    contract_business: Mapped[str | None] = mapped_column(Text)
    commute_km: Mapped[float | None] = mapped_column(Double)


class Staff(PersonColumns, Base):
    """Office staff."""

    __tablename__ = "staff"

    office: Mapped[str | None] = mapped_column(Text)
    postal_code: Mapped[str | None] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(Text)
    has_spouse: Mapped[bool | None] = mapped_column(Boolean)


class User(Base):
    """Who signs in, and the account of the background worker, whose `last_seen_at` is its heartbeat."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(one_of("role", ("admin", "manager", "viewer", "service")), name="role_known"),
        Index("uq_users_email", "email", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    username: Mapped[str] = mapped_column(Text, unique=True)
    display_name: Mapped[str] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    last_seen_at: Mapped[datetime | None] = mapped_column(DateTime)
    created_at: Mapped[datetime] = mapped_column(DateTime)


class LeaveRequest(Base):
    """A request for leave. Dates are text, YYYY-MM-DD; times are local and naive."""

    __tablename__ = "leave_requests"
    __table_args__ = (
        CheckConstraint("days_requested > 0", name="some_days"),
        CheckConstraint("end_date >= start_date", name="dates_in_order"),
        CheckConstraint(one_of("leave_type", LEAVE_TYPES), name="leave_type_known"),
        CheckConstraint(one_of("status", REQUEST_STATES), name="status_known"),
        Index("ix_leave_requests_employee_id", "employee_id"),
        Index(
            "ix_leave_requests_pending",
            "start_date",
            sqlite_where=text("status = 'pending'"),
            postgresql_where=text("status = 'pending'"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(ROW_ID, Identity(), primary_key=True)
    employee_id: Mapped[str] = mapped_column(Text, ForeignKey("employees.id"))
    employee_name: Mapped[str] = mapped_column(Text)
    start_date: Mapped[str] = mapped_column(Text)
    end_date: Mapped[str] = mapped_column(Text)
    days_requested: Mapped[Decimal] = mapped_column(Numeric(5, 3))
    hours_requested: Mapped[float | None] = mapped_column(Double)
    leave_type: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default=text("'pending'"))
    is_urgent: Mapped[bool] = mapped_column(Boolean, server_default=false())
    year: Mapped[int] = mapped_column(Integer)
    decided_by: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="SET NULL"))
    requested_at: Mapped[datetime] = mapped_column(DateTime)
    decided_at: Mapped[datetime | None] = mapped_column(DateTime)


class UsageDetail(Base):
    """A day, or part of one, taken from a leave account. With no request it came from an old spreadsheet."""

    __tablename__ = "yukyu_usage_details"
    __table_args__ = (
        CheckConstraint("month BETWEEN 1 AND 12", name="month_of_year"),
        CheckConstraint("days_used > 0 AND days_used <= 1", name="at_most_a_day"),
        Index("ix_yukyu_usage_details_year_month", "year", "month"),
        Index("ix_yukyu_usage_details_employee_id", "employee_id"),
        Index("ix_yukyu_usage_details_request_id", "request_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(ROW_ID, Identity(), primary_key=True)
    employee_id: Mapped[str] = mapped_column(Text, ForeignKey("employees.id"))
    request_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("leave_requests.id", ondelete="CASCADE"))
    use_date: Mapped[str] = mapped_column(Text)
    year: Mapped[int] = mapped_column(Integer)
    month: Mapped[int] = mapped_column(Integer)
    days_used: Mapped[Decimal] = mapped_column(Numeric(5, 3))
    created_at: Mapped[datetime | None] = mapped_column(DateTime)
