"""Mode `create`: keys and indexes of one table as PostgreSQL statements; what all planners of objects share.

Names of indexes and of the constraints that own one share a namespace with tables and views in PostgreSQL; names of
other constraints need only differ within their table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from migrations_app.engine.plan import ColumnPlan, Finding, ObjectPlan
from migrations_app.engine.planning.findings import INFO, REFUSE, WARN, Decisions
from migrations_app.engine.profile.profile import TableProfile
from migrations_app.engine.source.schema import IndexColumn, SourceIndex, SourceTable
from migrations_app.engine.source.sqlite_ddl import fold, parse_index
from migrations_app.engine.sql.names import Names
from migrations_app.engine.sql.sql_compare import collated
from migrations_app.engine.sql.sql_values import column_value
from migrations_app.engine.sql.translate import NotTranslated, Scope, expression, predicate

_INDEX_ROOM = 2600  # bytes; PostgreSQL's limit for a b-tree entry is 2,704 on pages of 8 kB
FITS, TRY = "fits", "try"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def name_list(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)


@dataclass
class TableDraft:
    """A table on its way into the plan: what later stages of planning need to know of it."""

    source: SourceTable
    target_name: str
    columns: dict[str, ColumnPlan]  # by folded source name
    profile: TableProfile
    constraint_names: Names = field(default_factory=Names)
    unique_sets: list[tuple[str, ...]] = field(default_factory=list)  # folded columns with a plain unique key
    objects: list[ObjectPlan] = field(default_factory=list)
    utf16: bool = False

    @property
    def scope(self) -> Scope:
        """What the names of columns mean in an expression."""
        sources = {fold(column.name): column for column in self.source.columns}
        return Scope(
            {
                name: column_value(quoted(plan.target_name), plan, sources[name], self.profile.column(plan.name))
                for name, plan in self.columns.items()
            },
            self.utf16,
        )

    def targets(self, names: Sequence[str]) -> list[str]:
        return [self.columns[fold(name)].target_name for name in names]

    @property
    def where(self) -> str:
        return f"{{schema}}.{quoted(self.target_name)}"


@dataclass(frozen=True)
class ObjectPlanner:
    """Shared by all tables of a plan: the relations' namespace and the decisions."""

    relations: Names
    decisions: Decisions

    def lost(self, draft: TableDraft, kind: str, name: str, why: str, sql: str = "") -> None:
        """List an object that stays behind."""
        code = {"check": "CHECK_NOT_CARRIED", "default": "DEFAULT_NOT_CARRIED"}.get(kind, "INDEX_NOT_CARRIED")
        column = name if kind == "default" else ""
        place = f"{draft.source.name}.{name}" if name else draft.source.name
        self.decisions.ask(
            Finding(code, INFO, f"The {kind} {place} isn't carried over: {why}.", draft.source.name, column)
        )
        draft.objects.append(ObjectPlan(kind, name, "", False, why, {"source": sql}))

    def primary_key(self, draft: TableDraft) -> None:
        key = draft.source.primary_key
        if not key:
            return
        if not all(draft.columns[fold(name)].not_null for name in key):
            self.unique(draft, key, "NULL occurs in the primary key")
            return
        room = self._room(draft, "primary key", key)
        if not room:
            draft.objects.append(ObjectPlan("primary_key", "", "", False, "its values may be too wide"))
            return
        name = draft.constraint_names.claim(self.relations.claim(f"{draft.source.name}_pkey"))
        sql = f"ALTER TABLE {draft.where} ADD CONSTRAINT {quoted(name)} PRIMARY KEY ({name_list(draft.targets(key))})"
        detail = {"columns": draft.targets(key), "try": room == TRY}
        draft.objects.append(ObjectPlan("primary_key", name, sql, detail=detail))
        draft.unique_sets.append(tuple(fold(item) for item in key))
        self._nocase_twin(draft, [IndexColumn(item, False, self._collation(draft, item)) for item in key])

    def unique(self, draft: TableDraft, columns: Sequence[str], why: str = "") -> None:
        """A plain UNIQUE constraint: NULLs differ from one another, as in SQLite."""
        room = self._room(draft, "unique key", columns)
        if not room:
            draft.objects.append(ObjectPlan("unique", "_".join(columns), "", False, "its values may be too wide"))
            return
        name = self.relations.claim(f"{draft.source.name}_{'_'.join(columns)}_key")
        name = draft.constraint_names.claim(name)
        targets = draft.targets(columns)
        sql = f"ALTER TABLE {draft.where} ADD CONSTRAINT {quoted(name)} UNIQUE ({name_list(targets)})"
        draft.objects.append(ObjectPlan("unique", name, sql, why=why, detail={"columns": targets, "try": room == TRY}))
        draft.unique_sets.append(tuple(fold(item) for item in columns))

    def indexes(self, draft: TableDraft) -> None:
        """All indexes but the primary key's own."""
        for index in draft.source.indexes:
            if index.origin == "pk":
                continue
            if index.origin == "u" and all(part.name for part in index.columns):
                self.unique(draft, [part.name for part in index.columns if part.name])
                self._nocase_twin(draft, index.columns)
            else:
                self._index(draft, index)

    def _index(self, draft: TableDraft, index: SourceIndex) -> None:
        plain = [part.name for part in index.columns if part.name]
        try:
            parts = self._parts(draft, index)
            where = f" WHERE {predicate(index.where, draft.scope)}" if index.where else ""
        except NotTranslated as error:
            self.lost(draft, "index", index.name, str(error), index.sql or "")
            return
        room = self._room(draft, f"index {index.name}", plain, unique=index.unique)
        if not room:
            draft.objects.append(ObjectPlan("index", index.name, "", False, "its values may be too wide", {}))
            return
        name = self.relations.claim(index.name)
        unique = "UNIQUE " if index.unique else ""
        sql = f"CREATE {unique}INDEX {quoted(name)} ON {draft.where} ({', '.join(parts)}){where}"
        expressions = len(plain) < len(index.columns) or bool(where)
        detail = {
            "columns": draft.targets(plain),
            "unique": index.unique,
            "try": expressions,
            "source": index.sql or "",
        }
        draft.objects.append(ObjectPlan("index", name, sql, detail=detail))
        simple = index.unique and not expressions and all(part.collation == "BINARY" for part in index.columns)
        if simple:
            draft.unique_sets.append(tuple(fold(item) for item in plain))

    def _parts(self, draft: TableDraft, index: SourceIndex) -> list[str]:
        """The key parts of an index: columns by name, expressions translated, NOCASE as lower()."""
        texts = parse_index(index.sql or "").parts
        parts: list[str] = []
        for place, part in enumerate(index.columns):
            if part.name is None:
                if place >= len(texts):
                    raise NotTranslated("its expression wasn't found")
                value = expression(texts[place], draft.scope)
                text = f"({collated(value, part.collation) if value.is_text else value.sql})"
            else:
                text = self._key_part(draft, part)
            parts.append(f"{text} DESC NULLS LAST" if part.descending else f"{text} NULLS FIRST")
        return parts

    def _key_part(self, draft: TableDraft, part: IndexColumn) -> str:
        column = draft.columns[fold(part.name or "")]
        name = quoted(column.target_name)
        if column.target_type != "text" or part.collation == "BINARY":
            return name
        if part.collation == "NOCASE":
            # In collation "C" lower() folds A to Z only, which is what NOCASE folds.
            return f'lower({name} COLLATE "C")'
        if part.collation == "RTRIM":
            return f"rtrim({name}, ' ')"
        raise NotTranslated(f"PostgreSQL has no collation {part.collation}")

    def _nocase_twin(self, draft: TableDraft, columns: Sequence[IndexColumn]) -> None:
        """A unique key that ignores case needs a second index: the plain one serves foreign keys."""
        special = [part for part in columns if part.collation != "BINARY"]
        texts = [part for part in special if draft.columns[fold(part.name or "")].target_type == "text"]
        if not texts:
            return
        names = [part.name or "" for part in columns]
        try:
            parts = [self._key_part(draft, part) for part in columns]
        except NotTranslated as error:
            self.lost(draft, "index", "_".join(names), str(error))
            return
        name = self.relations.claim(f"{draft.source.name}_{'_'.join(names)}_nocase")
        sql = f"CREATE UNIQUE INDEX {quoted(name)} ON {draft.where} ({', '.join(parts)})"
        detail = {"columns": draft.targets(names), "unique": True, "try": True}
        draft.objects.append(ObjectPlan("index", name, sql, why="SQLite compares this key without case", detail=detail))

    @staticmethod
    def _collation(draft: TableDraft, name: str) -> str:
        return next((c.collation for c in draft.source.columns if fold(c.name) == fold(name)), "BINARY")

    def _room(self, draft: TableDraft, what: str, columns: Sequence[str], *, unique: bool = True) -> str:
        """FITS when the key fits a b-tree, TRY when it is to be tried all the same, '' when it is left out."""
        widest = sum(draft.profile.column(draft.columns[fold(name)].name).max_bytes for name in columns)
        if widest <= _INDEX_ROOM:
            return FITS
        finding = Finding(
            "KEY_TOO_WIDE",
            REFUSE if unique else WARN,
            f"The {what} of {draft.source.name} has values of {widest} bytes: PostgreSQL's indexes take 2,704 at most.",
            draft.source.name,
            ",".join(columns),
            choices=("omit", "try"),
        )
        return "" if self.decisions.ask(finding) == "omit" else TRY


def has_unique(draft: TableDraft, columns: Sequence[str]) -> bool:
    """Whether a plain unique key of the target has exactly these columns."""
    wanted = {fold(name) for name in columns}
    return any(set(found) == wanted for found in draft.unique_sets)


def by_folded_name(drafts: Sequence[TableDraft]) -> Mapping[str, TableDraft]:
    return {fold(draft.source.name): draft for draft in drafts}
