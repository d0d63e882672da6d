"""Leave: what a request costs, filing one, and letting those expire that nobody decided."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import ColumnElement, Double, case, cast, delete, func, select, update
from sqlalchemy.orm import Session

from models import Employee, LeaveRequest, UsageDetail

HOURS_OF_A_DAY = 8
FRIDAY = 4


class LeaveError(Exception):
    """A request that can't be granted. `status` is the HTTP status, `hint` what to do."""

    code: ClassVar[str]
    status: ClassVar[int] = 409
    hint: ClassVar[str]


class UnknownEmployee(LeaveError):
    code = "unknown_employee"
    status = 404
    hint = "Use an id from /api/employees, such as 100001_2025, of a person who is still active."


class NotEnoughDays(LeaveError):
    code = "not_enough_days"
    hint = "Ask for fewer days, or see the balance in /api/employees."


class NoWorkingDay(LeaveError):
    code = "no_working_day"
    status = 422
    hint = "Choose dates that include a day from Monday to Friday, in the year of the leave account."


class NewLeaveRequest(BaseModel):
    """The body of POST /api/leave-requests."""

    model_config = ConfigDict(extra="forbid")

    employee_id: str = Field(min_length=1, max_length=100)
    start_date: date
    end_date: date
    leave_type: Literal["full", "half_am", "half_pm", "hourly"] = "full"
    hours_requested: int | None = Field(default=None, ge=1, le=HOURS_OF_A_DAY - 1)
    reason: str | None = Field(default=None, max_length=2000)
    is_urgent: bool = False

    @model_validator(mode="after")
    def parts_fit_together(self) -> "NewLeaveRequest":
        if self.end_date < self.start_date:
            raise ValueError("end_date lies before start_date")
        if self.end_date - self.start_date > timedelta(days=60):
            raise ValueError("a request spans at most 60 days")
        if self.leave_type != "full" and self.start_date != self.end_date:
            raise ValueError("half days and hours are for one date")
        if (self.leave_type == "hourly") != (self.hours_requested is not None):
            raise ValueError("hours_requested belongs to leave_type hourly, and is needed there")
        if self.reason is not None and "\x00" in self.reason:
            raise ValueError("reason contains a NUL character")
        return self

    @property
    def share_of_a_day(self) -> Decimal:
        """What each date costs, in days."""
        if self.leave_type == "hourly":
            return Decimal(self.hours_requested or 0) / HOURS_OF_A_DAY
        return Decimal(1) if self.leave_type == "full" else Decimal("0.5")


@dataclass(frozen=True)
class Filed:
    """A request that was written."""

    id: int
    employee_id: str
    status: str
    days_requested: Decimal
    details: int


def working_days(start: date, end: date) -> list[date]:
    """The dates from Monday to Friday between two dates, both included."""
    dates = (start + timedelta(days=n) for n in range((end - start).days + 1))
    return [day for day in dates if day.weekday() <= FRIDAY]


def file_request(session: Session, wanted: NewLeaveRequest, *, now: datetime) -> Filed:
    """Write a pending request and its days, and take them off the balance. Raises LeaveError."""
    account = session.get(Employee, wanted.employee_id)
    if account is None or not account.is_active:
        raise UnknownEmployee(f"There is no active leave account {wanted.employee_id!r}.")
    days = [day for day in working_days(wanted.start_date, wanted.end_date) if day.year == account.year]
    if not days:
        raise NoWorkingDay(f"{wanted.start_date} to {wanted.end_date} has no working day in {account.year}.")
    total = wanted.share_of_a_day * len(days)
    take_days(session, account, total, now=now)
    request = LeaveRequest(
        **wanted.model_dump(exclude={"start_date", "end_date"}),
        employee_name=account.name,
        start_date=wanted.start_date.isoformat(),
        end_date=wanted.end_date.isoformat(),
        days_requested=total,
        status="pending",
        year=account.year,
        requested_at=now,
    )
    session.add(request)
    session.flush()
    session.add_all(detail_of(request, day, wanted.share_of_a_day, now) for day in days)
    return Filed(request.id, account.id, "pending", total, len(days))


def detail_of(request: LeaveRequest, day: date, share: Decimal, now: datetime) -> UsageDetail:
    """One day of a request."""
    return UsageDetail(
        employee_id=request.employee_id,
        request_id=request.id,
        use_date=day.isoformat(),
        year=day.year,
        month=day.month,
        days_used=share,
        created_at=now,
    )


def take_days(session: Session, account: Employee, days: Decimal, *, now: datetime) -> None:
    """Take days off a balance (negative: give them back), only while it covers them. Raises NotEnoughDays."""
    changed = session.execute(
        update(Employee)
        .where(Employee.id == account.id, Employee.balance >= days)
        .values(
            used=Employee.used + days,
            balance=Employee.balance - days,
            usage_rate=rate_after(days),
            updated_at=now,
        )
        .execution_options(synchronize_session=False)
    )
    if changed.rowcount != 1:  # type: ignore[attr-defined]
        raise NotEnoughDays(f"{account.id} has {account.balance:f} days left, the request needs {days:f}.")


def rate_after(days: Decimal) -> ColumnElement[float | None]:
    """Percent of the granted days that are taken when `days` more are; computed where the row is locked."""
    rate = cast(Employee.used + days, Double) * 100 / cast(Employee.granted, Double)
    return case((Employee.granted > 0, rate), else_=None)


def expire_requests(session: Session, *, before: date, limit: int, now: datetime) -> list[LeaveRequest]:
    """Expire the oldest pending requests that start before a date, and give their days back."""
    stale = session.scalars(
        select(LeaveRequest)
        .where(LeaveRequest.status == "pending", LeaveRequest.start_date < before.isoformat())
        .order_by(LeaveRequest.start_date, LeaveRequest.id)
        .limit(limit)
    ).all()
    for request in stale:
        days = session.scalar(
            select(func.coalesce(func.sum(UsageDetail.days_used), 0)).where(UsageDetail.request_id == request.id)
        )
        account = session.get_one(Employee, request.employee_id, populate_existing=True)
        session.execute(delete(UsageDetail).where(UsageDetail.request_id == request.id))
        if days:
            take_days(session, account, -Decimal(days), now=now)
        request.status = "expired"
        request.decided_at = now
    return list(stale)
