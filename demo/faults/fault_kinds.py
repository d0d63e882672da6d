"""The names of the faults, and what makes each."""

from collections.abc import Callable, Mapping

from asgi import Application
from broken import answers_500, does_not_start
from deaf import ignores_sigterm
from leaves_writer import leaves_a_writer
from lying_app import stays_on_sqlite, stays_on_sqlite_silently

FAULTS: Mapping[str, Callable[[], Application]] = {
    fault.__name__: fault
    for fault in (
        stays_on_sqlite,
        stays_on_sqlite_silently,
        does_not_start,
        answers_500,
        ignores_sigterm,
        leaves_a_writer,
    )
}

__all__ = ["FAULTS", "Application"]
