"""The JSON endpoints. A list holds every row of its table unless the caller limits it."""

import json
import logging
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError

import database
import queries
from crypto import Cipher
from leave import LeaveError, NewLeaveRequest, file_request
from mail import send_mail
from settings import VERSION, get_settings

router = APIRouter()
log = logging.getLogger("yukyu")

Limit = Annotated[int | None, Query(ge=1, le=1_000_000)]
Year = Annotated[int | None, Query(ge=1950, le=2200)]
Status = Literal["pending", "approved", "rejected", "cancelled", "expired"]


@lru_cache(maxsize=1)
def get_cipher() -> Cipher:
    """The cipher of this process's key."""
    return Cipher(get_settings().encryption_key)


def plain(value: object) -> object:
    """What JSON has no word for: days are numbers, times are ISO texts."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no JSON form for {type(value).__name__}")


def answer(content: object, status: int = 200) -> Response:
    """A JSON answer, written without FastAPI's encoder, which takes seconds for long lists."""
    body = json.dumps(content, ensure_ascii=False, default=plain, separators=(",", ":"))
    return Response(body, status_code=status, media_type="application/json")


def listing(rows: Iterable[dict[str, Any]]) -> Response:
    return answer(list(rows))


def refusal(code: str, message: str, hint: str, status: int) -> Response:
    """Every error has the same form."""
    return answer({"error": {"code": code, "message": message, "hint": hint}}, status)


def invalid_request(_request: Request, error: Exception) -> Response:
    """What is wrong with each field, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    problems = (f"{'.'.join(map(str, each['loc'][1:])) or 'body'}: {each['msg']}" for each in error.errors())
    return refusal("invalid_request", "; ".join(problems), "Correct the fields that are named.", 422)


def leave_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, LeaveError)
    return refusal(error.code, str(error), error.hint, error.status)


def decryption_error(_request: Request, error: Exception) -> Response:
    log.error("%s", error)
    return refusal("decryption_failed", str(error), "Check DATABASE_ENCRYPTION_KEY, then the row itself.", 500)


def database_error(_request: Request, error: Exception) -> Response:
    # The text of a driver's error quotes addresses and values, so the client learns the kind only.
    log.error("database: %s", type(error).__name__)
    return refusal("database_unavailable", "The database didn't answer.", "Try again; see /health.", 503)


@router.get("/health")
@router.get("/api/health")
def health() -> Response:
    """Healthy only if a query on the database in use succeeds; the dialect is that of the open engine."""
    report = {"status": "healthy", "database": database.get_engine().dialect.name, "version": VERSION}
    try:
        report["schema"] = database.schema_revision() or "none"
    except SQLAlchemyError as error:
        log.error("health: %s", type(error).__name__)
        return answer({**report, "status": "unhealthy", "error": type(error).__name__}, 503)
    return answer(report)


@router.get("/api/db-status")
def db_status() -> Response:
    """Dialect, server and pool."""
    return answer(database.describe())


@router.get("/api/employees")
def list_employees(year: Year = None, limit: Limit = None) -> Response:
    with database.reading() as session:
        return listing(queries.employees(session, year=year, limit=limit))


@router.get("/api/genzai")
def list_genzai(limit: Limit = None) -> Response:
    with database.reading() as session:
        return listing(queries.people(session, "genzai", get_cipher(), limit=limit))


@router.get("/api/ukeoi")
def list_ukeoi(limit: Limit = None) -> Response:
    with database.reading() as session:
        return listing(queries.people(session, "ukeoi", get_cipher(), limit=limit))


@router.get("/api/staff")
def list_staff(limit: Limit = None) -> Response:
    with database.reading() as session:
        return listing(queries.people(session, "staff", get_cipher(), limit=limit))


@router.get("/api/leave-requests")
def list_leave_requests(status: Status | None = None, year: Year = None, limit: Limit = None) -> Response:
    with database.reading() as session:
        return listing(queries.leave_requests(session, status=status, year=year, limit=limit))


@router.post("/api/leave-requests", status_code=201)
def create_leave_request(wanted: NewLeaveRequest) -> Response:
    """File a request; answers with its id, the days it costs and how many details were written."""
    now = datetime.now()
    with database.writing() as session:
        filed = file_request(session, wanted, now=now)
    send_mail(get_settings(), to=filed.employee_id, subject=f"Leave request {filed.id} was received", now=now)
    return answer(vars(filed), 201)


@router.get("/api/search")
def search(q: Annotated[str, Query(min_length=1, max_length=100)]) -> Response:
    """People whose name or reading contains `q`."""
    with database.reading() as session:
        return answer(queries.search(session, q.replace("\x00", "")))
