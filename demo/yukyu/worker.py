"""The background worker (`python worker.py`): a heartbeat, and requests that nobody decided in time expire.

Ends within a moment on SIGTERM or SIGINT, after the transaction under way. With WORKER_ENABLED=0 it stays, and touches
nothing.
"""

import logging
import signal
import threading
from datetime import date, datetime, timedelta
from types import FrameType

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import database
from leave import expire_requests
from mail import send_mail
from models import User
from settings import Settings, get_settings

SERVICE_ACCOUNT = "worker"
GRACE = timedelta(days=7)
BATCH = 5
log = logging.getLogger("yukyu.worker")


def beat(session: Session, *, now: datetime) -> None:
    """Note in the service account that the worker lives; the account is made when it is missing."""
    account = session.scalar(select(User).where(User.username == SERVICE_ACCOUNT))
    if account is None:
        account = User(
            username=SERVICE_ACCOUNT,
            display_name="Background worker",
            password_hash="!",
            role="service",
            created_at=now,
        )
        session.add(account)
    account.last_seen_at = now


def work_once(settings: Settings, *, now: datetime) -> int:
    """One pass, in one transaction; tells how many requests expired."""
    with database.writing() as session:
        beat(session, now=now)
        stale = expire_requests(session, before=date.fromordinal((now - GRACE).toordinal()), limit=BATCH, now=now)
        letters = [(request.employee_id, f"Leave request {request.id} has expired") for request in stale]
    for to, subject in letters:
        send_mail(settings, to=to, subject=subject, now=now)
    return len(letters)


def run(settings: Settings, stop: threading.Event) -> None:
    """Pass after pass until asked to stop. A database that is away is tried again at the next pass."""
    while not stop.is_set():
        try:
            expired = work_once(settings, now=datetime.now())
            log.info("pass done, %d requests expired", expired)
        except SQLAlchemyError as error:
            log.warning("pass failed: %s", type(error).__name__)
        stop.wait(settings.worker_interval_seconds)
    database.close_database()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = get_settings()
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    if settings.worker_enabled:
        log.info("working on %s every %g s", settings.database_type, settings.worker_interval_seconds)
        run(settings, stop)
    else:
        log.info("disabled by WORKER_ENABLED; waiting for the end")
        stop.wait()


if __name__ == "__main__":
    main()
