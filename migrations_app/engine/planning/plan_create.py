"""Mode `create`: the whole plan of a schema of our own making."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.row_width import FEWEST_COLUMNS
from migrations_app.engine.plan import LOAD, SKIP, ColumnPlan, Finding, ObjectPlan, TablePlan
from migrations_app.engine.planning.findings import INFO, WARN, Decisions
from migrations_app.engine.planning.left_out import LeftOut
from migrations_app.engine.planning.plan_checks import plan_checks
from migrations_app.engine.planning.plan_foreign_keys import plan_foreign_keys
from migrations_app.engine.planning.plan_generated import plan_generated
from migrations_app.engine.planning.plan_merged_keys import refuse_merged_keys
from migrations_app.engine.planning.plan_objects import ObjectPlanner, TableDraft, by_folded_name, quoted
from migrations_app.engine.planning.plan_tables import Selection, select_tables
from migrations_app.engine.planning.plan_views import plan_triggers, plan_views
from migrations_app.engine.planning.plan_wide_rows import SKIP_ROWS, SKIP_TABLE, ask_for_wide_rows, without_wide_rows
from migrations_app.engine.planning.typemap import TypeChoice, candidates_for, choose_type, late_candidates
from migrations_app.engine.profile.profile import ColumnProfile, Profile, TableProfile, profile_source
from migrations_app.engine.source.schema import SourceColumn, SourceTable
from migrations_app.engine.source.sqlite_ddl import fold, parse_index, tokenize
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.sql.defaults import translate_default
from migrations_app.engine.sql.names import SYSTEM_COLUMNS, Names
from migrations_app.engine.sql.translate import NotTranslated

_BUILTIN_COLLATIONS = frozenset({"BINARY", "NOCASE", "RTRIM"})


@dataclass(frozen=True)
class Drafted:
    """What a mode's planner gives back to make_plan()."""

    tables: tuple[TablePlan, ...]
    objects: tuple[ObjectPlan, ...]
    profile: Profile


def plan_create(source: Source, excluded: Sequence[str], decisions: Decisions, control: Control) -> Drafted:
    """Tables, columns, keys, views and triggers; all findings are recorded in `decisions`."""
    selections = select_tables(source, excluded, decisions)
    moved = [item.table for item in selections if item.rule == LOAD]
    candidates = {
        (table.name, column.name): candidates_for(table.name, column, decisions)
        for table in moved
        for column in table.columns
        if not column.hidden
    }
    profile = profile_source(source, [table.name for table in moved], candidates, control)
    profile = _second_look(source, moved, profile, control)
    wide = {item.name: _wide_rows(source, item, profile.table(item.name), decisions, control) for item in moved}
    selections = [_without_wide(item, wide.get(item.table.name, "")) for item in selections]
    moved = [item.table for item in selections if item.rule == LOAD]
    relations = Names()
    table_names = {table.name: _claim_table(relations, table.name, decisions) for table in moved}
    drafts = [
        _draft(table, table_names[table.name], profile.table(table.name), source.schema.encoding, decisions)
        for table in moved
    ]
    planner = ObjectPlanner(relations, decisions)
    for draft in drafts:
        planner.primary_key(draft)
        planner.indexes(draft)
        plan_checks(source, draft, planner)
    by_name = by_folded_name(drafts)
    moved_columns = {draft.source.name: _moved_columns(draft, wide[draft.source.name]) for draft in drafts}
    left_out = LeftOut(source, moved_columns, control)
    for draft in drafts:
        control.checkpoint()
        refuse_merged_keys(source, draft, left_out, decisions)
        plan_foreign_keys(source, draft, by_name, left_out, decisions)
    views = plan_views(source.schema, drafts, relations, decisions)
    triggers = plan_triggers(source.schema.triggers, decisions)
    made = {draft.source.name: _finish(draft, moved_columns[draft.source.name]) for draft in drafts}
    tables = tuple(made.get(item.table.name) or skipped(item) for item in selections)
    return Drafted(tables, (*views, *triggers), profile)


def _second_look(source: Source, moved: Sequence[SourceTable], profile: Profile, control: Control) -> Profile:
    """Try what can be chosen for columns that don't fit their declared type; few files have one, so they pay for it."""
    late = {
        (table.name, column.name): found
        for table in moved
        for column in table.columns
        if not column.hidden and (found := late_candidates(column, profile.table(table.name).column(column.name)))
    }
    names = [table.name for table in moved if any(name == table.name for name, _ in late)]
    more = {table.name: table for table in profile_source(source, names, late, control).tables}
    return Profile(tuple(_with_fits(table, more.get(table.name)) for table in profile.tables))


def _with_fits(table: TableProfile, more: TableProfile | None) -> TableProfile:
    if more is None:
        return table
    columns = (replace(c, fits=(*c.fits, *more.column(c.name).fits)) for c in table.columns)
    return replace(table, columns=tuple(columns))


def _wide_rows(
    source: Source, table: SourceTable, profile: TableProfile, decisions: Decisions, control: Control
) -> str:
    """What was chosen for rows that are too wide. Columns have their types only in a draft: one is made to measure."""
    if len(table.columns) < FEWEST_COLUMNS:
        return ""
    draft = _draft(table, table.name, profile, source.schema.encoding, decisions.rehearsed())
    return ask_for_wide_rows(source, table, tuple(draft.columns.values()), profile, decisions, control)


def _without_wide(item: Selection, choice: str) -> Selection:
    return Selection(item.table, SKIP, "its rows are too wide; left out, by choice") if choice == SKIP_TABLE else item


def skipped(item: Selection) -> TablePlan:
    """A table that is left out, its columns not looked at."""
    return TablePlan(item.table.name, item.table.name, SKIP, (), item.table.key, (), item.reason)


def _claim_table(relations: Names, name: str, decisions: Decisions) -> str:
    claimed = relations.claim(name)
    if claimed != name:
        decisions.ask(Finding("NAME_CHANGED", INFO, f"Table {name!r} is called {claimed!r} in the target.", name))
    return claimed


def _draft(table: SourceTable, target: str, profile: TableProfile, encoding: str, decisions: Decisions) -> TableDraft:
    names = Names(SYSTEM_COLUMNS)
    draft = TableDraft(table, target, {}, profile, utf16=encoding != "UTF-8")
    if not table.key and table.kind == "table":
        message = f"Table {table.name} has no primary key: its rows are told apart by rowid, which isn't carried over."
        decisions.ask(Finding("ROWID_MAY_BE_DATA", INFO, message, table.name))
    indexed, compared = _indexed_columns(table), _compared_columns(table)
    for column in table.columns:
        if column.hidden:
            continue
        plan = _column(table, column, profile.column(column.name), encoding, decisions, fold(column.name) in indexed)
        if plan.target_type == "text" and column.collation == "BINARY" and fold(column.name) in indexed | compared:
            plan = replace(plan, collation="C")
        draft.columns[fold(column.name)] = replace(plan, target_name=_claim_column(names, table, column, decisions))
    for column in table.columns:
        if not column.hidden:
            _default_and_expression(draft, column, decisions)
    return draft


def _claim_column(names: Names, table: SourceTable, column: SourceColumn, decisions: Decisions) -> str:
    claimed = names.claim(column.name)
    if claimed != column.name:
        message = f"Column {table.name}.{column.name} is called {claimed!r} in the target."
        decisions.ask(Finding("NAME_CHANGED", INFO, message, table.name, column.name))
    return claimed


def _indexed_columns(table: SourceTable) -> set[str]:
    """Folded names of columns in keys, indexes and foreign keys."""
    named = {part.name for index in table.indexes for part in index.columns if part.name}
    named |= {name for key in table.foreign_keys for name in key.columns}
    return {fold(name) for name in named | set(table.primary_key)}


def _compared_columns(table: SourceTable) -> set[str]:
    """Folded words of the expressions and conditions of indexes: what they compare, they compare byte by byte."""
    texts = [text for index in table.indexes if index.sql for text in (*parse_index(index.sql).parts, index.where)]
    return {fold(token.name) for text in texts for token in tokenize(text) if token.kind in ("word", "quoted")}


def _column(
    table: SourceTable, column: SourceColumn, profile: ColumnProfile, encoding: str, decisions: Decisions, indexed: bool
) -> ColumnPlan:
    choice = choose_type(table.name, column, profile, encoding, decisions)
    if choice.conversion == "json" and indexed:
        # json has no equality, so no index and no key can be made of it.
        choice = TypeChoice("text", "text", f"{choice.reason}; text, because it is indexed", choice.on_unfit)
    not_null, on_unfit = _nulls(table, column, profile, choice, decisions)
    _collation(table, column, decisions)
    return ColumnPlan(
        name=column.name,
        target_name=column.name,
        declared_type=column.declared_type,
        target_type=choice.target_type,
        conversion=choice.conversion,
        not_null=not_null,
        identity=fold(column.name) == fold(table.rowid_alias or "") and choice.target_type == "bigint",
        reason=choice.reason,
        on_unfit=on_unfit,
    )


def _nulls(
    table: SourceTable, column: SourceColumn, profile: ColumnProfile, choice: TypeChoice, decisions: Decisions
) -> tuple[bool, str]:
    """Whether the target's column is NOT NULL, and what happens to rows that don't fit."""
    in_key = column.pk_position > 0
    if not (column.not_null or in_key):
        return False, choice.on_unfit
    if not profile.nulls:
        return True, choice.on_unfit
    code = "NULL_IN_PRIMARY_KEY" if in_key else "NULLS_BREAK_NOT_NULL"
    offered = ("unique", "skip_rows") if in_key else ("drop_not_null", "skip_rows")
    what = "is in the primary key" if in_key else "is declared NOT NULL"
    finding = Finding(
        code,
        WARN,
        f"{table.name}.{column.name} {what}, and {profile.nulls} row(s) have NULL there.",
        table.name,
        column.name,
        count=profile.nulls,
        choices=offered,
    )
    skip = decisions.ask(finding) == "skip_rows"
    return skip, "skip_row" if skip else choice.on_unfit


def _collation(table: SourceTable, column: SourceColumn, decisions: Decisions) -> None:
    if column.collation == "BINARY":
        return
    known = column.collation in _BUILTIN_COLLATIONS
    code = "NOCASE_COLUMN" if known else "UNKNOWN_COLLATION"
    where = f"{table.name}.{column.name}"
    message = (
        f"{where} compares by {column.collation} in SQLite; in PostgreSQL letters' case and trailing blanks count."
        " Unique keys get an index that keeps the rule."
        if known
        else f"{where} compares by {column.collation}, which only the application knows: its order isn't carried over."
    )
    decisions.ask(Finding(code, INFO, message, table.name, column.name))


def _default_and_expression(draft: TableDraft, column: SourceColumn, decisions: Decisions) -> None:
    """Fill in a column's default or generating expression once all columns of the table have their types."""
    plan = draft.columns[fold(column.name)]
    if column.generated:
        draft.columns[fold(column.name)] = plan_generated(draft, column, decisions)
    elif column.default is not None:
        default, obj = _default(draft, column, plan, decisions)
        draft.columns[fold(column.name)] = replace(plan, default_sql=default)
        if obj is not None:
            draft.objects.append(obj)


def _default(
    draft: TableDraft, column: SourceColumn, plan: ColumnPlan, decisions: Decisions
) -> tuple[str | None, ObjectPlan | None]:
    source_sql = column.default or ""
    detail = {"source": source_sql, "column": plan.target_name}
    try:
        if plan.identity:
            raise NotTranslated("the column's numbers are given out by its identity")
        text = translate_default(source_sql, column.declared_type, plan.target_type, plan.conversion)
    except NotTranslated as error:
        message = f"The default of {draft.source.name}.{column.name} isn't carried over: {error}."
        decisions.ask(Finding("DEFAULT_NOT_CARRIED", INFO, message, draft.source.name, column.name))
        return None, ObjectPlan("default", column.name, "", False, str(error), detail)
    if text is None:
        return None, None
    sql = f"ALTER TABLE {draft.where} ALTER COLUMN {quoted(plan.target_name)} SET DEFAULT {text}"
    return text, ObjectPlan("default", plan.target_name, sql, detail=detail)


def _moved_columns(draft: TableDraft, wide: str) -> tuple[ColumnPlan, ...]:
    columns = tuple(draft.columns[fold(column.name)] for column in draft.source.columns if not column.hidden)
    return without_wide_rows(columns) if wide == SKIP_ROWS else columns


def _finish(draft: TableDraft, columns: tuple[ColumnPlan, ...]) -> TablePlan:
    source = draft.source
    usable = all(draft.columns[fold(name)].not_null and draft.columns[fold(name)].load for name in source.key)
    return TablePlan(
        name=source.name,
        target_name=draft.target_name,
        rule=LOAD,
        columns=columns,
        key=source.key if usable else (),
        objects=tuple(draft.objects),
        reason="the content of a virtual table" if source.kind == "virtual" else "",
    )
