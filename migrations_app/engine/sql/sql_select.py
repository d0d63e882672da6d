"""Queries of SQLite's views to PostgreSQL's text: names resolved as SQLite resolves them, stars written out.

Every column of a result carries its Value, so that what reads the query knows what it compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from migrations_app.engine.source.sqlite_ddl import fold
from migrations_app.engine.sql.sql_expressions import Expressions, only
from migrations_app.engine.sql.sql_order import limit_of, ordinal, refuse_collations, refuse_limit, term
from migrations_app.engine.sql.sql_parse import NotTranslated
from migrations_app.engine.sql.sql_relations import FromItem, Relation, Result, Scope, merged, named, names_of, quoted
from migrations_app.engine.sql.sql_values import Value, number, text_literal


@dataclass(frozen=True)
class Queries:
    """relations: by folded name. utf16: of the file."""

    relations: Mapping[str, Relation]
    utf16: bool = False

    def query(self, node: Any, outer: Scope | None = None) -> Result:
        """SELECT, compound or WITH. Raises NotTranslated."""
        while isinstance(node, exp.Subquery | exp.Paren):
            only(node, "this")
            node = node.this
        if node.args.get("with_") is not None:
            return self._with(node, outer)
        if isinstance(node, exp.Select):
            return self._select(node, outer)
        if isinstance(node, exp.SetOperation):
            return self._compound(node, outer)
        raise NotTranslated("it is no plain query")

    def _with(self, node: Any, outer: Scope | None) -> Result:
        known, parts = dict(self.relations), []
        for cte in node.args["with_"].expressions:
            only(cte, "this", "alias", "materialized")
            found = Queries(known, self.utf16).query(cte.this, outer)
            names = [item.name for item in cte.args["alias"].args.get("columns") or ()]
            relation = named(quoted(cte.alias), found, names)
            parts.append(f"{relation.sql} ({names_of(relation)}) AS ({found.sql})")
            known[fold(cte.alias)] = relation
        bare = node.copy()
        bare.set("with_", None)
        found = Queries(known, self.utf16).query(bare, outer)
        return replace(found, sql=f"WITH {', '.join(parts)} {found.sql}")

    def _compound(self, node: Any, outer: Scope | None) -> Result:
        only(node, "this", "expression", "distinct", "order", "limit", "offset")
        refuse_limit(node)
        left, right = self.query(node.this, outer), self.query(node.expression, outer)
        if len(left.columns) != len(right.columns):
            raise NotTranslated("its parts have different numbers of columns")
        pairs = zip(left.columns, right.columns, strict=True)
        columns = tuple((name, merged(one, two)) for (name, one), (_, two) in pairs)
        word = {exp.Union: "UNION", exp.Except: "EXCEPT", exp.Intersect: "INTERSECT"}[type(node)]
        if node.args.get("distinct"):
            refuse_collations(value for _, value in (*left.columns, *right.columns))
        else:
            word += " ALL"
        return self._ordered(Result(f"({left.sql}) {word} ({right.sql})", columns), node)

    def _ordered(self, found: Result, node: Any) -> Result:
        """ORDER BY over a finished result: by its columns' names or numbers."""
        order = node.args.get("order")
        if order is None:
            return found
        relation = named("ordered", found, [])
        names = {fold(name): value for name, value in relation.columns}
        terms = []
        for each in order.expressions:
            place = each.this
            if isinstance(place, exp.Literal) and not place.is_string and place.name.isdigit():
                value = relation.columns[ordinal(place.name, len(relation.columns))][1]
            elif isinstance(place, exp.Column) and not place.table and fold(place.name) in names:
                value = names[fold(place.name)]
            else:
                raise NotTranslated("it orders a compound or distinct result by what isn't a column of it")
            terms.append(term(each, value, utf16=self.utf16))
        sql = f"SELECT * FROM ({found.sql}) AS ordered ({names_of(relation)}) ORDER BY {', '.join(terms)}"
        return replace(found, sql=sql)

    # One SELECT

    def _select(self, node: exp.Select, outer: Scope | None) -> Result:
        only(
            node,
            *("expressions", "from_", "joins", "where", "group", "having", "distinct", "order", "limit", "offset"),
        )
        scope = Scope(outer)
        text_from = self._from(node, scope)
        scope.aliases = {fold(e.alias): e.this for e in node.expressions if isinstance(e, exp.Alias)}
        plain = self._expressions(scope)
        grouped = replace(plain, aggregates=True)
        columns = self._projections(node, scope, grouped)
        parts = [f"SELECT {'DISTINCT ' if node.args.get('distinct') else ''}{', '.join(_out(v) for _, v in columns)}"]
        parts += [f"FROM {text_from}"] if text_from else []
        if (where := node.args.get("where")) is not None:
            parts.append(f"WHERE {plain.condition(where.this)}")
        if (group := node.args.get("group")) is not None:
            parts.append(f"GROUP BY {self._group(group, columns, scope, plain)}")
        if (having := node.args.get("having")) is not None:
            parts.append(f"HAVING {grouped.condition(having.this)}")
        found = Result(" ".join(parts), tuple((name, _result(value)) for name, value in columns))
        if node.args.get("distinct"):
            only(node.args["distinct"])
            refuse_collations(value for _, value in columns)
            refuse_limit(node)
            return self._ordered(found, node)
        return self._finished(found, node, scope, grouped, columns)

    def _expressions(self, scope: Scope) -> Expressions:
        def column(name: str, table: str, in_quotes: bool) -> Value:
            return self._resolve(scope, name, table, in_quotes)

        def query(node: Any) -> tuple[str, list[Value]]:
            found = self.query(node, scope)
            return found.sql, [value for _, value in found.columns]

        return Expressions(column, query, self.utf16)

    def _resolve(self, scope: Scope, name: str, table: str, in_quotes: bool) -> Value:
        here: Scope | None = scope
        while here is not None:
            found = self._lookup(here, name, table)
            if found is not None:
                return found
            here = here.outer
        if in_quotes and not table:
            return text_literal(name)
        raise NotTranslated(f"{name} is no column of what it reads")

    def _lookup(self, scope: Scope, name: str, table: str) -> Value | None:
        sources = [s for s in scope.sources if not table or fold(s.alias) == fold(table)]
        found = [s.column(name) for s in sources if table or fold(name) not in s.hidden]
        values = [value for value in found if value is not None]
        if len(values) > 1:
            raise NotTranslated(f"{name} is a column of several tables")
        if values:
            return values[0]
        key = fold(name)
        if table or key not in scope.aliases or key in scope.open_aliases:
            return None
        scope.open_aliases.add(key)
        try:
            return replace(self._expressions(scope), aggregates=True).value(scope.aliases[key])
        finally:
            scope.open_aliases.discard(key)

    def _projections(self, node: exp.Select, scope: Scope, work: Expressions) -> list[tuple[str, Value]]:
        columns: list[tuple[str, Value]] = []
        for each in node.expressions:
            star = each.this if isinstance(each, exp.Column) else each
            if isinstance(star, exp.Star):
                only(star)
                columns += self._star(scope, each.table if isinstance(each, exp.Column) else "")
            elif isinstance(each, exp.Alias):
                columns.append((each.alias, work.value(each.this)))
            else:
                columns.append((each.name if isinstance(each, exp.Column) else "", work.value(each)))
        return columns

    @staticmethod
    def _star(scope: Scope, table: str) -> list[tuple[str, Value]]:
        sources = [source for source in scope.sources if not table or fold(source.alias) == fold(table)]
        if not sources:
            raise NotTranslated("its star has nothing to stand for")
        found = []
        for source in sources:
            for name, value in source.relation.columns:
                if table or fold(name) not in source.hidden:
                    found.append((name, replace(value, sql=f"{quoted(source.alias)}.{value.sql}")))
        return found

    # FROM

    def _from(self, node: exp.Select, scope: Scope) -> str:
        first = node.args.get("from_")
        if first is None:
            return ""
        only(first, "this")
        parts = [self._relation(first.this, scope)]
        for join in node.args.get("joins") or ():
            only(join, "this", "kind", "side", "on", "using", "method")
            parts.append(self._join(join, scope))
        return " ".join(parts)

    def _relation(self, node: Any, scope: Scope) -> str:
        """The text of one thing in FROM; adds it to the scope."""
        if isinstance(node, exp.Table):
            only(node, "this", "alias", "db")
            if node.args.get("db") is not None and fold(node.db) != "main":
                raise NotTranslated("it reads another database")
            relation = self.relations.get(fold(node.name))
            if relation is None:
                raise NotTranslated(f"it reads {node.name}, which isn't there or isn't moved")
            alias, text_of = node.alias or node.name, relation.sql
        elif isinstance(node, exp.Subquery):
            only(node, "this", "alias")
            found = self.query(node.this)
            alias = node.alias or f"query {len(scope.sources) + 1}"
            relation = named("", found, [])
            scope.sources.append(FromItem(alias, relation))
            return f"({found.sql}) AS {quoted(alias)} ({names_of(relation)})"
        else:
            raise NotTranslated("it reads from what isn't a table or query")
        scope.sources.append(FromItem(alias, relation))
        return f"{text_of} AS {quoted(alias)}"

    def _join(self, join: exp.Join, scope: Scope) -> str:
        before = list(scope.sources)
        relation = self._relation(join.this, scope)
        side = (join.args.get("side") or "").upper()
        if side not in ("", "LEFT"):
            raise NotTranslated(f"{side} JOIN has no translation")
        if (join.args.get("kind") or "").upper() not in ("", "INNER", "CROSS", "OUTER"):
            raise NotTranslated("such a JOIN has no translation")
        work = self._expressions(scope)
        tests = [work.condition(join.args["on"])] if join.args.get("on") is not None else []
        tests += self._using(join, scope, before, work)
        if side:
            return f"LEFT JOIN {relation} ON {' AND '.join(tests) or 'TRUE'}"
        return f"JOIN {relation} ON {' AND '.join(tests)}" if tests else f"CROSS JOIN {relation}"

    def _using(self, join: exp.Join, scope: Scope, before: list[FromItem], work: Expressions) -> list[str]:
        names = [item.name for item in join.args.get("using") or ()]
        new = scope.sources[-1]
        if (join.args.get("method") or "").upper() == "NATURAL":
            earlier = {fold(name) for source in before for name, _ in source.relation.columns}
            names = [name for name, _ in new.relation.columns if fold(name) in earlier]
        elif join.args.get("method"):
            raise NotTranslated("such a JOIN has no translation")
        tests = []
        for name in names:
            left = [s.column(name) for s in before if fold(name) not in s.hidden]
            known = [value for value in left if value is not None]
            right = new.column(name)
            if len(known) != 1 or right is None:
                raise NotTranslated(f"{name} in USING isn't a column of both sides")
            tests.append(work.compare("=", known[0], right))
        scope.sources[-1] = replace(new, hidden=frozenset(map(fold, names)))
        return tests

    # GROUP BY, ORDER BY, LIMIT

    @staticmethod
    def _group(group: Any, columns: list[tuple[str, Value]], scope: Scope, work: Expressions) -> str:
        only(group, "expressions")
        terms = []
        for each in group.expressions:
            if isinstance(each, exp.Literal) and not each.is_string and each.name.isdigit():
                value = columns[ordinal(each.name, len(columns))][1]
            else:
                value = work.value(each)
            if value.literal is not None or value.form in ("null", "other"):
                raise NotTranslated("it groups by a constant, or by what can't be compared")
            refuse_collations([value])
            terms.append(value.sql)
        return ", ".join(terms)

    def _finished(
        self,
        found: Result,
        node: exp.Select,
        scope: Scope,
        work: Expressions,
        columns: list[tuple[str, Value]],
    ) -> Result:
        """ORDER BY and LIMIT of a plain SELECT."""
        order = node.args.get("order")
        terms: list[str] = []
        for each in order.expressions if order is not None else ():
            place = each.this
            if isinstance(place, exp.Literal) and not place.is_string and place.name.isdigit():
                value = columns[ordinal(place.name, len(columns))][1]
            else:
                # An alias comes before a column here.
                aliased = isinstance(place, exp.Column) and not place.table and fold(place.name) in scope.aliases
                value = work.value(scope.aliases[fold(place.name)] if aliased else place)
            if value.literal is None and value.form != "null":
                terms.append(term(each, value, utf16=self.utf16))
        sql = f"{found.sql} ORDER BY {', '.join(terms)}" if terms else found.sql
        return replace(found, sql=sql + limit_of(node, scope))


def _out(value: Value) -> str:
    """A value as a column of the result: what SQLite gives as 0 or 1 is a number here too, but for boolean columns."""
    if value.form == "boolean" and not value.stays:
        return number(value).sql
    if value.literal is not None and value.form == "text":
        return f"{value.sql}::text"
    return value.sql


def _result(value: Value) -> Value:
    found = number(value) if value.form == "boolean" and not value.stays else value
    return replace(found, explicit=False, literal=None)
