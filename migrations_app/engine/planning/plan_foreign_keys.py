"""Mode `create`: foreign keys, with what SQLite let pass: missing parents, parents that aren't unique, orphans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrations_app.engine.plan import Finding, ObjectPlan
from migrations_app.engine.planning.findings import WARN, Decisions
from migrations_app.engine.planning.left_out import LeftOut
from migrations_app.engine.planning.plan_objects import TableDraft, has_unique, name_list, quoted
from migrations_app.engine.source.row_keys import key_names, row_key_text
from migrations_app.engine.source.schema import SourceForeignKey, SourceTable
from migrations_app.engine.source.sqlite_ddl import fold
from migrations_app.engine.source.sqlite_source import Source, quote_name

_KEYS = 100  # of orphans, kept for those who look for them
_ACTIONS = frozenset({"CASCADE", "RESTRICT", "SET NULL", "SET DEFAULT"})


def plan_foreign_keys(
    source: Source, draft: TableDraft, drafts: Mapping[str, TableDraft], left_out: LeftOut, decisions: Decisions
) -> None:
    """Add every foreign key of a table to its draft, carried or listed with the reason."""
    for key in draft.source.foreign_keys:
        parent = drafts.get(fold(key.parent_table))
        problem = _problem(draft, key, parent)
        if problem[0] or parent is None:
            _omit(draft, key, problem, decisions)
        else:
            _carry(source, draft, key, parent, left_out, decisions)


def parent_columns(key: SourceForeignKey, parent: SourceTable) -> tuple[str, ...]:
    """The parent's columns: those named, else its primary key."""
    return key.parent_columns or parent.primary_key


def _problem(draft: TableDraft, key: SourceForeignKey, parent: TableDraft | None) -> tuple[str, str]:
    """('', '') when the key can be carried, else the finding's code and a clause."""
    if parent is None:
        return "FOREIGN_KEY_PARENT", f"its parent table {key.parent_table!r} isn't moved or isn't there"
    columns = parent_columns(key, parent.source)
    if len(columns) != len(key.columns) or any(fold(name) not in parent.columns for name in columns):
        return "FOREIGN_KEY_PARENT", f"the columns that it names in {key.parent_table!r} aren't there"
    if not has_unique(parent, columns):
        return "FOREIGN_KEY_PARENT", f"the parent's columns {', '.join(columns)} have no unique key"
    for child_name, parent_name in zip(key.columns, columns, strict=True):
        one, two = draft.columns[fold(child_name)], parent.columns[fold(parent_name)]
        same = one.target_type == two.target_type and one.conversion == two.conversion
        if not same and not _comparable(one.target_type, two.target_type):
            return (
                "FOREIGN_KEY_TYPES",
                f"{child_name} is {one.target_type}, the parent's {parent_name} {two.target_type}",
            )
    return "", ""


def _comparable(child: str, parent: str) -> bool:
    """Pairs of different types for which PostgreSQL has an equality operator that a foreign key may use."""
    if child == parent:
        return True
    return child == "bigint" and (parent.startswith("numeric") or parent == "double precision")


def _where(key: SourceForeignKey) -> str:
    return ", ".join(key.columns)


def _omit(draft: TableDraft, key: SourceForeignKey, problem: tuple[str, str], decisions: Decisions) -> None:
    code, why = problem
    decisions.ask(
        Finding(
            code,
            WARN,
            f"The foreign key {draft.source.name}({_where(key)}) to {key.parent_table} isn't created: {why}.",
            draft.source.name,
            _where(key),
            choices=("omit",),
        )
    )
    name = f"{draft.source.name}_{'_'.join(key.columns)}_fkey"
    draft.objects.append(ObjectPlan("foreign_key", name, "", False, why, {"parent": key.parent_table}))


def _carry(
    source: Source,
    draft: TableDraft,
    key: SourceForeignKey,
    parent: TableDraft,
    left_out: LeftOut,
    decisions: Decisions,
) -> None:
    columns = parent_columns(key, parent.source)
    orphans = count_orphans(source, draft.source, key.columns, parent.source, columns, left_out)
    choice = _decide(draft, key, parent, columns, orphans, decisions)
    name = draft.constraint_names.claim(f"{draft.source.name}_{'_'.join(key.columns)}_fkey")
    detail = {
        "columns": draft.targets(key.columns),
        "parent": parent.target_name,
        "parent_columns": parent.targets(columns),
        "not_valid": choice == "not_valid",
    }
    if choice == "omit":
        draft.objects.append(ObjectPlan("foreign_key", name, "", False, "left out, by choice", detail))
        return
    sql = (
        f"ALTER TABLE {draft.where} ADD CONSTRAINT {quoted(name)} FOREIGN KEY ({name_list(draft.targets(key.columns))})"
        f" REFERENCES {parent.where} ({name_list(parent.targets(columns))})"
    )
    sql += f" ON UPDATE {key.on_update}" if key.on_update in _ACTIONS else ""
    sql += f" ON DELETE {key.on_delete}" if key.on_delete in _ACTIONS else ""
    sql += " DEFERRABLE INITIALLY DEFERRED" if key.initially_deferred else ""
    sql += " NOT VALID" if choice == "not_valid" else ""
    draft.objects.append(ObjectPlan("foreign_key", name, sql, detail=detail))


def _decide(
    draft: TableDraft,
    key: SourceForeignKey,
    parent: TableDraft,
    columns: Sequence[str],
    orphans: Orphans,
    decisions: Decisions,
) -> str:
    """'create', 'not_valid' or 'omit'."""
    count = orphans.count
    wanted = {fold(name) for name in columns}
    # SQLite compares by the parent's collation (foreignkeys.html, section 3), PostgreSQL byte by byte.
    rules = sorted({c.collation for c in parent.source.columns if fold(c.name) in wanted} - {"BINARY"})
    refers = f"{draft.source.name} refer by {_where(key)} to {orphans.whose(parent.source)}"
    offered: tuple[str, ...]
    if rules:
        code, offered = "FOREIGN_KEY_NOCASE", ("not_valid", "omit") if count else ("create", "omit")
        message = (
            f"The foreign key {draft.source.name}({_where(key)}) compares by {', '.join(rules)} in SQLite, byte by byte"
            f" in PostgreSQL, where {count} row(s) of {refers}. New rows have to spell the parent's key exactly."
        )
    elif count:
        code, offered = "ORPHANS", ("not_valid", "omit")
        message = f"{count} row(s) of {refers}. They arrive, the foreign key is created NOT VALID."
    else:
        return "create"
    return decisions.ask(Finding(code, WARN, message, draft.source.name, _where(key), orphans.first, count, offered))


@dataclass(frozen=True)
class Orphans:
    """Rows that will be moved, and whose parent won't: how many, and the keys of the first of them.

    thinned: rows of the parent's table are left out by choice, so that their children are among these.
    """

    count: int
    keys: tuple[str, ...] = ()
    thinned: bool = False

    @property
    def first(self) -> str:
        return self.keys[0] if self.keys else ""

    def whose(self, parent: SourceTable) -> str:
        """What they refer to, in words."""
        return f"no row of {parent.name}{' that is moved: some are left out, by choice' if self.thinned else ''}"


def count_orphans(
    source: Source,
    child: SourceTable,
    columns: Sequence[str],
    parent: SourceTable,
    parents: Sequence[str],
    left_out: LeftOut,
) -> Orphans:
    """Rows of `child` that will be moved, whose key is complete and has no equal (as BINARY) in what is moved of
    `parent`.

    A LEFT JOIN, since SQLite builds an index of its own for it where there is none that serves.
    """
    pairs = list(zip(columns, parents, strict=True))
    joins = " AND ".join(
        f"p.{quote_name(there)} = c.{quote_name(here)}{_binary(child, parent, here, there)}" for here, there in pairs
    )
    complete = " AND ".join(f"c.{quote_name(here)} IS NOT NULL" for here in columns)
    names = key_names(child)
    shown = [f"c.{quote_name(name)}" for name in child.key] or ([f"c.{child.rowid_name}"] if names else ["1"])
    query = (
        f"SELECT {', '.join(shown)} FROM {quote_name(child.name)} c LEFT JOIN {quote_name(parent.name)} p"
        f" ON {joins}{left_out.kept(parent, 'p')}"
        f" WHERE {complete} AND p.{quote_name(parents[0])} IS NULL{left_out.kept(child, 'c')}"
    )
    count = 0
    keys: list[str] = []
    for row in source.query(query):
        count += 1
        if names and len(keys) < _KEYS:
            keys.append(row_key_text(names, row))
    return Orphans(count, tuple(keys), left_out.any_of(parent))


def _binary(child: SourceTable, parent: SourceTable, here: str, there: str) -> str:
    """COLLATE BINARY only where a column says otherwise: said always, it could keep SQLite from using an index."""
    found = {c.collation for c in child.columns if fold(c.name) == fold(here)}
    found |= {c.collation for c in parent.columns if fold(c.name) == fold(there)}
    return "" if found <= {"BINARY"} else " COLLATE BINARY"
