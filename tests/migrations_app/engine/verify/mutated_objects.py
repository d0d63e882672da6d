"""What is done to objects of rich_source.py's target, and the differences that must be found: these and no others."""

from __future__ import annotations

Kind = tuple[str, str, str]  # source table, object or column, kind of difference

FOREIGN_KEY = (
    "ALTER TABLE book DROP CONSTRAINT book_author_id_fkey; ALTER TABLE book ADD CONSTRAINT book_author_id_fkey"
    " FOREIGN KEY (author_id) REFERENCES author (id)"
)
FOREIGN_KEY_CHANGED = {("book", "book_author_id_fkey", "foreign_key_changed")}
OBJECTS: dict[str, tuple[str, set[Kind]]] = {
    # Indexes
    "index dropped": ("DROP INDEX book_title", {("book", "book_title", "index_missing")}),
    "index renamed": (
        "ALTER INDEX book_title RENAME TO other",
        {("book", "book_title", "index_missing"), ("book", "other", "index_extra")},
    ),
    "index on another column": (
        "DROP INDEX book_title; CREATE INDEX book_title ON book (title)",
        {("book", "book_title", "index_changed")},
    ),
    "index in another order": (
        "DROP INDEX book_order; CREATE INDEX book_order ON book (author_id NULLS FIRST, pages NULLS FIRST)",
        {("book", "book_order", "index_changed")},
    ),
    "index with columns swapped": (
        "DROP INDEX book_sold; CREATE UNIQUE INDEX book_sold ON book (id NULLS FIRST, sold NULLS FIRST)",
        {("book", "book_sold", "index_changed")},
    ),
    "index no longer unique": (
        "DROP INDEX book_sold; CREATE INDEX book_sold ON book (sold NULLS FIRST, id NULLS FIRST)",
        {("book", "book_sold", "index_changed")},
    ),
    "index without its predicate": (
        "DROP INDEX book_isbn; CREATE UNIQUE INDEX book_isbn ON book (isbn NULLS FIRST)",
        {("book", "book_isbn", "index_changed")},
    ),
    "index with another predicate": (
        "DROP INDEX book_isbn; CREATE UNIQUE INDEX book_isbn ON book (isbn NULLS FIRST) WHERE isbn <> ''",
        {("book", "book_isbn", "index_changed")},
    ),
    "index that treats NULLs as equal": (
        "DROP INDEX book_sold; CREATE UNIQUE INDEX book_sold ON book (sold NULLS FIRST, id NULLS FIRST)"
        " NULLS NOT DISTINCT",
        {("book", "book_sold", "index_changed")},
    ),
    "index of another method": (
        "DROP INDEX book_title; CREATE INDEX book_title ON book USING hash (lower(title))",
        {("book", "book_title", "index_changed")},
    ),
    "index in another collation": (
        'DROP INDEX book_title; CREATE INDEX book_title ON book (lower(title) COLLATE "POSIX")',
        {("book", "book_title", "index_changed")},
    ),
    "index marked as invalid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'book_title'::regclass",
        {("book", "book_title", "index_changed")},
    ),
    "index more": ("CREATE INDEX more ON tag (colour)", {("tag", "more", "index_extra")}),
    # Keys
    "primary key dropped": (
        "ALTER TABLE edition DROP CONSTRAINT edition_pkey",
        {("edition", "edition_pkey", "index_missing")},
    ),
    "primary key with columns swapped": (
        "ALTER TABLE edition DROP CONSTRAINT edition_pkey;"
        " ALTER TABLE edition ADD CONSTRAINT edition_pkey PRIMARY KEY (number, book_id)",
        {("edition", "edition_pkey", "index_changed")},
    ),
    "primary key replaced by a unique index": (
        "ALTER TABLE edition DROP CONSTRAINT edition_pkey;"
        " CREATE UNIQUE INDEX edition_pkey ON edition (book_id, number)",
        {("edition", "edition_pkey", "index_changed")},
    ),
    "primary key renamed": (
        "ALTER TABLE edition RENAME CONSTRAINT edition_pkey TO other",
        {("edition", "edition_pkey", "index_missing"), ("edition", "other", "index_extra")},
    ),
    "unique constraint dropped": (
        "ALTER TABLE author DROP CONSTRAINT author_email_key",
        {("author", "author_email_key", "index_missing")},
    ),
    "unique constraint replaced by a unique index": (
        "ALTER TABLE author DROP CONSTRAINT author_email_key; CREATE UNIQUE INDEX author_email_key ON author (email)",
        {("author", "author_email_key", "constraint_missing")},
    ),
    "unique constraint made deferrable": (
        "ALTER TABLE author DROP CONSTRAINT author_email_key;"
        " ALTER TABLE author ADD CONSTRAINT author_email_key UNIQUE (email) DEFERRABLE",
        {("author", "author_email_key", "constraint_changed")},
    ),
    "unique constraint more": (
        "ALTER TABLE tag ADD CONSTRAINT more UNIQUE (name)",
        {("tag", "more", "index_extra")},
    ),
    # Foreign keys
    "foreign key dropped": (
        "ALTER TABLE book DROP CONSTRAINT book_author_id_fkey",
        {("book", "book_author_id_fkey", "foreign_key_missing")},
    ),
    "foreign key with another action": (f"{FOREIGN_KEY} DEFERRABLE INITIALLY DEFERRED", FOREIGN_KEY_CHANGED),
    "foreign key with one more action": (
        f"{FOREIGN_KEY} ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        FOREIGN_KEY_CHANGED,
    ),
    "foreign key no longer deferred": (f"{FOREIGN_KEY} ON DELETE CASCADE DEFERRABLE", FOREIGN_KEY_CHANGED),
    "foreign key no longer deferrable": (f"{FOREIGN_KEY} ON DELETE CASCADE", FOREIGN_KEY_CHANGED),
    "foreign key not valid": (
        f"{FOREIGN_KEY} ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED NOT VALID",
        FOREIGN_KEY_CHANGED,
    ),
    "foreign key that matches in full": (
        f"{FOREIGN_KEY} MATCH FULL ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        FOREIGN_KEY_CHANGED,
    ),
    "foreign key to another table": (
        "ALTER TABLE node DROP CONSTRAINT node_parent_fkey;"
        " ALTER TABLE node ADD CONSTRAINT node_parent_fkey FOREIGN KEY (parent) REFERENCES book (id)",
        {("node", "node_parent_fkey", "foreign_key_changed")},
    ),
    "foreign key that nothing enforces": (
        "ALTER TABLE author DISABLE TRIGGER ALL",
        {("book", "book_author_id_fkey", "foreign_key_disabled")},
    ),
    "foreign key more": (
        "ALTER TABLE area ADD CONSTRAINT more FOREIGN KEY (id) REFERENCES book (id)",
        {("area", "more", "foreign_key_extra")},
    ),
    # Checks and NOT NULL
    "check dropped": ("ALTER TABLE author DROP CONSTRAINT rated", {("author", "rated", "check_missing")}),
    "check changed": (
        "ALTER TABLE author DROP CONSTRAINT rated; ALTER TABLE author ADD CONSTRAINT rated CHECK (rating > -1)",
        {("author", "rated", "check_changed")},
    ),
    "check not valid": (
        "ALTER TABLE author DROP CONSTRAINT rated;"
        " ALTER TABLE author ADD CONSTRAINT rated CHECK (rating >= 0) NOT VALID",
        {("author", "rated", "check_changed")},
    ),
    "check more": (
        "ALTER TABLE tag ADD CONSTRAINT more CHECK (name IS NOT NULL)",
        {("tag", "more", "check_extra")},
    ),
    "not null dropped": ("ALTER TABLE author ALTER name DROP NOT NULL", {("author", "name", "not_null_changed")}),
    "not null more": (
        "ALTER TABLE node ALTER id SET NOT NULL; ALTER TABLE area ALTER wide SET NOT NULL",
        {("area", "wide", "not_null_changed")},
    ),
    # Columns
    "default dropped": ("ALTER TABLE author ALTER nick DROP DEFAULT", {("author", "nick", "default_changed")}),
    "default changed": ("ALTER TABLE author ALTER nick SET DEFAULT 'None'", {("author", "nick", "default_changed")}),
    "default more": ("ALTER TABLE book ALTER isbn SET DEFAULT ''", {("book", "isbn", "default_changed")}),
    "type narrowed": ("ALTER TABLE line ALTER n TYPE integer", {("line", "n", "type_changed")}),
    "type limited": ("ALTER TABLE line ALTER words TYPE varchar(50)", {("line", "words", "type_changed")}),
    "type with more precision": (
        "ALTER TABLE author ALTER balance TYPE numeric(13,2)",
        {("author", "balance", "type_changed")},
    ),
    "type without time": (
        "ALTER TABLE author ALTER seen TYPE timestamptz",
        {("author", "seen", "type_changed"), ("author", "seen", "different")},
    ),
    "type jsonb": (
        "ALTER TABLE author ALTER profile TYPE jsonb",
        {("author", "profile", "type_changed")},
    ),
    "collation changed": (
        'ALTER TABLE line ALTER words TYPE text COLLATE "POSIX"',
        {("line", "words", "collation_changed")},
    ),
    "collation lost": (
        'ALTER TABLE tag ALTER colour TYPE text COLLATE "default"',
        {("tag", "colour", "collation_changed")},
    ),
    "column more": ("ALTER TABLE tag ADD more int", {("tag", "more", "column_extra")}),
    "column dropped": (
        "ALTER TABLE author DROP photo",
        {("author", "photo", "column_missing")},
    ),
    "column renamed": (
        "ALTER TABLE line RENAME words TO word",
        {("line", "words", "column_missing"), ("line", "word", "column_extra")},
    ),
    "column dropped and made again at the end": (
        "ALTER TABLE area ADD w bigint; UPDATE area SET w = wide; ALTER TABLE area DROP size;"
        " ALTER TABLE area DROP wide; ALTER TABLE area RENAME w TO wide;"
        " ALTER TABLE area ADD size bigint GENERATED ALWAYS AS (wide * high) STORED",
        {("area", "", "column_order_changed")},
    ),
    "generated column made plain": (
        "ALTER TABLE area ALTER size DROP EXPRESSION",
        {("area", "size", "generated_changed")},
    ),
    "generated column that computes otherwise": (
        "ALTER TABLE area DROP size; ALTER TABLE area ADD size bigint GENERATED ALWAYS AS (wide * high + 1) STORED",
        {("area", "size", "generated_changed"), ("area", "size", "different")},
    ),
    "identity dropped": ("ALTER TABLE book ALTER id DROP IDENTITY", {("book", "id", "identity_changed")}),
    "identity always": (
        "ALTER TABLE book ALTER id SET GENERATED ALWAYS",
        {("book", "id", "identity_changed")},
    ),
    # Sequences
    "sequence behind": ("SELECT setval('book_id_seq', 5)", {("book", "id", "sequence_behind")}),
    "sequence one behind": (
        "SELECT setval('book_id_seq', (SELECT max(id) FROM book), false)",
        {("book", "id", "sequence_behind")},
    ),
    "sequence behind what SQLite gave out": (
        "SELECT setval('author_id_seq', (SELECT max(id) FROM author))",
        {("author", "id", "sequence_behind")},
    ),
    "sequence ahead": ("SELECT setval('book_id_seq', 500)", {("book", "id", "sequence_changed")}),
    "sequence touched": ("SELECT nextval('empty_id_seq')", {("empty", "id", "sequence_changed")}),
    "sequence in steps": (
        "ALTER SEQUENCE book_id_seq INCREMENT BY 10",
        {("book", "id", "sequence_definition_changed")},
    ),
    "sequence that ends": (
        "ALTER SEQUENCE book_id_seq MAXVALUE 1000",
        {("book", "id", "sequence_definition_changed")},
    ),
    "sequence that turns round": (
        "ALTER SEQUENCE book_id_seq CYCLE",
        {("book", "id", "sequence_definition_changed")},
    ),
    "sequence renamed": (
        "ALTER SEQUENCE book_id_seq RENAME TO other",
        {("book", "id", "sequence_definition_changed")},
    ),
    # Views
    "view dropped": ("DROP VIEW long_titles", {("", "long_titles", "view_missing")}),
    "view that says something else": (
        "CREATE OR REPLACE VIEW names AS SELECT id, lower(name) AS name FROM author",
        {("", "names", "view_changed")},
    ),
    "view on fewer rows": (
        "CREATE OR REPLACE VIEW names AS SELECT id, name FROM author WHERE id > 1",
        {("", "names", "view_changed")},
    ),
    "view that is a snapshot": (
        "DROP VIEW long_titles; CREATE MATERIALIZED VIEW long_titles AS SELECT names.name, book.title FROM names"
        " JOIN book ON book.author_id = names.id WHERE book.pages > 100",
        {("", "long_titles", "view_changed")},
    ),
    "view renamed": (
        "ALTER VIEW long_titles RENAME TO other",
        {("", "long_titles", "view_missing"), ("", "other", "view_extra")},
    ),
    "view with a column renamed": (
        "ALTER VIEW long_titles RENAME COLUMN title TO book",
        {("", "long_titles", "view_changed")},
    ),
    "view with an option": (
        "ALTER VIEW names SET (security_barrier)",
        {("", "names", "view_changed")},
    ),
    "view more": ("CREATE VIEW more AS SELECT 1", {("", "more", "view_extra")}),
    # Tables
    "table dropped": (
        "DROP TABLE line",
        {("line", "", "table_missing")},
    ),
    "table renamed": (
        "ALTER TABLE line RENAME TO lines",
        {("line", "", "table_missing"), ("lines", "", "table_extra")},
    ),
    "table more": ("CREATE TABLE more (x int)", {("more", "", "table_extra")}),
    "table that a crash empties": ("ALTER TABLE line SET UNLOGGED", {("line", "", "persistence_changed")}),
    "trigger more": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER more BEFORE INSERT ON tag FOR EACH ROW EXECUTE FUNCTION f()",
        {("tag", "more", "trigger_extra")},
    ),
    "trigger that calls itself ours": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER causeway_changes BEFORE INSERT ON tag FOR EACH ROW EXECUTE FUNCTION f()",
        {("tag", "causeway_changes", "trigger_extra")},
    ),
    "trigger on a view": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER more INSTEAD OF INSERT ON names FOR EACH ROW EXECUTE FUNCTION f()",
        {("names", "more", "view_trigger_extra")},
    ),
    "rule that swallows rows": (
        "CREATE RULE more AS ON INSERT TO tag DO INSTEAD NOTHING",
        {("tag", "more", "rule_extra")},
    ),
    "rows hidden by a policy": (
        "ALTER TABLE tag ENABLE ROW LEVEL SECURITY; CREATE POLICY more ON tag USING (name <> 'beta')",
        {("tag", "", "row_security_extra"), ("tag", "more", "policy_extra")},
    ),
}
