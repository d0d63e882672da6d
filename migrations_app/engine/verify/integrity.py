"""Integrity of the target while the application works on it: no orphans, sequences ahead, encrypted cells open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from migrations_app.engine.control import Control
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.target.target import application_name, cancelling, connect, transaction
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare_constraints import compare_sequences, count_orphans
from migrations_app.engine.verify.compare_encrypted import check_encrypted
from migrations_app.engine.verify.decrypt import DecryptCheck


@dataclass(frozen=True)
class IntegrityReport:
    """`problems` are sentences; `inconclusive` says what could not be tried, which proves nothing."""

    problems: tuple[str, ...]
    inconclusive: tuple[str, ...]
    decrypted: tuple[DecryptCheck, ...]

    @property
    def sentence(self) -> str:
        cells = sum(check.opened for check in self.decrypted)
        opened = f", {cells:,} encrypted cells open" if self.decrypted else ""
        return f"no orphans, sequences ahead of their columns{opened}"

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def check_integrity(
    url: TargetUrl, plan: MovePlan, *, environment: Mapping[str, str], control: Control
) -> IntegrityReport:
    """Look at one moment of the target (repeatable read). Raises what connect() raises; Cancelled."""
    connection = connect(url, application_name=application_name("integrity", 0))
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with cancelling(connection, control), transaction(connection, "checking integrity") as cursor:
            found = [*compare_sequences(cursor, plan, {}, may_be_ahead=True), *count_orphans(cursor, plan)]
            results = [check_encrypted(connection, plan, column, environment, control) for column in plan.encrypted]
    finally:
        connection.close()
    problems = [f"{d.table}.{d.column}: {d.kind.replace('_', ' ')} {d.target_value or ''}".strip() for d in found]
    problems += [f"{r.check.table}.{r.check.column}: {r.failed:,} cells don't open" for r in results if r.failed]
    inconclusive = [
        f"{r.check.table}.{r.check.column}: {r.check.inconclusive}" for r in results if r.check.inconclusive
    ]
    return IntegrityReport(tuple(problems), tuple(inconclusive), tuple(r.check for r in results))
