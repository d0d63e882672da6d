"""What a rollback costs now, before anyone clicks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from migrations_app.engine.back import change_queue
from migrations_app.engine.back.target_shape import UNCOUNTED
from migrations_app.engine.errors import EngineError
from migrations_app.models import MigrationRun, Replication
from migrations_app.models.states import Price, ReplicationState, RunKind, Strategy
from migrations_app.services.schedule import rollback_seconds
from migrations_app.steps.workplace import target_url_of


@dataclass(frozen=True)
class PriceTag:
    """rows: what would leave the application; None: the target can't be asked.

    by_table: {table: {'insert': n, 'update': n, 'delete': n}}. Online, flows_back: what changed since the switch is in
    SQLite again (flowed, rows and deletes) or comes there before the switch back (waiting, in PostgreSQL's queue).
    """

    price: Price
    rows: int | None
    by_table: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: int | None = None
    sentence: str = ""
    people: int = 1
    checked_at: datetime | None = None
    flows_back: bool = False
    flowed: int | None = None
    waiting: int | None = None

    @property
    def lossless(self) -> bool:
        """Whether nothing leaves the application: nothing changed, or every change flows back."""
        return self.price != Price.R3 or self.flows_back


def price_of(run: MigrationRun) -> PriceTag:
    """Look at what was done, and after the switch ask the target what has changed since."""
    seconds = rollback_seconds(run)
    now = timezone.now()
    done = set(run.steps.begun().values_list("name", flat=True))
    if run.strategy == Strategy.ONLINE and run.kind == RunKind.PRODUCTION:
        return _online(run, done, seconds, now)
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


def _online(run: MigrationRun, done: set[str], seconds: int | None, now: datetime) -> PriceTag:
    replication = Replication.objects.filter(application=run.application).first()
    if "cut_over" not in done:
        kept = " PostgreSQL goes on following it." if "copy_online" in done and _follows(replication) else ""
        return PriceTag(Price.R0, 0, {}, seconds, f"Nothing is lost: the application is on SQLite.{kept}", 1, now)
    if run.switched_at is None and _still_on_sqlite(replication):
        return PriceTag(Price.R0, 0, {}, seconds, "Nothing is lost: the crossing did not take place.", 1, now)
    try:
        count = change_queue.count(target_url_of(run))
    except EngineError:
        sentence = (
            "PostgreSQL can't be asked what has not yet flowed back to SQLite. What is not there by then stays in "
            "PostgreSQL and does not come back."
        )
        return PriceTag(Price.R3, None, {}, seconds, sentence, 2, now)
    flowed = replication.flowed_rows if replication is not None else 0
    if replication is None or not replication.is_live or (replication.window_since and not replication.window_open):
        why = replication.window_reason if replication is not None else ""
        if replication is not None and replication.error_code in UNCOUNTED:
            sentence = (
                f"{why} How many rows that leaves out isn't known: {count.total:,} recorded ones wait, and are saved to"
                " a file first. What PostgreSQL holds stays there, and leaves the application."
            )
            return PriceTag(Price.R3, None, _operations(count), seconds, sentence, 2, now)
        sentence = (
            f"{count.total:,} rows of PostgreSQL can't flow back to SQLite. {why} They are saved to a file first and "
            "leave the application."
        )
        return PriceTag(Price.R3, count.total, _operations(count), seconds, sentence, 2, now)
    if not flowed and not count.total:
        sentence = "Nothing is lost: no row has changed in PostgreSQL since the switch."
        return PriceTag(Price.R2, 0, {}, seconds, sentence, 1, now, True, 0, 0)
    sentence = (
        f"Nothing is lost: {flowed:,} changes have flowed back to SQLite, {count.total:,} rows wait and flow back "
        "before the application is switched."
    )
    return PriceTag(Price.R3, 0, _operations(count), seconds, sentence, 1, now, True, flowed, count.total)


def _follows(replication: Replication | None) -> bool:
    """Whether there is a copy that is still followed: what goes on after going back."""
    return (
        replication is not None
        and replication.is_live
        and replication.copied_at is not None
        and replication.state != ReplicationState.BROKEN
    )


def _still_on_sqlite(replication: Replication | None) -> bool:
    """The last look at both sides says that the freeze was given up, or has not begun."""
    return replication is not None and replication.facts.get("live") == "sqlite"


def _operations(count: change_queue.ChangeCount) -> dict[str, dict[str, int]]:
    return {
        name: {"insert": changes.inserts, "update": changes.updates, "delete": changes.deletes + changes.truncates}
        for name, changes in count.by_table.items()
    }
