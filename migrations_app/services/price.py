"""What a rollback costs now, before anyone clicks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from migrations_app.engine.back import change_queue
from migrations_app.engine.errors import EngineError
from migrations_app.models import MigrationRun
from migrations_app.models.states import Price, RunKind
from migrations_app.services.schedule import rollback_seconds
from migrations_app.steps.workplace import target_url_of


@dataclass(frozen=True)
class PriceTag:
    """rows None: the target can't be asked. by_table: {table: {'insert': n, 'update': n, 'delete': n}}."""

    price: Price
    rows: int | None
    by_table: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: int | None = None
    sentence: str = ""
    people: int = 1
    checked_at: datetime | None = None


def price_of(run: MigrationRun) -> PriceTag:
    """Look at what was done, and after the switch ask the target what has changed since."""
    seconds = rollback_seconds(run)
    now = timezone.now()
    done = set(run.steps.begun().values_list("name", flat=True))
    if run.kind == RunKind.REHEARSAL or "stop_application" not in done:
        return PriceTag(Price.R0, 0, {}, seconds, "Nothing is lost: the application was not touched.", 1, now)
    if "switch_configuration" not in done:
        sentence = "Nothing is lost: the application is stopped and its SQLite file is as it was."
        return PriceTag(Price.R1, 0, {}, seconds, sentence, 1, now)
    return _after_the_switch(run, seconds, now)


def _after_the_switch(run: MigrationRun, seconds: int | None, now: datetime) -> PriceTag:
    try:
        count = change_queue.count(target_url_of(run))
    except EngineError:
        sentence = (
            "PostgreSQL can't be asked how much was written since the switch. What was written there stays there "
            "and does not come back to SQLite."
        )
        return PriceTag(Price.R3, None, {}, seconds, sentence, 2, now)
    if count.total == 0:
        sentence = "Nothing is lost: no row has changed in PostgreSQL since the switch."
        return PriceTag(Price.R2, 0, {}, seconds, sentence, 1, now)
    sentence = (
        f"{count.total:,} rows were written to PostgreSQL since the switch. They are saved to a file first and leave "
        "the application."
    )
    return PriceTag(Price.R3, count.total, _operations(count), seconds, sentence, 2, now)


def _operations(count: change_queue.ChangeCount) -> dict[str, dict[str, int]]:
    return {
        name: {"insert": changes.inserts, "update": changes.updates, "delete": changes.deletes + changes.truncates}
        for name, changes in count.by_table.items()
    }
