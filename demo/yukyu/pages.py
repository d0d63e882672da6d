"""The dashboard and the CSV download."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.templating import Jinja2Templates

import charts
import database
import queries
from api import Year, get_cipher
from settings import HERE, VERSION

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(directory=HERE / "templates")
ROWS_SHOWN = 50
CSV_COLUMNS = (
    *("id", "employee_num", "name", "kana", "haken", "year", "granted", "used", "balance", "expired", "usage_rate"),
    *("grant_date", "is_active", "notes", "updated_at"),
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@router.get("/")
def dashboard(request: Request, year: Year = None, show: Annotated[str, Query(pattern="^(all|)$")] = "") -> Response:
    """Figures, charts and tables of one year: the one asked for, else the newest."""
    with database.reading() as session:
        years = queries.years(session)
        year = year if year is not None else (years[0] if years else datetime.now().year)
        limit = None if show == "all" else ROWS_SHOWN
        registers = [
            {
                "name": name,
                "total": queries.count(session, name),
                "rows": list(queries.people(session, name, get_cipher(), limit=limit)),
            }
            for name in ("genzai", "ukeoi")
        ]
        context: dict[str, Any] = {
            "years": years,
            "year": year,
            "show": show,
            "totals": queries.totals(session, year),
            "charts": [
                charts.usage_by_month(queries.days_by_month(session, year)),
                charts.balance_distribution(queries.balances(session, year)),
            ],
            "registers": registers,
            "requests": list(islice(queries.leave_requests(session, year=year, limit=10), 10)),
            "database": database.get_engine().dialect.name,
            "version": VERSION,
        }
    return templates.TemplateResponse(request, "dashboard.html", context)


@router.get("/export.csv")
def export(year: Year = None) -> Response:
    """The leave accounts as CSV for a spreadsheet: UTF-8 with a mark, sent in pieces."""
    name = f"yukyu_{year}.csv" if year else "yukyu.csv"
    return StreamingResponse(
        csv_lines(year),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def csv_lines(year: int | None) -> Iterator[str]:
    """The file's lines, the header first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow(CSV_COLUMNS)
    with database.reading() as session:
        for number, row in enumerate(queries.employees(session, year=year), start=1):
            writer.writerow([csv_cell(row[column]) for column in CSV_COLUMNS])
            if number % 500 == 0:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
    yield buffer.getvalue()


def csv_cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula gets an apostrophe."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value
