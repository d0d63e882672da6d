"""Logs in files, as a web server keeps them: requests in the common format, all else a line with its level."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from uvicorn.logging import AccessFormatter

LARGEST = 5_000_000  # bytes; then a file is rotated
_COMMON = '%(client_addr)s - - [%(asctime)s] "%(request_line)s" %(status_code)s -'


def write_logs(*, access_log: Path | None, app_log: Path | None) -> None:
    """Add files to what uvicorn prints. Doing it again adds nothing."""
    if access_log is not None:
        common = AccessFormatter(fmt=_COMMON, datefmt="%d/%b/%Y:%H:%M:%S %z", use_colors=False)
        _add("uvicorn.access", access_log, common)
    if app_log is not None:
        line = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
        _add("uvicorn.error", app_log, line)


def _add(name: str, path: Path, formatter: logging.Formatter) -> None:
    logger = logging.getLogger(name)
    if any(isinstance(handler, RotatingFileHandler) for handler in logger.handlers):
        return
    handler = RotatingFileHandler(path, maxBytes=LARGEST, backupCount=2)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
