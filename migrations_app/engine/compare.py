"""Verification: is the target what the source is? Schema objects, every cell, sequences, orphans, encrypted cells."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from migrations_app.engine import ledger
from migrations_app.engine.cells import Row
from migrations_app.engine.compare_encrypted import check_encrypted
from migrations_app.engine.compare_rows import Difference, Differences, TableCheck, TableComparison
from migrations_app.engine.compare_schema import compare_schema, compare_sequences, count_orphans, table_exists
from migrations_app.engine.control import Control
from migrations_app.engine.decrypt import DecryptCheck
from migrations_app.engine.ledger import ObjectRecord
from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.schema import SourceSchema
from migrations_app.engine.target import Connection, application_name, cancelling, connect, transaction
from migrations_app.engine.target_url import TargetUrl

LIMIT = 100  # differences that are listed a table; all are counted


class VerifySource(Protocol):
    """What the target is compared with: a Source (sqlite_source) or an Export."""

    @property
    def schema(self) -> SourceSchema: ...

    def rows(self, table: str, columns: Sequence[str] | None = None) -> Iterator[Row]: ...


@dataclass(frozen=True)
class VerifyResult:
    """`equal` only when nothing differs and nothing was left untried (`inconclusive` says what was).

    `differences` are the first ones, `difference_count` all. `changed` counts differences in rows that are known to
    have changed since the switch: they are no differences.
    """

    equal: bool
    tables: tuple[TableCheck, ...]
    differences: tuple[Difference, ...]
    difference_count: int
    objects: tuple[ObjectRecord, ...]
    decrypted: tuple[DecryptCheck, ...]
    inconclusive: tuple[str, ...] = ()
    changed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """JSON-able; what the verification page and the evidence show."""
        return asdict(self)


def verify(
    source: VerifySource,
    plan: MovePlan,
    url: TargetUrl,
    *,
    control: Control | None = None,
    environment: Mapping[str, str] | None = None,
    changed_keys: Collection[tuple[str, str]] = (),
    limit: int = LIMIT,
) -> VerifyResult:
    """Compare everything. `environment` holds the keys of encrypted columns by the name that the plan gives.

    `changed_keys`: (target table, key) as change_queue.changed_keys() gives them. Reads only, but needs the right to
    create a schema in mode `create` (it is rolled back). Raises Failed, Cancelled; differences are a result.
    """
    control = control or Control()
    run = _Verification(source, plan, url, control, environment or {}, changed_keys, limit)
    return run.result()


class _Verification:
    def __init__(
        self,
        source: VerifySource,
        plan: MovePlan,
        url: TargetUrl,
        control: Control,
        environment: Mapping[str, str],
        changed_keys: Collection[tuple[str, str]],
        limit: int,
    ) -> None:
        self.source, self.plan, self.url, self.control = source, plan, url, control
        self.environment, self.changed_keys, self.limit = environment, changed_keys, limit
        self.found = Differences(limit * 10)
        self.tables: list[TableCheck] = []
        self.objects: tuple[ObjectRecord, ...] = ()
        self.decrypted: list[DecryptCheck] = []
        self.seconds: dict[str, float] = {}

    def result(self) -> VerifyResult:
        connection = connect(self.url, application_name=application_name("verify", 0))
        try:
            with cancelling(connection, self.control):
                self._schema(connection)
                self._data(connection)
        finally:
            connection.close()
        inconclusive = tuple(f"{d.table}.{d.column}: {d.inconclusive}" for d in self.decrypted if d.inconclusive)
        return VerifyResult(
            equal=not self.found.count and not inconclusive,
            tables=tuple(self.tables),
            differences=tuple(self.found.kept),
            difference_count=self.found.count,
            objects=self.objects,
            decrypted=tuple(self.decrypted),
            inconclusive=inconclusive,
            changed=sum(table.changed for table in self.tables),
            seconds=self.seconds,
        )

    def _schema(self, connection: Connection) -> None:
        started = time.monotonic()
        with transaction(connection, "reading the ledger") as cursor:
            record = ledger.latest_run(cursor)
            if record is not None and record.plan_digest == self.plan.digest:
                self.objects = ledger.objects(cursor, record.run_key)
        for difference in compare_schema(connection, self.plan, self.objects):
            self.found.add(difference)
        self.seconds["schema"] = round(time.monotonic() - started, 3)

    def _data(self, connection: Connection) -> None:
        """One repeatable-read transaction: every table is seen as of the same moment."""
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with transaction(connection, "comparing the rows") as cursor:
            started = time.monotonic()
            there = [
                table
                for table in self.plan.tables
                if table.is_loaded and table_exists(cursor, self.plan.target_schema, table.target_name)
            ]
            for table in there:
                self._table(connection, table)
            self.seconds["rows"] = round(time.monotonic() - started, 3)
            started = time.monotonic()
            sequences = dict(self.source.schema.sequences)
            ahead = bool(self.changed_keys)
            for difference in (
                *compare_sequences(cursor, self.plan, sequences, may_be_ahead=ahead),
                *count_orphans(cursor, self.plan),
            ):
                self.found.add(difference)
            self.seconds["constraints"] = round(time.monotonic() - started, 3)
            started = time.monotonic()
            names = {table.name for table in there}
            for column in self.plan.encrypted:
                result = check_encrypted(
                    connection, self.plan, column, self.environment, self.control, present=column.table in names
                )
                self.decrypted.append(result.check)
                for difference in result.differences:
                    self.found.add(difference)
            self.seconds["decrypt"] = round(time.monotonic() - started, 3)

    def _table(self, connection: Connection, table: TablePlan) -> None:
        comparison = TableComparison(
            self.source, self.plan, table, connection, self.control, self.changed_keys, self.limit
        )
        check, differences = comparison.run()
        self.tables.append(check)
        for difference in differences.kept:
            self.found.add(difference)
        self.found.count += differences.count - len(differences.kept)
        self.control.progress("verify", table.name, check.rows, check.rows)
