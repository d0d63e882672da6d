"""Reads a PostgreSQL schema from its catalogs into plain data (target_schema.py). Nothing of extensions is listed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target_schema import (
    FOREIGN,
    PARTITIONED,
    TABLE,
    VERSION_TABLES,
    TargetCheck,
    TargetColumn,
    TargetForeignKey,
    TargetIndex,
    TargetSchema,
    TargetTable,
    TargetTrigger,
    TargetView,
)

KINDS = {"r": TABLE, "p": PARTITIONED, "f": FOREIGN}
_NOT_OF_EXTENSION = (
    "NOT EXISTS (SELECT 1 FROM pg_depend e"
    " WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')"
)
_VERSION_ROWS = 5000  # schema-version tables are small; a table of that name that isn't is left unread


def read_target_schema(connection: Connection, schema: str, *, count_rows: bool = True) -> TargetSchema:
    """Everything in `schema`, read in the connection's current transaction (names sorted as text).

    `rows` of each table is 0 (empty), exact up to 10,000 rows, or -1 (more, not counted).
    """
    with connection.cursor() as cursor:
        return read_schema(cursor, schema, count_rows=count_rows)


def read_schema(cursor: Cursor, schema: str, *, count_rows: bool = True) -> TargetSchema:
    """As read_target_schema, on a cursor. Definitions are printed as seen from `schema`: its own names unqualified."""
    cursor.execute("SELECT current_setting('search_path')")
    before = cursor.fetchone()[0]
    cursor.execute("SELECT set_config('search_path', %s, true)", (quote(schema),))
    found = _read(cursor, schema, count_rows)
    cursor.execute("SELECT set_config('search_path', %s, true)", (before,))
    return found


def _read(cursor: Cursor, schema: str, count_rows: bool) -> TargetSchema:
    relations = _relations(cursor, schema)
    columns, indexes = _columns(cursor, schema), _indexes(cursor, schema)
    foreign_keys, checks, triggers = _foreign_keys(cursor, schema), _checks(cursor, schema), _triggers(cursor, schema)
    tables = []
    for oid, name, kind in relations:
        primary = next((index.columns for index in indexes[oid] if index.primary), ())
        tables.append(
            TargetTable(
                name=name,
                columns=tuple(columns[oid]),
                primary_key=primary,
                rows=_count(cursor, schema, name) if count_rows and kind != "f" else -1,
                kind=KINDS[kind],
                indexes=tuple(indexes[oid]),
                foreign_keys=tuple(foreign_keys[oid]),
                checks=tuple(checks[oid]),
                triggers=tuple(triggers[oid]),
                version_rows=_version_rows(cursor, schema, name) if name in VERSION_TABLES else (),
            )
        )
    cursor.execute("SELECT current_setting('server_version_num')::int")
    version = cursor.fetchone()[0]
    tables.sort(key=lambda table: table.name)
    views, sequences = _views(cursor, schema), _free_sequences(cursor, schema)
    used = _used_extensions(cursor, schema)
    return TargetSchema(schema, tuple(tables), views, version, sequences=sequences, used_extensions=used)


def _fetch(cursor: Cursor, sql: str, schema: str) -> list[tuple[Any, ...]]:
    cursor.execute(sql, (schema,))
    return list(cursor.fetchall())


def _relations(cursor: Cursor, schema: str) -> list[tuple[Any, ...]]:
    return _fetch(
        cursor,
        f"""SELECT c.oid, c.relname::text, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND {_NOT_OF_EXTENSION}
             ORDER BY c.relname COLLATE "C" """,
        schema,
    )


def _views(cursor: Cursor, schema: str) -> tuple[TargetView, ...]:
    found = _fetch(
        cursor,
        f"""SELECT c.relname::text, pg_get_viewdef(c.oid), c.relkind = 'm'
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = %s AND c.relkind IN ('v', 'm') AND {_NOT_OF_EXTENSION}
             ORDER BY c.relname COLLATE "C" """,
        schema,
    )
    return tuple(TargetView(*row) for row in found)


def _free_sequences(cursor: Cursor, schema: str) -> tuple[str, ...]:
    """Sequences that belong to no column and that no default takes its values from."""
    found = _fetch(
        cursor,
        f"""SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = %s AND c.relkind = 'S' AND {_NOT_OF_EXTENSION}
               AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
               AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_attrdef'::regclass
                                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid)
             ORDER BY c.relname COLLATE "C" """,
        schema,
    )
    return tuple(row[0] for row in found)


def _used_extensions(cursor: Cursor, schema: str) -> tuple[str, ...]:
    """Extensions whose types, functions or operator classes the schema's relations, defaults and constraints use."""
    found = _fetch(
        cursor,
        """WITH ours AS (
                SELECT 'pg_class'::regclass::oid AS class, c.oid FROM pg_class c
                  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s),
                parts AS (
                SELECT * FROM ours
                UNION ALL SELECT 'pg_attrdef'::regclass, f.oid FROM pg_attrdef f JOIN ours ON ours.oid = f.adrelid
                UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k
                            JOIN ours ON ours.oid = k.conrelid)
           SELECT DISTINCT x.extname::text
             FROM parts JOIN pg_depend d ON d.classid = parts.class AND d.objid = parts.oid
             JOIN pg_depend e ON e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e'
             JOIN pg_extension x ON x.oid = e.refobjid ORDER BY 1""",
        schema,
    )
    return tuple(row[0] for row in found)


def _columns(cursor: Cursor, schema: str) -> dict[int, list[TargetColumn]]:
    found = _fetch(
        cursor,
        """SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                  pg_get_expr(d.adbin, d.adrelid), a.attgenerated::text, a.attidentity::text,
                  CASE WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod > 4
                       THEN a.atttypmod - 4 END,
                  CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) ELSE '' END,
                  CASE WHEN a.attcollation <> t.typcollation THEN co.collname::text ELSE '' END,
                  coalesce(CASE WHEN t.typtype = 'e' THEN t.oid END, CASE WHEN el.typtype = 'e' THEN el.oid END, 0),
                  s.name
             FROM pg_attribute a
             JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
             JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_type t ON t.oid = a.atttypid
             LEFT JOIN pg_type el ON el.oid = t.typelem AND t.typcategory = 'A'
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             LEFT JOIN pg_collation co ON co.oid = a.attcollation
             LEFT JOIN LATERAL (
                   SELECT quote_ident(sn.nspname) || '.' || quote_ident(sc.relname) AS name
                     FROM pg_depend p JOIN pg_class sc ON sc.oid = p.objid AND sc.relkind = 'S'
                     JOIN pg_namespace sn ON sn.oid = sc.relnamespace
                    WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass
                      AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i')
                    LIMIT 1) s ON true
            WHERE n.nspname = %s AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY a.attrelid, a.attnum""",
        schema,
    )
    labels = _enum_labels(cursor)
    columns: dict[int, list[TargetColumn]] = defaultdict(list)
    for relid, name, type_sql, not_null, default, generated, identity, length, base, collation, enum, sequence in found:
        columns[relid].append(
            TargetColumn(
                name=name,
                type_sql=type_sql,
                not_null=not_null,
                default_sql=None if generated else default,
                generated=bool(generated),
                generated_sql=default if generated else "",
                identity={"a": "always", "d": "default"}.get(identity, ""),
                sequence=sequence or "",
                max_length=length,
                enum_labels=labels.get(enum, ()),
                base_type_sql=base,
                collation=collation or "",
            )
        )
    return columns


def _enum_labels(cursor: Cursor) -> dict[int, tuple[str, ...]]:
    cursor.execute(
        "SELECT enumtypid::bigint, array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum GROUP BY enumtypid"
    )
    return {oid: tuple(labels) for oid, labels in cursor.fetchall()}


def _indexes(cursor: Cursor, schema: str) -> dict[int, list[TargetIndex]]:
    found = _fetch(
        cursor,
        """SELECT i.indrelid, ic.relname::text, i.indisunique, i.indisprimary,
                  (SELECT array_agg(coalesce(a.attname::text, '') ORDER BY k.ord)
                     FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, ord)
                     LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num AND k.num > 0
                    WHERE k.ord <= i.indnkeyatts),
                  pg_get_indexdef(i.indexrelid), coalesce(pg_get_expr(i.indpred, i.indrelid), ''), i.indisvalid
             FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = %s AND c.relkind IN ('r', 'p') ORDER BY ic.relname COLLATE "C" """,
        schema,
    )
    indexes: dict[int, list[TargetIndex]] = defaultdict(list)
    for relid, name, unique, primary, columns, sql, where, valid in found:
        indexes[relid].append(TargetIndex(name, unique, primary, tuple(columns), sql, where, valid))
    return indexes


def _foreign_keys(cursor: Cursor, schema: str) -> dict[int, list[TargetForeignKey]]:
    names = """(SELECT array_agg(a.attname::text ORDER BY k.ord) FROM unnest({keys}) WITH ORDINALITY k(num, ord)
                  JOIN pg_attribute a ON a.attrelid = {relation} AND a.attnum = k.num)"""
    found = _fetch(
        cursor,
        f"""SELECT o.conrelid, o.conname::text, {names.format(keys="o.conkey", relation="o.conrelid")},
                   pn.nspname::text, pc.relname::text, {names.format(keys="o.confkey", relation="o.confrelid")},
                   pg_get_constraintdef(o.oid), o.convalidated
              FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
              JOIN pg_class pc ON pc.oid = o.confrelid JOIN pg_namespace pn ON pn.oid = pc.relnamespace
             WHERE n.nspname = %s AND o.contype = 'f' AND o.conparentid = 0 ORDER BY o.conname COLLATE "C" """,
        schema,
    )
    keys: dict[int, list[TargetForeignKey]] = defaultdict(list)
    for relid, name, columns, parent_schema, parent, parent_columns, sql, validated in found:
        key = TargetForeignKey(name, tuple(columns), parent_schema, parent, tuple(parent_columns), sql, validated)
        keys[relid].append(key)
    return keys


def _checks(cursor: Cursor, schema: str) -> dict[int, list[TargetCheck]]:
    found = _fetch(
        cursor,
        """SELECT o.conrelid, o.conname::text, pg_get_constraintdef(o.oid), o.convalidated
             FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = %s AND o.contype = 'c' ORDER BY o.conname COLLATE "C" """,
        schema,
    )
    checks: dict[int, list[TargetCheck]] = defaultdict(list)
    for relid, *values in found:
        checks[relid].append(TargetCheck(*values))
    return checks


def _triggers(cursor: Cursor, schema: str) -> dict[int, list[TargetTrigger]]:
    """Ours are left out: they come and go with a crossing, and are no part of the application's schema. By the name
    alone a stranger's could pass for one of them, so the function must be ours, too."""
    found = _fetch(
        cursor,
        """SELECT t.tgrelid, t.tgname::text, pg_get_triggerdef(t.oid), t.tgenabled::text
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace f ON f.oid = p.pronamespace
            WHERE n.nspname = %s AND NOT t.tgisinternal
              AND NOT (f.nspname = 'causeway' AND t.tgname::text ^@ 'causeway_')
            ORDER BY t.tgname COLLATE "C" """,
        schema,
    )
    triggers: dict[int, list[TargetTrigger]] = defaultdict(list)
    for relid, *values in found:
        triggers[relid].append(TargetTrigger(*values))
    return triggers


def _count(cursor: Cursor, schema: str, name: str) -> int:
    """0, exact up to 10,000, else -1: enough to know whether a table is empty or holds a few seeded rows."""
    cursor.execute(f"SELECT count(*) FROM (SELECT 1 FROM {qualified(schema, name)} LIMIT 10001) few")
    count = int(cursor.fetchone()[0])
    return count if count <= 10000 else -1


def _version_rows(cursor: Cursor, schema: str, name: str) -> tuple[tuple[str, ...], ...]:
    cursor.execute(f"SELECT * FROM {qualified(schema, name)} LIMIT {_VERSION_ROWS}")
    return tuple(sorted(tuple("" if value is None else str(value) for value in row) for row in cursor.fetchall()))
