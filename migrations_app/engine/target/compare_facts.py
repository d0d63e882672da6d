"""What decides over rows and isn't in target_catalog's picture: constraints' own words, rules, policies, sequences.

A fact is one line of text about one object. Two schemas that were made by the same statements have equal facts, so
only their equality counts, never their wording.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrations_app.engine.target.target import Cursor

ENFORCED, DISABLED = "enforced", "its triggers are disabled: nothing is checked"


@dataclass(frozen=True, order=True)
class Fact:
    """`kind` is the word that a difference begins with ("rule" becomes "rule_extra")."""

    table: str
    kind: str
    name: str
    text: str


# Each gives (table, name, text) of one schema.
_QUERIES: dict[str, str] = {
    # A unique index and a UNIQUE constraint print alike as indexes; only the constraint can be DEFERRABLE.
    "constraint": """
        SELECT c.relname::text, o.conname::text, pg_get_constraintdef(o.oid)
          FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(schema)s AND o.contype IN ('p', 'u', 'x')""",
    # DISABLE TRIGGER ALL leaves the key in place, validated, and checks nothing any more.
    "foreign_key": """
        SELECT c.relname::text, o.conname::text,
               CASE WHEN EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgconstraint = o.oid AND t.tgenabled <> 'O')
                    THEN %(disabled)s ELSE %(enforced)s END
          FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(schema)s AND o.contype = 'f'""",
    # PostgreSQL 18 has NOT NULL constraints that are NOT VALID; the column says NOT NULL all the same.
    "not_null": """
        SELECT c.relname::text, a.attname::text, 'not valid'
          FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = o.conkey[1]
         WHERE n.nspname = %(schema)s AND o.contype = 'n' AND NOT o.convalidated""",
    # PostgreSQL 18 computes generated columns when they are read, unless they are STORED.
    "generated": """
        SELECT c.relname::text, a.attname::text, CASE a.attgenerated WHEN 's' THEN 'stored' ELSE 'virtual' END
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p') AND NOT a.attisdropped AND a.attgenerated <> ''""",
    # The content of an unlogged table is gone after a crash.
    "persistence": """
        SELECT c.relname::text, '', CASE c.relpersistence WHEN 'p' THEN 'logged' ELSE 'unlogged' END
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p')""",
    "row_security": """
        SELECT c.relname::text, '', concat(c.relrowsecurity, ', forced: ', c.relforcerowsecurity)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p') AND (c.relrowsecurity OR c.relforcerowsecurity)""",
    "policy": """
        SELECT p.tablename::text, p.policyname::text,
               concat_ws(' ', p.permissive, p.cmd, p.roles::text, 'USING', p.qual, 'CHECK', p.with_check)
          FROM pg_policies p WHERE p.schemaname = %(schema)s""",
    # A rule can send an INSERT nowhere. '_RETURN' is what makes a view a view.
    "rule": """
        SELECT c.relname::text, r.rulename::text, concat(r.ev_enabled, ' ', pg_get_ruledef(r.oid))
          FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(schema)s AND r.rulename <> '_RETURN'""",
    "sequence_definition": """
        SELECT c.relname::text, a.attname::text,
               concat_ws(' ', s.relname, format_type(q.seqtypid, NULL), 'START', q.seqstart, 'MIN', q.seqmin,
                         'MAX', q.seqmax, 'BY', q.seqincrement, CASE WHEN q.seqcycle THEN 'CYCLE' END,
                         CASE WHEN s.relpersistence <> 'p' THEN 'UNLOGGED' END)
          FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
          JOIN pg_sequence q ON q.seqrelid = s.oid JOIN pg_class c ON c.oid = d.refobjid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
         WHERE n.nspname = %(schema)s AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
           AND d.deptype IN ('a', 'i')""",
    "view": """
        SELECT c.relname::text, '',
               concat(CASE c.relkind WHEN 'm' THEN 'materialized' ELSE 'plain' END,
                      CASE WHEN NOT c.relispopulated THEN ', not populated' END, ' ', c.reloptions::text)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(schema)s AND c.relkind IN ('v', 'm')""",
    "view_trigger": """
        SELECT c.relname::text, t.tgname::text, concat(t.tgenabled, ' ', pg_get_triggerdef(t.oid))
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(schema)s AND c.relkind = 'v' AND NOT t.tgisinternal""",
}


# What came with an extension is the extension's: pg_stat_statements puts its views into the first schema of the path.
_OF_EXTENSIONS = """
    SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_depend e ON e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e'
     WHERE n.nspname = %(schema)s"""


def read_facts(cursor: Cursor, schema: str) -> tuple[Fact, ...]:
    """All facts of a schema, sorted. Printed under our session's search_path, which holds no schema of a user's."""
    found: list[Fact] = []
    values = {"schema": schema, "enforced": ENFORCED, "disabled": DISABLED}
    cursor.execute(_OF_EXTENSIONS, values)
    foreign = {row[0] for row in cursor.fetchall()}
    for kind, sql in _QUERIES.items():
        cursor.execute(sql, values)
        rows = ((table, name, text) for table, name, text in cursor.fetchall() if table not in foreign)
        found += [Fact(table, kind, name, text or "") for table, name, text in rows]
    return tuple(sorted(found))
