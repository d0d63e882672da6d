"""Mode `existing`: would the target's own CHECKs, domains, exclusions and unclear unique indexes take the rows?

They are PostgreSQL's expressions, so PostgreSQL is asked: the columns that they read are converted as the load will
convert them, and the expressions are tried on them (plan_existing_trial.py). What the profile answers already is not
tried: most checks are `number >= 0`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrations_app.engine.control import Control
from migrations_app.engine.plan import ColumnPlan, Finding, ObjectPlan
from migrations_app.engine.planning.findings import REFUSE, WARN, Decisions
from migrations_app.engine.planning.plan_existing_match import Match, tell_not_tried
from migrations_app.engine.planning.plan_existing_trial import Broken, Trial
from migrations_app.engine.profile.profile import ColumnProfile, TableProfile
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.target import Cursor
from migrations_app.engine.target.target_rules import CHECK, EXCLUDE, TEXT, UNIQUE, Rule, read_rules

_COMPARED = re.compile(
    r"\(*(?P<column>\w+|\"(?:[^\"]|\"\")+\") (?P<sign><=|>=|<|>) '?\(?(?P<number>-?\d+)\)?'?(?:::\w+)?\)*"
)


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
        self._trial = Trial(cursor, schema)
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
            broken = self._trial.refused(source, match.source, target, rule, used, control)
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
        broken = self._trial.refused(source, table, target, rule, [column], control)
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


def _ask(table: SourceTable, rule: Rule, used: Sequence[ColumnPlan], broken: Broken, decisions: Decisions) -> str:
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
