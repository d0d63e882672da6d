"""Integrity of the target while the application works on it: no orphans, what is unique is, sequences ahead, encrypted
cells open, dates read as before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from migrations_app.engine.control import Control
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.target.target import application_name, cancelling, connect, transaction
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare_constraints import compare_sequences, count_orphans
from migrations_app.engine.verify.compare_encrypted import EncryptedResult, check_encrypted
from migrations_app.engine.verify.date_columns import DateCheck, DateColumn, check_dates
from migrations_app.engine.verify.decrypt import DecryptCheck
from migrations_app.engine.verify.differences import Difference
from migrations_app.engine.verify.uniques import check_uniques


@dataclass(frozen=True)
class IntegrityReport:
    """`problems` are sentences; `inconclusive` says what could not be tried, which proves nothing.

    uniques: how many unique indexes were re-checked on the rows.
    """

    problems: tuple[str, ...]
    inconclusive: tuple[str, ...]
    decrypted: tuple[DecryptCheck, ...]
    uniques: int = 0
    dates: tuple[DateCheck, ...] = ()

    @property
    def sentence(self) -> str:
        said = ["no orphans", "sequences ahead of their columns"]
        if self.uniques:
            said.append(f"{self.uniques:,} unique keys hold")
        if self.decrypted:
            said.append(f"{sum(check.opened for check in self.decrypted):,} encrypted cells open")
        if self.dates:
            said.append(f"{sum(check.values for check in self.dates):,} dates read as YYYY-MM-DD")
        return ", ".join(said)

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def check_integrity(
    url: TargetUrl,
    plan: MovePlan,
    *,
    environment: Mapping[str, str],
    control: Control,
    dates: tuple[DateColumn, ...] = (),
) -> IntegrityReport:
    """Look at one moment of the target (repeatable read). Raises what connect() raises; Cancelled."""
    connection = connect(url, application_name=application_name("integrity", 0))
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with cancelling(connection, control), transaction(connection, "checking integrity") as cursor:
            found = [*compare_sequences(cursor, plan, {}, may_be_ahead=True), *count_orphans(cursor, plan)]
            opened = [check_encrypted(connection, plan, column, environment, control) for column in plan.encrypted]
            read = check_dates(cursor, plan.target_schema, dates)
            # The last: from here on the transaction reads no index.
            uniques, doubled = check_uniques(cursor, plan)
    finally:
        connection.close()
    return IntegrityReport(
        (*_told([*found, *doubled]), *_unopened(opened), *_unread(read)),
        tuple(f"{r.check.table}.{r.check.column}: {r.check.inconclusive}" for r in opened if r.check.inconclusive),
        tuple(result.check for result in opened),
        uniques,
        read,
    )


def _told(found: list[Difference]) -> tuple[str, ...]:
    return tuple(f"{d.table}.{d.column}: {d.kind.replace('_', ' ')} {d.target_value or ''}".strip() for d in found)


def _unopened(results: list[EncryptedResult]) -> tuple[str, ...]:
    return tuple(f"{r.check.table}.{r.check.column}: {r.failed:,} cells don't open" for r in results if r.failed)


def _unread(checks: tuple[DateCheck, ...]) -> tuple[str, ...]:
    return tuple(f"{c.table}.{c.column}: {c.wrong:,} values don't read as YYYY-MM-DD" for c in checks if c.wrong)
