"""Mode `existing`: would the target's own CHECKs, domains, exclusions and unclear unique indexes take the rows?

They are PostgreSQL's expressions, so PostgreSQL is asked: the columns that they read are converted as the load will
convert them, go into a temporary table, and the expressions are tried on it. All of it is rolled back to a savepoint of
the caller's transaction. What the profile answers already is not tried: most checks are `number >= 0`.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg2

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import Unfit, conversion
from migrations_app.engine.plan import ColumnPlan, Finding, ObjectPlan
from migrations_app.engine.planning.findings import REFUSE, WARN, Decisions
from migrations_app.engine.planning.plan_existing_match import Match, tell_not_tried
from migrations_app.engine.profile.profile import ColumnProfile, TableProfile
from migrations_app.engine.source.cells import Row
from migrations_app.engine.source.row_keys import key_names, row_key_text
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source, quote_name
from migrations_app.engine.target.copy_text import join
from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target import Cursor
from migrations_app.engine.target.target_rules import CHECK, EXCLUDE, TEXT, UNIQUE, Rule, read_rules

_TABLE, _PLACE = "pg_temp.causeway_trial", "causeway_place"
_FEW = 1000  # combinations of values; so few are tried instead of the rows
_CHECKPOINT = 1000  # rows
_COMPARED = re.compile(
    r"\(*(?P<column>\w+|\"(?:[^\"]|\"\")+\") (?P<sign><=|>=|<|>) '?\(?(?P<number>-?\d+)\)?'?(?:::\w+)?\)*"
)


@dataclass(frozen=True)
class _Broken:
    """Rows that a rule refuses: how many, and the key of the first. `state`: what PostgreSQL said instead, if it did"""

    count: int
    first_key: str = ""
    state: str = ""


@dataclass(frozen=True)
class Answer:
    """What was chosen: checks that come back NOT VALID, source columns that are left out, the table as a whole."""

    loose: tuple[ObjectPlan, ...] = ()
    dropped: tuple[str, ...] = ()
    skip: bool = False


class RowRules:
    """The target's rules for rows, tried in one transaction, the cursor's; what is made for that is rolled back."""

    def __init__(self, cursor: Cursor, schema: str, aside: Mapping[str, Sequence[Rule]] | None = None) -> None:
        """aside: rules that are not in force at the moment (existing_before.checks_aside)."""
        self._cursor, self._schema = cursor, schema
        self._rules = {table: list(rules) for table, rules in read_rules(cursor, schema).items()}
        for table, rules in (aside or {}).items():
            here = self._rules.setdefault(table, [])
            here += [rule for rule in rules if rule.name not in {each.name for each in here}]
        for here in self._rules.values():
            here.sort(key=lambda rule: (rule.kind, rule.of_domain, rule.name, rule.columns))

    def plan(
        self,
        source: Source,
        match: Match,
        columns: Sequence[ColumnPlan],
        profile: TableProfile,
        decisions: Decisions,
        control: Control,
    ) -> Answer:
        """Findings on the rows that the target would refuse, and what was chosen on them."""
        target = match.target.name if match.target else ""
        moved = {column.target_name: column for column in columns if column.load}
        loose: list[ObjectPlan] = []
        skip = False
        for rule in self._rules.get(target, ()):
            if not set(rule.columns) <= moved.keys():
                tell_not_tried(match, rule.what, rule.columns, moved.keys(), decisions)
                continue
            if not rule.columns:
                continue
            if rule.kind == CHECK and _answered(rule, moved, profile):
                continue
            used = [moved[name] for name in rule.columns]
            broken = self._try(source, match.source, target, rule, used, control)
            choice = _ask(match.source, rule, used, broken, decisions) if broken else ""
            skip = skip or choice == "skip"
            if choice == "not_valid":
                loose.append(
                    ObjectPlan(CHECK, rule.name, "", True, "restored NOT VALID, by choice", {"not_valid": True})
                )
        dropped = [
            column.name
            for column in moved.values()
            if column.conversion == "verbatim"
            and self._drops_verbatim(source, match.source, target, column, decisions, control)
        ]
        return Answer(tuple(loose), tuple(dropped), skip)

    def _drops_verbatim(
        self,
        source: Source,
        table: SourceTable,
        target: str,
        column: ColumnPlan,
        decisions: Decisions,
        control: Control,
    ) -> bool:
        """Whether a column of a type without a conversion is left out, by choice, since its texts aren't printed alike.

        Asked of PostgreSQL: the text must be a value of the type, and that value must print as the same text.
        """
        rule = Rule(TEXT, column.target_name, (column.target_name,), column.target_type)
        broken = self._try(source, table, target, rule, [column], control)
        if broken is None:
            return False
        if broken.state:
            message = f"The values of {table.name}.{column.name} could not be tried beforehand ({broken.state})."
            decisions.ask(Finding("RULE_NOT_TRIED", WARN, message, table.name, column.name))
            return False
        what = f"{broken.count} value(s) of {table.name}.{column.name}"
        message = f"{what} aren't as PostgreSQL prints a value of the type {column.target_type}."
        choices = () if column.not_null and column.default_sql is None else ("skip_column",)
        where = (table.name, column.name, broken.first_key, broken.count)
        return decisions.ask(Finding("VALUE_DOES_NOT_FIT", REFUSE, message, *where, choices)) == "skip_column"

    def _try(
        self, source: Source, table: SourceTable, target: str, rule: Rule, used: Sequence[ColumnPlan], control: Control
    ) -> _Broken | None:
        self._cursor.execute("SAVEPOINT causeway_trial")
        try:
            return self._tried(source, table, target, rule, used, control)
        except psycopg2.Error as error:
            if error.pgcode is None:
                raise
            self._cursor.execute("ROLLBACK TO SAVEPOINT causeway_trial")
            return _Broken(0, state=error.pgcode)
        finally:
            self._cursor.execute("ROLLBACK TO SAVEPOINT causeway_trial")

    def _tried(
        self, source: Source, table: SourceTable, target: str, rule: Rule, used: Sequence[ColumnPlan], control: Control
    ) -> _Broken | None:
        names = [column.name for column in used]
        few = _few(source, table, names) if rule.kind not in (UNIQUE, EXCLUDE) else None
        self._fill(target, rule, used, few if few is not None else source.rows(table.name, names), control)
        self._cursor.execute(f"SET LOCAL search_path = {quote(self._schema)}")
        if rule.kind == UNIQUE:
            return self._duplicates(source, table, rule, names)
        if rule.kind == EXCLUDE:
            return self._excluded(source, table, rule, names)
        refuses = self._printed_otherwise(rule) if rule.kind == TEXT else f"({rule.sql}) IS FALSE"
        if few is None:
            self._cursor.execute(f"SELECT count(*), min({_PLACE}) FROM {_TABLE} WHERE {refuses}")
            count, place = self._cursor.fetchone()
            return _Broken(count, _key_at(source, table, names, place)) if count else None
        self._cursor.execute(f"SELECT {_PLACE} FROM {_TABLE} WHERE {refuses}")
        refused = {few[place] for (place,) in self._cursor.fetchall()}
        return _among(source, table, names, refused) if refused else None

    def _printed_otherwise(self, rule: Rule) -> str:
        """A condition on the column's text. A function of our session's, since only PL/pgSQL goes on after an error."""
        self._cursor.execute(
            "CREATE FUNCTION pg_temp.causeway_printed(given text) RETURNS text LANGUAGE plpgsql AS $$"
            f"BEGIN RETURN pg_catalog.format('%s', given::{rule.sql}); EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$"
        )
        column = quote(rule.columns[0])
        return f"{column} IS NOT NULL AND pg_temp.causeway_printed({column}) IS DISTINCT FROM {column}"

    def _duplicates(self, source: Source, table: SourceTable, rule: Rule, names: Sequence[str]) -> _Broken | None:
        keys = ", ".join(rule.keys)
        complete = "true" if rule.nulls_alike else " AND ".join(f"({key}) IS NOT NULL" for key in rule.keys)
        where = f"({rule.sql}) AND {complete}" if rule.sql else complete
        self._cursor.execute(
            f"SELECT count(*), min(first) FROM (SELECT min({_PLACE}) AS first FROM {_TABLE} WHERE {where}"
            f" GROUP BY {keys} HAVING count(*) > 1) twice"
        )
        count, place = self._cursor.fetchone()
        return _Broken(count, _key_at(source, table, names, place)) if count else None

    def _excluded(self, source: Source, table: SourceTable, rule: Rule, names: Sequence[str]) -> _Broken | None:
        """Rows that stand in the way of one before them, in the order of the load."""
        taken = f"{_TABLE}_taken"
        self._cursor.execute(f"CREATE TEMPORARY TABLE {taken.partition('.')[2]} (LIKE {_TABLE})")
        self._cursor.execute(f"ALTER TABLE {taken} ADD {rule.sql}")
        self._cursor.execute(f"INSERT INTO {taken} SELECT * FROM {_TABLE} ORDER BY {_PLACE} ON CONFLICT DO NOTHING")
        self._cursor.execute(
            f"SELECT count(*), min({_PLACE}) FROM {_TABLE} t"
            f" WHERE NOT EXISTS (SELECT 1 FROM {taken} o WHERE o.{_PLACE} = t.{_PLACE})"
        )
        count, place = self._cursor.fetchone()
        return _Broken(count, _key_at(source, table, names, place)) if count else None

    def _fill(
        self, target: str, rule: Rule, used: Sequence[ColumnPlan], rows: Iterator[Row] | Sequence[Row], control: Control
    ) -> None:
        """A temporary table like the target's, with its types and collations and without its rules."""
        columns = [_as_filled(rule, column) for column in used]
        self._cursor.execute(
            f"CREATE TEMPORARY TABLE {_TABLE.partition('.')[2]} AS SELECT {', '.join(columns)}, 0::bigint AS {_PLACE}"
            f" FROM {qualified(self._schema, target)} WITH NO DATA"
        )
        self._cursor.copy_expert(f"COPY {_TABLE} FROM STDIN", _Lines(used, rows, control))


def _as_filled(rule: Rule, column: ColumnPlan) -> str:
    """The column as the temporary table has it: a domain as the type beneath, a type to be tried as text."""
    name = quote(column.target_name)
    if rule.kind == TEXT:
        return f"NULL::text AS {name}"
    return f"{name}::{column.target_type} AS {name}" if rule.of_domain else name


class _Lines(io.RawIOBase):
    """Converted rows as COPY reads them, each with its place; rows that don't convert are findings of their own."""

    def __init__(self, columns: Sequence[ColumnPlan], rows: Iterator[Row] | Sequence[Row], control: Control) -> None:
        self._work = [conversion(column.conversion, column.target_type).convert for column in columns]
        self._rows, self._control = enumerate(rows), control
        self._held = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._held) < size or size < 0:
            batch = list(itertools.islice(self._rows, _CHECKPOINT))
            if not batch:
                break
            self._control.checkpoint()
            self._held += b"".join(self._line(place, row) for place, row in batch)
        given, self._held = (self._held, b"") if size < 0 else (self._held[:size], self._held[size:])
        return given

    def _line(self, place: int, row: Row) -> bytes:
        try:
            texts = tuple(work(cell) for work, cell in zip(self._work, row, strict=True))
        except Unfit:
            return b""
        return f"{join((*texts, str(place)))}\n".encode()


def _few(source: Source, table: SourceTable, names: Sequence[str]) -> list[Row] | None:
    """The combinations of values that occur, when they are few."""
    columns = ", ".join(quote_name(name) for name in names)
    query = f"SELECT DISTINCT {columns} FROM {quote_name(table.name)} LIMIT {_FEW + 1}"
    found = list(source.query(query))
    return found if len(found) <= _FEW else None


def _key_at(source: Source, table: SourceTable, names: Sequence[str], place: int) -> str:
    key, _row = next(itertools.islice(source.rows_with_key(table.name, names), place, None))
    return row_key_text(key_names(table), key) if key_names(table) else ""


def _among(source: Source, table: SourceTable, names: Sequence[str], refused: set[Row]) -> _Broken:
    count, first = 0, ""
    for key, row in source.rows_with_key(table.name, names):
        if row in refused:
            count += 1
            if count == 1 and key_names(table):
                first = row_key_text(key_names(table), key)
    return _Broken(count, first)


def _answered(rule: Rule, moved: dict[str, ColumnPlan], profile: TableProfile) -> bool:
    """Whether the profile shows that a comparison of one column of integers with a number holds for all."""
    compared = _COMPARED.fullmatch(rule.sql)
    if compared is None or len(rule.columns) != 1:
        return False
    found = profile.column(moved[rule.columns[0]].name)
    if found.kinds not in ((), ("integer",)) or found.lowest is None or found.highest is None:
        return not found.kinds
    return _holds(compared["sign"], int(compared["number"]), found)


def _holds(sign: str, number: int, profile: ColumnProfile) -> bool:
    low, high = profile.lowest or 0, profile.highest or 0
    return {">=": low >= number, ">": low > number, "<=": high <= number, "<": high < number}[sign]


def _ask(table: SourceTable, rule: Rule, used: Sequence[ColumnPlan], broken: _Broken, decisions: Decisions) -> str:
    names = [column.name for column in used]
    column = names[0] if len(names) == 1 else ""
    if broken.state and not broken.state.startswith("22"):
        message = f"{rule.what} of {table.name} could not be tried beforehand (SQLSTATE {broken.state})."
        decisions.ask(Finding("RULE_NOT_TRIED", WARN, message, table.name, column))
        return ""
    if rule.kind == UNIQUE:
        message = f"{rule.what} on {table.name} would refuse {broken.count} value(s) that it takes for the same."
        finding = Finding(
            "DUPLICATE_KEYS", REFUSE, message, table.name, ",".join(names), broken.first_key, broken.count
        )
        return decisions.ask(finding)
    said = f"{broken.count} row(s)" if broken.count else f"a row, on which it can't be computed ({broken.state})"
    message = f"{rule.what} of {table.name}({', '.join(names)}) would refuse {said}."
    only_strict = rule.of_domain or rule.kind == EXCLUDE or broken.state
    choices = ("skip",) if only_strict else ("not_valid", "skip")
    finding = Finding("CHECK_VIOLATED", REFUSE, message, table.name, column, broken.first_key, broken.count, choices)
    return decisions.ask(finding)
