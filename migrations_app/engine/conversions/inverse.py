"""The way back of every value: from what PostgreSQL prints to the cell that SQLite held, storage class included.

The law: for each cell that the file holds, the inverse of its converted text is that cell again, bit for bit. Where a
conversion takes several spellings for one value, a column's own spelling is learned from its cells; where there are
none yet, from its surroundings (inverse_unseen.py).

A column may hold several spellings that mean the same (times with and without a fraction, JSON in any order of keys).
Then new values come back in the most frequent one, a remark says so, and a value that didn't change stays as it is,
letter by letter (engine/replay/file_table.py). Not so a column of the key, by which rows must be found again, nor one
in which different values have come to the same text ('5' and 5): it has no inverse, and the online strategy refuses it.

For values that come later the law is the other one: the cell, once stored, converts to the very text that PostgreSQL
holds (engine/replay/backward.py reads it back).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversion_base import Undo, Unfit
from migrations_app.engine.conversions.conversions import RowUnfit, row_converter
from migrations_app.engine.conversions.inverse_forms import candidates, column_affinity, undo_of
from migrations_app.engine.conversions.inverse_learning import Learner, WordLearner, gives_back
from migrations_app.engine.conversions.inverse_unseen import UnseenForms
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.plan import FAIL, ColumnPlan, Finding, MovePlan, TablePlan
from migrations_app.engine.source.cells import Cell, Row
from migrations_app.engine.source.row_keys import key_names, row_key_text
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source

FORMAT = 1
CODE = "ONLINE_NO_INVERSE"
AS_MOST = "values written on PostgreSQL come back in the form of most others ({count} are written otherwise, and stay)"
_CHECKPOINT = 2000  # rows
_HINT = "Choose tagged_text for the column, leave the table out, or take the offline strategy."


@dataclass(frozen=True)
class Remark:
    """How new values of a column come back that holds several spellings."""

    table: str
    column: str
    what: str


class RowInverse:
    """Of one table: rows as PostgreSQL's texts, in the order of `columns`, to cells."""

    def __init__(self, table: TablePlan, forms: Mapping[str, str], loose: frozenset[str]) -> None:
        self.columns = written_columns(table, forms)
        self._undo = [undo_of(column, forms[column.name]) for column in self.columns]
        self._loose = [column.name in loose for column in self.columns]
        self._places = {column.name: place for place, column in enumerate(self.columns)}

    def cells(self, texts: Sequence[str | None]) -> tuple[Cell, ...]:
        """Raises RowUnfit, which names the column and never the value."""
        found: list[Cell] = []
        for column, undo, text in zip(self.columns, self._undo, texts, strict=True):
            try:
                found.append(None if text is None else undo(text))
            except Unfit as error:
                raise RowUnfit(column.name, error.why) from None
        return tuple(found)

    def is_loose(self, column: str) -> bool:
        """Whether values come back in another spelling (a remark says so)."""
        return self._loose[self._places[column]]

    def undo(self, column: str) -> Undo:
        """Of one column, by its name in the source."""
        return self._undo[self._places[column]]

    def lost(self, row: Row, texts: Sequence[str | None]) -> str:
        """The first column whose cell the inverse of its converted text isn't; '' for none."""
        for column, undo, loose, cell, text in zip(self.columns, self._undo, self._loose, row, texts, strict=True):
            if text is not None and not loose and not gives_back(undo, text, cell):
                return column.name
        return ""


def written_columns(table: TablePlan, forms: Mapping[str, str]) -> tuple[ColumnPlan, ...]:
    """The columns that travel both ways."""
    return tuple(column for column in table.loaded_columns if column.name in forms)


@dataclass(frozen=True)
class InverseForms:
    """{table: {column: form}} for every table that the plan loads, by the source's names."""

    plan_digest: str
    tables: Mapping[str, Mapping[str, str]]
    remarks: tuple[Remark, ...] = ()

    def of_table(self, table: TablePlan) -> RowInverse:
        loose = frozenset(remark.column for remark in self.remarks if remark.table == table.name)
        return RowInverse(table, self.tables[table.name], loose)

    def to_document(self) -> dict[str, Any]:
        """JSON-able; from_document() gives equal forms back."""
        return {
            "format": FORMAT,
            "plan_digest": self.plan_digest,
            "tables": {name: dict(forms) for name, forms in self.tables.items()},
            "remarks": [[remark.table, remark.column, remark.what] for remark in self.remarks],
        }


def forms_from_document(document: Mapping[str, Any], plan: MovePlan) -> InverseForms:
    """Raises ValueError for forms of another plan or format, or for one that doesn't undo its column."""
    if document.get("format") != FORMAT or document.get("plan_digest") != plan.digest:
        raise ValueError("these inverse forms belong to another plan, or another version")
    tables = {name: dict(forms) for name, forms in document["tables"].items()}
    found = InverseForms(plan.digest, tables, tuple(Remark(*each) for each in document["remarks"]))
    try:
        for table in plan.tables:
            if table.is_loaded:
                found.of_table(table)
    except (KeyError, ValueError) as error:
        raise ValueError("these inverse forms don't fit the plan") from error
    return found


def learn(source: Source, plan: MovePlan, control: Control) -> InverseForms:
    """The forms, from every cell that there is. Raises Refused ONLINE_NO_INVERSE; Failed VALUE_UNFIT; Cancelled."""
    forms, problems = try_to_learn(source, plan, control)
    if problems:
        others = ", ".join(f"{each.table}.{each.column}" for each in problems[1:6])
        more = f" The same is so of {others}{' and others' if len(problems) > 6 else ''}." if others else ""
        raise Refused("ONLINE_NO_INVERSE", problems[0].message + more, _HINT)
    return forms


def try_to_learn(source: Source, plan: MovePlan, control: Control) -> tuple[InverseForms, tuple[Finding, ...]]:
    """The forms of the columns that have one, and a finding (severity refuse) for each that hasn't."""
    found: dict[str, dict[str, str]] = {}
    remarks: list[Remark] = []
    problems: list[Finding] = []
    unseen: set[tuple[str, str]] = set()
    for table in plan.tables:
        if not table.is_loaded:
            continue
        learned = _Table(source, table, control)
        found[table.name] = learned.forms()
        unseen |= {(table.name, name) for name in learned.unseen}
        remarks += learned.remarks
        problems += learned.problems
    others = UnseenForms(source.schema, plan, found, unseen)
    for (name, column), form in {place: others.form(place) for place in unseen}.items():
        found[name][column] = form
    return InverseForms(plan.digest, found, tuple(remarks)), tuple(problems)


class _Table:
    def __init__(self, source: Source, table: TablePlan, control: Control) -> None:
        self._source, self._table, self._control = source, table, control
        self._of_source: SourceTable = source.schema.table(table.name)
        self.remarks: list[Remark] = []
        self.problems: list[Finding] = []
        self.unseen: list[str] = []  # columns whose form no cell has told

    def forms(self) -> dict[str, str]:
        found: dict[str, str] = {}
        learners: dict[str, Learner] = {}
        generated = {column.name for column in self._of_source.columns if column.generated}
        for column in self._table.loaded_columns:
            if column.name in generated:
                self._refuse(column, "is generated in SQLite and an ordinary column in the target: rows that are")
                continue
            kind = column_affinity(column.declared_type, strict=self._of_source.strict)
            known = candidates(column, kind)
            if known.known:
                found[column.name] = known.forms[0]
            elif column.conversion == "boolean_words":
                learners[column.name] = WordLearner(column, kind)
            else:
                learners[column.name] = Learner(column, known)
        if learners:
            self._look(learners)
        for name, learner in learners.items():
            found[name] = learner.form
            if not learner.seen:
                self.unseen.append(name)
            self._judge(name, learner)
        refused = {problem.column for problem in self.problems}
        return {name: form for name, form in found.items() if name not in refused}

    def _refuse(self, column: ColumnPlan, why: str) -> None:
        message = f"{self._table.name}.{column.name} {why} written there leave it empty."
        self.problems.append(Finding(CODE, "refuse", message, self._table.name, column.name))

    def _judge(self, name: str, learner: Learner) -> None:
        if not learner.failed:
            return
        unique = self._table.key + tuple(
            part.name or "" for index in self._of_source.indexes for part in index.columns if index.unique
        )
        if learner.form and name not in unique:
            self.remarks.append(Remark(self._table.name, name, AS_MOST.format(count=learner.failed)))
            return
        column = next(each for each in self._table.loaded_columns if each.name == name)
        key = row_key_text(key_names(self._of_source), learner.first) if learner.first else ""
        message = (
            f"{self._table.name}.{name} spells its values in more than one way: {column.target_type} keeps what they"
            f" mean, and no single form gives every cell back ({learner.failed} at least are written otherwise"
            f"{f', the first in row {key}' if key else ''})."
        )
        self.problems.append(
            Finding(CODE, "refuse", message, self._table.name, name, row_key=key, count=learner.failed)
        )

    def _look(self, learners: Mapping[str, Learner]) -> None:
        """One pass over the table. Rows that the plan leaves out stay out of PostgreSQL, and don't count."""
        used = self._used(learners)
        convert = row_converter(TablePlan(self._table.name, self._table.target_name, self._table.rule, used, ()))
        seeing = [(place, learners[column.name]) for place, column in enumerate(used) if column.name in learners]
        names = [column.name for column in used]
        for number, (key, row) in enumerate(self._source.rows_with_key(self._table.name, names, ordered=False)):
            if number % _CHECKPOINT == 0:
                self._control.progress("forms", self._table.name, number, 0)
            texts = self._converted(convert, row, key)
            if texts is None:
                continue
            for place, learner in seeing:
                learner.see(row[place], texts[place], lambda key=key: key)  # type: ignore[misc]

    def _used(self, learners: Mapping[str, Learner]) -> tuple[ColumnPlan, ...]:
        """All columns where rows may be left out, since any of them may be the reason."""
        columns = self._table.loaded_columns
        if any(column.on_unfit != FAIL for column in columns):
            return columns
        return tuple(column for column in columns if column.name in learners)

    def _converted(
        self, convert: Callable[[Row], tuple[str | None, ...] | None], row: Row, key: Row
    ) -> tuple[str | None, ...] | None:
        try:
            return convert(row)
        except RowUnfit as error:
            where = row_key_text(key_names(self._of_source), key) if key else "(no key)"
            raise Failed(
                "VALUE_UNFIT",
                f"A value of {self._table.name}.{error.column} in row {where} doesn't fit: {error.why}.",
                "The source changed since the plan was made: plan again.",
            ) from None
