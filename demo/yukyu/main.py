"""Yukyu, paid leave: the web application (`python -m uvicorn main:app`)."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError

import api
import database
import pages
from crypto import DecryptionError
from leave import LeaveError
from logs import write_logs
from settings import HERE, VERSION, get_settings

log = logging.getLogger("uvicorn.error")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Say which database is in use; close its connections at the end."""
    settings = get_settings()
    write_logs(access_log=settings.access_log, app_log=settings.app_log)
    log.info("yukyu %s on %s", VERSION, database.get_engine().dialect.name)
    yield
    database.close_database()


def build_app() -> FastAPI:
    """The application. Bad settings end the process here, with a sentence and exit status 2."""
    get_settings()
    app = FastAPI(title="Yukyu", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_exception_handler(RequestValidationError, api.invalid_request)
    app.add_exception_handler(LeaveError, api.leave_error)
    app.add_exception_handler(DecryptionError, api.decryption_error)
    app.add_exception_handler(SQLAlchemyError, api.database_error)
    return app


app = build_app()
