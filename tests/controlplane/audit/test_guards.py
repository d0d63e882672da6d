"""The triggers: what is written stays as it is, whatever SQL is sent."""

from collections.abc import Callable

import pytest
from django.db import DatabaseError, connections, transaction

from controlplane.audit import guards
from controlplane.audit.models import AuditCheckpoint, AuditEvent
from controlplane.audit.verify import own_keys, verify_trail

Write = Callable[..., AuditEvent]
COLUMNS = (
    "sequence, at, actor, role, action, object_type, object_id, object, application, payload, salt, after_checkpoint, "
    "previous_hash, hash"
)
BOTH = {
    "update": "UPDATE audit_auditevent SET actor = 'eve' WHERE sequence = 2",
    "update all": "UPDATE audit_auditevent SET payload = '{}'",
    "delete": "DELETE FROM audit_auditevent WHERE sequence = 3",
    "delete all": "DELETE FROM audit_auditevent",
    "insert out of order": f"INSERT INTO audit_auditevent ({COLUMNS}) SELECT 9, "
    + COLUMNS.removeprefix("sequence, ").replace("previous_hash, hash", "hash, hash")
    + " FROM audit_auditevent WHERE sequence = 3",
    "insert after another": f"INSERT INTO audit_auditevent ({COLUMNS}) SELECT 4, "
    + COLUMNS.removeprefix("sequence, ")
    + " FROM audit_auditevent WHERE sequence = 3",
    "upsert": f"INSERT INTO audit_auditevent ({COLUMNS}) SELECT {COLUMNS} FROM audit_auditevent WHERE sequence = 2"
    " ON CONFLICT (sequence) DO UPDATE SET actor = 'eve'",
    "update checkpoint": "UPDATE audit_auditcheckpoint SET hash = ''",
    "delete checkpoint": "DELETE FROM audit_auditcheckpoint",
    "checkpoint out of order": "INSERT INTO audit_auditcheckpoint (number, sequence, hash, signed_at, reason,"
    " signature, key_fingerprint) SELECT 7, 3, hash, signed_at, reason, signature, key_fingerprint"
    " FROM audit_auditcheckpoint",
    "checkpoint twice": "INSERT INTO audit_auditcheckpoint (number, sequence, hash, signed_at, reason,"
    " signature, key_fingerprint) SELECT 2, sequence, hash, signed_at, reason, signature, key_fingerprint"
    " FROM audit_auditcheckpoint",
}
SQLITE = {
    "insert or replace": f"INSERT OR REPLACE INTO audit_auditevent ({COLUMNS}) SELECT "
    + COLUMNS.replace("actor", "'eve'")
    + " FROM audit_auditevent WHERE sequence = 2",
    "replace of the last": f"REPLACE INTO audit_auditevent ({COLUMNS}) SELECT "
    + COLUMNS.replace("actor", "'eve'")
    + " FROM audit_auditevent WHERE sequence = 3",
    "insert or ignore": f"INSERT OR IGNORE INTO audit_auditevent ({COLUMNS}) SELECT 9, "
    + COLUMNS.removeprefix("sequence, ")
    + " FROM audit_auditevent WHERE sequence = 3",
    "update or replace": "UPDATE OR REPLACE audit_auditevent SET sequence = 3 WHERE sequence = 2",
    "replace of a checkpoint": "INSERT OR REPLACE INTO audit_auditcheckpoint (number, sequence, hash, signed_at,"
    " reason, signature, key_fingerprint) SELECT 2, sequence, '', signed_at, reason, signature, key_fingerprint"
    " FROM audit_auditcheckpoint",
}
POSTGRESQL = {
    "truncate": "TRUNCATE audit_auditevent",
    "truncate both": "TRUNCATE audit_auditcheckpoint, audit_auditevent CASCADE",
    "merge": "MERGE INTO audit_auditevent t USING (SELECT 2 AS n) s ON t.sequence = s.n"
    " WHEN MATCHED THEN UPDATE SET actor = 'eve'",
    "copied table before ours": "CREATE TEMP TABLE audit_auditevent (sequence bigint, hash text);"
    f"INSERT INTO public.audit_auditevent ({COLUMNS}) SELECT 1, "
    + COLUMNS.removeprefix("sequence, ").replace("previous_hash, hash", "repeat('0', 64), hash")
    + " FROM public.audit_auditevent WHERE sequence = 3",
}


@pytest.fixture
def filled(write: Write, trail: str) -> str:
    write()
    write("gate.passed", checkpoint=True)
    write()
    return trail


def _statements(vendor: str) -> dict[str, str]:
    return BOTH | (SQLITE if vendor == "sqlite" else POSTGRESQL)


def _run(alias: str, statement: str) -> None:
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(statement)


def test_every_way_to_change_the_trail_is_refused(filled: str) -> None:
    before = list(AuditEvent.objects.using(filled).values()), list(AuditCheckpoint.objects.using(filled).values())
    for name, statement in _statements(connections[filled].vendor).items():
        with pytest.raises(DatabaseError) as caught:
            _run(filled, statement)
        assert guards.REFUSAL in str(caught.value) or guards.NOT_NEXT in str(caught.value), name
    after = list(AuditEvent.objects.using(filled).values()), list(AuditCheckpoint.objects.using(filled).values())
    assert after == before


def test_without_the_triggers_each_of_them_goes_through_or_meets_only_a_key(filled: str) -> None:
    went_through: set[str] = set()
    for name, statement in _statements(connections[filled].vendor).items():
        with transaction.atomic(using=filled):
            guards.remove(connections[filled])
            try:
                _run(filled, statement)
                went_through.add(name)
            except DatabaseError as error:
                assert guards.REFUSAL not in str(error) and guards.NOT_NEXT not in str(error)
            transaction.set_rollback(True, using=filled)
    # Two of them repeat a number that is unique in any case.
    met_a_key = {"checkpoint twice", "copied table before ours"}
    assert went_through | met_a_key >= set(_statements(connections[filled].vendor))


def test_orm_can_neither_change_nor_delete(filled: str) -> None:
    event = AuditEvent.objects.using(filled).get(sequence=2)
    event.actor = "eve"
    with pytest.raises(DatabaseError):
        event.save(using=filled)
    with pytest.raises(DatabaseError):
        event.delete(using=filled)
    with pytest.raises(DatabaseError):
        AuditEvent.objects.using(filled).all().delete()


def test_replica_role_does_not_skip_the_triggers(filled: str, request: pytest.FixtureRequest) -> None:
    if connections[filled].vendor != "postgresql":
        assert guards.missing(connections[filled]) == []
        return
    postgres = request.getfixturevalue("postgres")
    name = connections[filled].settings_dict["NAME"]
    import psycopg2

    with psycopg2.connect(postgres.url(name)) as superuser, superuser.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg2.IntegrityError):
            cursor.execute("DELETE FROM audit_auditevent")
    superuser.close()


def test_removed_trigger_is_noticed_and_put_back(filled: str) -> None:
    assert guards.missing(connections[filled]) == []
    table = "" if connections[filled].vendor == "sqlite" else " ON audit_auditevent"
    _run(filled, f"DROP TRIGGER causeway_audit_event_insert{table}")
    assert guards.missing(connections[filled]) == ["causeway_audit_event_insert"]
    verdict = verify_trail(keys=own_keys(), using=filled)
    assert verdict.chain.ok and not verdict.ok
    guards.install(connections[filled])
    assert verify_trail(keys=own_keys(), using=filled).ok


def test_switched_off_trigger_counts_as_missing(filled: str) -> None:
    if connections[filled].vendor == "sqlite":
        return  # SQLite can't switch one off
    _run(filled, "ALTER TABLE audit_auditevent DISABLE TRIGGER causeway_audit_event_change")
    assert guards.missing(connections[filled]) == ["causeway_audit_event_change"]
