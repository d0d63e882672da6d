"""The form of a column that has no value yet: the first ones come from PostgreSQL, and the application looks for them
in its own spelling.

Taken, in this order: the form of the parent's column, by which rows are joined; the spelling that the declared length
leaves room for (Django keeps a UUID in char(32), without dashes); that of most columns of the same kind in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from migrations_app.engine.conversions.inverse_forms import column_affinity
from migrations_app.engine.conversions.type_parts import type_parts
from migrations_app.engine.plan import ColumnPlan, MovePlan
from migrations_app.engine.source.schema import SourceSchema
from migrations_app.engine.source.sqlite_ddl import fold

Place = tuple[str, str]  # table and column, by the source's names
Kind = tuple[str, str, str]  # conversion, target type, affinity

_UUID_LENGTHS = {32: "uuid:plain", 36: "uuid:dashes"}
_BYTES = ("binary", "blob", "varbinary")


class UnseenForms:
    """`forms`: of all columns, with whatever stands there for the `unseen` ones."""

    def __init__(
        self,
        schema: SourceSchema,
        plan: MovePlan,
        forms: Mapping[str, Mapping[str, str]],
        unseen: Collection[Place],
    ) -> None:
        self._forms, self._unseen = forms, unseen
        self._columns: dict[Place, ColumnPlan] = {}
        self._kinds: dict[Place, Kind] = {}
        self._parents: dict[Place, list[Place]] = {}
        self._names = {(fold(table), fold(name)): (table, name) for table in forms for name in forms[table]}
        primary = {fold(table.name): table.primary_key for table in schema.tables}
        for table in plan.tables:
            if not table.is_loaded:
                continue
            of_source = schema.table(table.name)
            for column in table.loaded_columns:
                kind = column_affinity(column.declared_type, strict=of_source.strict)
                self._columns[table.name, column.name] = column
                self._kinds[table.name, column.name] = column.conversion, column.target_type, kind
            for key in of_source.foreign_keys:
                columns = key.parent_columns or primary.get(fold(key.parent_table), ())
                for child, parent in zip(key.columns, columns, strict=False):
                    self._refer((table.name, child), (key.parent_table, parent))
        self._most = self._counted()

    def _refer(self, child: Place, parent: Place) -> None:
        found = [self._names.get((fold(table), fold(name))) for table, name in (child, parent)]
        if found[0] is not None and found[1] is not None:
            self._parents.setdefault(found[0], []).append(found[1])

    def _counted(self) -> dict[Kind, str]:
        counted: dict[Kind, Counter[str]] = {}
        for place, kind in self._kinds.items():
            if place not in self._unseen and place[1] in self._forms[place[0]]:
                counted.setdefault(kind, Counter())[self._forms[place[0]][place[1]]] += 1
        return {kind: forms.most_common(1)[0][0] for kind, forms in counted.items()}

    def form(self, place: Place, asked: frozenset[Place] = frozenset()) -> str:
        """Of one unseen column. asked: those behind which the question came, since keys may go in circles."""
        own = self._forms[place[0]][place[1]]
        if place not in self._unseen:
            return own
        for parent in self._parents.get(place, ()):
            if parent not in asked and self._kinds[parent] == self._kinds[place]:
                return self.form(parent, asked | {place})
        return self._declared(place) or self._most.get(self._kinds[place], own)

    def _declared(self, place: Place) -> str:
        column = self._columns[place]
        parts = type_parts(column.declared_type)
        if column.conversion != "uuid":
            return ""
        if parts.base in _BYTES:
            return "uuid:bytes"
        return _UUID_LENGTHS.get(parts.arguments[0], "") if parts.arguments else ""
