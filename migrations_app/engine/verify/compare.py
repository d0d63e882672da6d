"""Verification: is the target what the source is? Schema objects, every cell, sequences, orphans, encrypted cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, TypeVar

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import RowUnfit, row_converter
from migrations_app.engine.errors import Failed
from migrations_app.engine.export.export_reader import Export
from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.source.cells import Row
from migrations_app.engine.source.schema import SourceSchema
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target import ledger
from migrations_app.engine.target.copy_text import LineWriter
from migrations_app.engine.target.following import crossing_phase
from migrations_app.engine.target.ledger import ObjectRecord
from migrations_app.engine.target.target import Connection, Cursor, application_name, cancelling, connect, transaction
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare_constraints import compare_sequences, count_orphans
from migrations_app.engine.verify.compare_encrypted import check_encrypted
from migrations_app.engine.verify.compare_objects import judged_objects
from migrations_app.engine.verify.compare_plan import comparable, compare_with_source, left_out, unanswered
from migrations_app.engine.verify.compare_rows import TableComparison
from migrations_app.engine.verify.compare_schema import SchemaCheck, compare_schema
from migrations_app.engine.verify.compare_shares import equal_tables
from migrations_app.engine.verify.decrypt import DecryptCheck
from migrations_app.engine.verify.differences import Difference, Differences, TableCheck
from migrations_app.engine.verify.kept_tables import compare_kept

JOBS = 2  # processes that compare the rows of a large source
LIMIT = 100  # differences that are listed a table; all are counted

_Result = TypeVar("_Result")


class VerifySource(Protocol):
    """What the target is compared with: a Source (sqlite_source) or an Export."""

    @property
    def schema(self) -> SourceSchema: ...

    def count(self, table: str) -> int: ...

    def rows(self, table: str, columns: Sequence[str] | None = None) -> Iterator[Row]: ...


@dataclass(frozen=True)
class VerifyResult:
    """`equal` only when nothing differs and nothing was left untried (`inconclusive` says what was).

    `differences` are the first ones, `difference_count` all. `changed` counts differences in rows that are known to
    have changed since the switch: they are no differences. `objects`: what became of each object of the plan, as found
    now. `remarks`: what was not compared because the plan says so.
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
    remarks: tuple[str, ...] = ()

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
    jobs: int = JOBS,
) -> VerifyResult:
    """Compare everything. `environment` holds the keys of encrypted columns by the name that the plan gives.

    `changed_keys`: (target table, key) as change_queue.changed_keys() gives them. Changes nothing, but needs the right
    to create a schema in mode `create` (it is rolled back). Raises Failed, Cancelled; differences are a result.

    Compared are: tables and columns of the source that the plan doesn't know ('not_in_plan'), the target's objects,
    the rows of every table that the plan loads, generated columns too, sequences, foreign keys by anti-join, encrypted
    columns. Not compared, and said in `remarks`: tables and columns that the plan leaves out. Tables whose own rows the
    target keeps (schema versions, tables kept by choice) are looked at for a remark: no row of the source was meant to
    be there.
    """
    control = control or Control()
    run = _Verification(source, plan, url, control, environment or {}, changed_keys, limit, jobs)
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
        jobs: int,
    ) -> None:
        self.source, self.plan, self.url, self.control = source, plan, url, control
        self.environment, self.changed_keys, self.limit, self.jobs = environment, changed_keys, limit, jobs
        self.found = Differences(limit * 10)
        self.of_objects: list[Difference] = []  # those that no limit cuts
        self.tables: list[TableCheck] = []
        self.known: tuple[ObjectRecord, ...] = ()
        self.decrypted: list[DecryptCheck] = []
        self.inconclusive: list[str] = []
        self.remarks: list[str] = []
        self.seconds: dict[str, float] = {}

    def result(self) -> VerifyResult:
        connection = connect(self.url, application_name=application_name("verify", 0))
        try:
            with cancelling(connection, self.control):
                schema = self._timed("schema", lambda: self._schema(connection))
                # One repeatable-read transaction: every table is seen as of the same moment.
                connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                with transaction(connection, "comparing the rows") as cursor:
                    self._timed("rows", lambda: self._rows(connection, schema))
                    self.remarks += compare_kept(cursor, self.source, self.plan, schema.actual, self.control)
                    self._timed("constraints", lambda: self._constraints(cursor))
                    self._timed("decrypt", lambda: self._decrypt(connection))
        finally:
            connection.close()
        return VerifyResult(
            equal=not self.found.count and not self.inconclusive,
            tables=tuple(self.tables),
            differences=tuple(self.found.kept),
            difference_count=self.found.count,
            objects=judged_objects(self.plan, self.known, schema.refused, self.of_objects),
            decrypted=tuple(self.decrypted),
            inconclusive=tuple(self.inconclusive),
            changed=sum(table.changed for table in self.tables),
            seconds=self.seconds,
            remarks=(*left_out(self.plan), *schema.remarks, *self.remarks),
        )

    def _timed(self, phase: str, work: Callable[[], _Result]) -> _Result:
        started = time.monotonic()
        done = work()
        self.seconds[phase] = round(time.monotonic() - started, 3)
        return done

    def _object_differences(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self.of_objects.append(difference)
            self.found.add(difference)

    def _schema(self, connection: Connection) -> SchemaCheck:
        held = {table.name for table in self.source.tables} if isinstance(self.source, Export) else None
        self._object_differences(compare_with_source(self.source.schema, self.plan, held))
        self._object_differences(unanswered(self.plan))
        with transaction(connection, "reading the ledger") as cursor:
            record = ledger.latest_run(cursor)
            if record is not None and record.plan_digest == self.plan.digest:
                self.known = ledger.objects(cursor, record.run_key)
        schema = compare_schema(connection, self.plan, self.known)
        self._object_differences(schema.differences)
        return schema

    def _rows(self, connection: Connection, schema: SchemaCheck) -> None:
        found = [
            each
            for table in self.plan.tables
            if table.is_loaded and (each := self._prepared(table, schema, connection))
        ]
        comparisons = [each for each in found if isinstance(each, TableComparison)]
        equal = self._equal(comparisons, connection)
        for each in found:
            if isinstance(each, TableCheck):
                self.tables.append(each)
            else:
                self._table(connection, each, equal.get(each.table.name))

    def _prepared(
        self, table: TablePlan, schema: SchemaCheck, connection: Connection
    ) -> TableComparison | TableCheck | None:
        """How the table is compared; its result, where the target hasn't got it; None for one without columns."""
        if not schema.actual.has(table.target_name):
            return TableCheck(table.name, table.target_name, 0, 0, 0, 1)
        retyped = {
            each.column for each in schema.differences if (each.table, each.kind) == (table.name, "type_changed")
        }
        columns = self._source_columns(table.name)
        prepared = comparable(table, columns, schema.actual.table(table.target_name), retyped)
        self._not_held(table, columns)
        for name in prepared.unproved:
            self.inconclusive.append(f"{table.name}.{name}: the target generates a type that can't be compared")
        return self._comparison(connection, prepared.table) if prepared.table.columns else None

    def _equal(self, comparisons: Sequence[TableComparison], connection: Connection) -> dict[str, int]:
        """Rows by table of those that the quick proof finds equal."""
        if not isinstance(self.source, Source):
            return {}
        shares = [share for each in comparisons for share in each.shares(self.source)]
        return equal_tables(self.source, shares, connection, self.url, self.control, jobs=self.jobs)

    def _not_held(self, table: TablePlan, columns: Collection[str]) -> None:
        """An export holds what is loaded, and no values that the target computes itself."""
        if isinstance(self.source, Export):
            names = [f"{table.name}.{c.name}" for c in table.columns if c.generated_sql and c.name not in columns]
            self.remarks += [f"{name} is generated by the target; the export has no values for it." for name in names]

    def _source_columns(self, name: str) -> frozenset[str]:
        """The columns that the source can read; none of a table that it hasn't got."""
        if isinstance(self.source, Export):
            held = {table.name: table.column_names for table in self.source.tables}
            return frozenset(held.get(name, ()))
        found = next((table for table in self.source.schema.tables if table.name == name), None)
        return frozenset(column.name for column in found.columns) if found else frozenset()

    def _table(self, connection: Connection, comparison: TableComparison, equal: int | None) -> None:
        try:
            check, differences = comparison.run() if equal is None else comparison.equal(equal)
        except Failed as error:
            if error.code != "VALUE_UNFIT":
                raise
            # The source has come to hold what its column can't: that is a difference, and the others are to be seen.
            unfit = self._unfit(comparison.table)
            check, differences = self._comparison(connection, _leaving_out_unfit(comparison.table)).run()
            for each in unfit.kept:
                self.found.add(each)
            self.found.count += unfit.count - len(unfit.kept)
            check = replace(check, differences=check.differences + unfit.count)
        self.tables.append(check)
        for difference in differences.kept:
            self.found.add(difference)
        self.found.count += differences.count - len(differences.kept)
        self.control.progress("verify", check.name, check.rows, check.rows)

    def _comparison(self, connection: Connection, table: TablePlan) -> TableComparison:
        return TableComparison(self.source, self.plan, table, connection, self.control, self.changed_keys, self.limit)

    def _unfit(self, table: TablePlan) -> Differences:
        """The cells of the source that their columns can't hold ('unfit')."""
        found, writer, convert = Differences(self.limit), LineWriter(table), row_converter(table)
        for row in self.source.rows(table.name, writer.columns):
            self.control.checkpoint()
            try:
                convert(row)
            except RowUnfit as error:
                found.add(Difference(table.name, writer.row_key(row), error.column, "unfit"))
        return found

    def _constraints(self, cursor: Cursor) -> None:
        given_out = dict(self.source.schema.sequences)
        phase = crossing_phase(cursor)
        ahead = bool(self.changed_keys) or phase == "taken_over"  # numbers that PostgreSQL gave out and nobody kept
        found = compare_sequences(cursor, self.plan, given_out, may_be_ahead=ahead)
        if phase == "following":
            # Set in the freeze, and not with every row that comes meanwhile: nobody takes numbers from them yet.
            waiting = [each for each in found if each.kind == "sequence_behind"]
            found = tuple(each for each in found if each.kind != "sequence_behind")
            self.remarks += [f"{w.table}.{w.column}: its sequence is set when PostgreSQL takes over." for w in waiting]
        self._object_differences(found)
        self._object_differences(count_orphans(cursor, self.plan))

    def _decrypt(self, connection: Connection) -> None:
        for column in self.plan.encrypted:
            result = check_encrypted(connection, self.plan, column, self.environment, self.control, limit=self.limit)
            self.decrypted.append(result.check)
            if result.check.inconclusive:
                self.inconclusive.append(f"{column.table}.{column.column}: {result.check.inconclusive}")
            for difference in result.differences:
                self.found.add(difference)
            self.found.count += result.failed - len(result.differences)


def _leaving_out_unfit(table: TablePlan) -> TablePlan:
    return replace(table, columns=tuple(replace(column, on_unfit="skip_row") for column in table.columns))
