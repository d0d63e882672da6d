"""What is read out of DDL text, where commas, comments and quoted names lie in wait."""

from __future__ import annotations

from migrations_app.engine.source.sqlite_ddl import Check, parse_index, parse_table


def test_comments_strings_and_quoted_names_mislead_nobody() -> None:
    ddl = parse_table(
        """CREATE TABLE t /* a, (b */ (id INTEGER PRIMARY KEY, -- AUTOINCREMENT, not really
           "autoincrement" TEXT DEFAULT 'a,b) CHECK(x)', n NUMERIC(10 , 2) /* , */ NOT NULL, "CHECK" TEXT,
           [WITHOUT] INT)"""
    )
    assert not ddl.autoincrement and not ddl.checks and not ddl.without_rowid


def test_checks_collations_and_expressions_are_found() -> None:
    ddl = parse_table(
        """CREATE TABLE "T"(a INT CONSTRAINT pos CHECK (a > 0 AND (a < 9)) CHECK(a<>5),
           b TEXT COLLATE NoCase DEFAULT (1+(2)),
           c AS (a || ')') VIRTUAL, CONSTRAINT both CHECK (a IN (1,2)) CHECK(b<>'')) STRICT, WITHOUT ROWID"""
    )
    assert ddl.checks == (
        Check("a > 0 AND (a < 9)", "pos"),
        Check("a<>5"),
        Check("a IN (1,2)", "both"),
        Check("b<>''"),
    )
    assert ddl.collations == {"b": "NOCASE"}
    assert ddl.generated == {"c": "a || ')'"}
    assert ddl.strict and ddl.without_rowid


def test_deferral_is_told_for_each_foreign_key_in_order() -> None:
    ddl = parse_table(
        """CREATE TABLE t(a REFERENCES p DEFERRABLE INITIALLY DEFERRED, b REFERENCES p, c REFERENCES p NOT DEFERRABLE
           INITIALLY DEFERRED, FOREIGN KEY(a,b) REFERENCES q(x,y) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)"""
    )
    assert ddl.deferred == (True, False, False, True)


def test_a_virtual_tables_module_and_arguments_are_read() -> None:
    ddl = parse_table("CREATE VIRTUAL TABLE f USING FTS5(title, body, content='art, icle', tokenize = \"porter 'x'\")")
    assert ddl.module == "fts5"
    assert ddl.module_arguments == ("title", "body", "content='art, icle'", "tokenize = \"porter 'x'\"")


def test_an_indexs_parts_and_predicate_are_read() -> None:
    index = parse_index("CREATE UNIQUE INDEX i ON t(lower(a), b COLLATE NOCASE DESC, \"c,\" ASC) WHERE d = 'x;' AND e")
    assert index.parts == ("lower(a)", "b", '"c,"')
    assert index.where == "d = 'x;' AND e"


def test_text_that_is_cut_off_raises_nothing() -> None:
    for sql in ("", "CREATE", "CREATE TABLE t", "CREATE TABLE t(", "CREATE TABLE t(a CHECK(", "CREATE TABLE t(a 'x"):
        parse_table(sql)
        parse_index(sql)
