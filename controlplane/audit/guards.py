"""The database triggers that make the trail append-only, for SQLite and PostgreSQL.

On both, a row can't be changed or deleted, and a new one must be the next of its table and name the hash of the one
before it. That last check also stops SQLite's INSERT OR REPLACE, which deletes the old row without firing a delete
trigger. PostgreSQL's triggers are ENABLE ALWAYS, so `session_replication_role = replica` does not skip them.

Who owns the tables can drop the triggers: then the chain and its signatures tell (verify.py). An ordinary role can't.
SQLite rebuilds a table that a schema migration alters, and forgets its triggers: such a schema migration must end
with `install`; `missing` finds out (a system check and audit_verify call it).
"""

from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

GENESIS: Final = "0" * 64
EVENT, CHECKPOINT = "audit_auditevent", "audit_auditcheckpoint"
REFUSAL: Final = "the audit trail is append-only"
NOT_NEXT: Final = "the audit trail takes only its next line"

_SQLITE: Final = {
    "causeway_audit_event_update": f"""
        CREATE TRIGGER causeway_audit_event_update BEFORE UPDATE ON {EVENT}
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    "causeway_audit_event_delete": f"""
        CREATE TRIGGER causeway_audit_event_delete BEFORE DELETE ON {EVENT}
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    "causeway_audit_event_insert": f"""
        CREATE TRIGGER causeway_audit_event_insert BEFORE INSERT ON {EVENT}
        WHEN NEW.sequence IS NOT (SELECT COALESCE(MAX(sequence), 0) + 1 FROM {EVENT})
          OR NEW.previous_hash IS NOT
             COALESCE((SELECT hash FROM {EVENT} ORDER BY sequence DESC LIMIT 1), '{GENESIS}')
        BEGIN SELECT RAISE(ABORT, '{NOT_NEXT}'); END""",
    "causeway_audit_checkpoint_update": f"""
        CREATE TRIGGER causeway_audit_checkpoint_update BEFORE UPDATE ON {CHECKPOINT}
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    "causeway_audit_checkpoint_delete": f"""
        CREATE TRIGGER causeway_audit_checkpoint_delete BEFORE DELETE ON {CHECKPOINT}
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    # The sequence is compared too: it is unique, so a REPLACE on it would remove the older checkpoint.
    "causeway_audit_checkpoint_insert": f"""
        CREATE TRIGGER causeway_audit_checkpoint_insert BEFORE INSERT ON {CHECKPOINT}
        WHEN NEW.number IS NOT (SELECT COALESCE(MAX(number), 0) + 1 FROM {CHECKPOINT})
          OR NEW.sequence <= (SELECT COALESCE(MAX(sequence), 0) FROM {CHECKPOINT})
        BEGIN SELECT RAISE(ABORT, '{NOT_NEXT}'); END""",
}

# TG_RELID, not the table's name: a temporary table of that name would stand before ours on the search path.
_FUNCTIONS: Final = (
    f"""
    CREATE OR REPLACE FUNCTION causeway_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation';
    END $$""",
    f"""
    CREATE OR REPLACE FUNCTION causeway_audit_event_is_next() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE last_sequence bigint; last_hash text;
    BEGIN
        EXECUTE pg_catalog.format('SELECT sequence, hash FROM %s ORDER BY sequence DESC LIMIT 1', TG_RELID::regclass)
            INTO last_sequence, last_hash;
        IF NEW.sequence <> COALESCE(last_sequence, 0) + 1
           OR NEW.previous_hash <> COALESCE(last_hash, '{GENESIS}') THEN
            RAISE EXCEPTION '{NOT_NEXT}' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END $$""",
    f"""
    CREATE OR REPLACE FUNCTION causeway_audit_checkpoint_is_next() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE last_number bigint; last_sequence bigint;
    BEGIN
        EXECUTE pg_catalog.format('SELECT max(number), max(sequence) FROM %s', TG_RELID::regclass)
            INTO last_number, last_sequence;
        IF NEW.number <> COALESCE(last_number, 0) + 1 OR NEW.sequence <= COALESCE(last_sequence, 0) THEN
            RAISE EXCEPTION '{NOT_NEXT}' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END $$""",
)
_POSTGRESQL: Final = {
    "causeway_audit_event_change": (EVENT, "BEFORE UPDATE OR DELETE", "ROW", "causeway_audit_refuse"),
    "causeway_audit_event_truncate": (EVENT, "BEFORE TRUNCATE", "STATEMENT", "causeway_audit_refuse"),
    "causeway_audit_event_insert": (EVENT, "BEFORE INSERT", "ROW", "causeway_audit_event_is_next"),
    "causeway_audit_checkpoint_change": (CHECKPOINT, "BEFORE UPDATE OR DELETE", "ROW", "causeway_audit_refuse"),
    "causeway_audit_checkpoint_truncate": (CHECKPOINT, "BEFORE TRUNCATE", "STATEMENT", "causeway_audit_refuse"),
    "causeway_audit_checkpoint_insert": (CHECKPOINT, "BEFORE INSERT", "ROW", "causeway_audit_checkpoint_is_next"),
}


def install(connection: BaseDatabaseWrapper) -> None:
    """Creates the triggers; those that are there are made anew."""
    remove(connection)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for statement in _SQLITE.values():
                cursor.execute(statement)
            return
        for statement in _FUNCTIONS:
            cursor.execute(statement)
        for name, (table, event, level, function) in _POSTGRESQL.items():
            cursor.execute(f"CREATE TRIGGER {name} {event} ON {table} FOR EACH {level} EXECUTE FUNCTION {function}()")
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drops the triggers: for the reverse of the schema migration, and for a test database that is emptied."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in _SQLITE:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
            return
        for name, (table, *_rest) in _POSTGRESQL.items():
            cursor.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """The names of triggers that are absent or switched off; empty where the trail is guarded."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            expected = set(_SQLITE)
        else:
            cursor.execute(
                "SELECT tgname FROM pg_catalog.pg_trigger"
                " WHERE tgenabled = 'A' AND tgrelid IN (%s::regclass, %s::regclass)",
                [EVENT, CHECKPOINT],
            )
            expected = set(_POSTGRESQL)
        return sorted(expected - {row[0] for row in cursor.fetchall()})
