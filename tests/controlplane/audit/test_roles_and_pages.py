"""An insert-only role on PostgreSQL, writers in processes of their own, and keyset pages."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import environ
import psycopg2
import pytest
from django.db import DatabaseError, connections, transaction

from controlplane.audit import guards
from controlplane.audit.models import AuditEvent
from controlplane.audit.trail import record
from controlplane.audit.verify import own_keys, verify_trail
from controlplane.embedded import EmbeddedPostgres
from tests.controlplane.audit.conftest import added_database

Write = Callable[..., AuditEvent]
on_postgresql = pytest.mark.parametrize("trail", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("trail", ["sqlite"], indirect=True)
WRITER = """
import django
django.setup()
from django.db import transaction
from controlplane.audit.trail import record
for number in range(20):
    with transaction.atomic():
        record(action="step.started", actor="process", payload={"number": number})
"""


@pytest.fixture
def insert_only(trail: str, write: Write, postgres: EmbeddedPostgres) -> Iterator[str]:
    """The trail as a role sees it that may read and append, as the how-to sets it up."""
    write()
    database = connections[trail].settings_dict["NAME"]
    postgres.create_role("causeway_app", "an ordinary password")
    with connections[trail].cursor() as cursor:
        cursor.execute("GRANT SELECT, INSERT ON audit_auditevent, audit_auditcheckpoint TO causeway_app")
        cursor.execute("GRANT SELECT ON django_migrations TO causeway_app")
        # Even without the triggers this role can't.
        guards.remove(connections[trail])
    config = environ.Env.db_url_config(postgres.url(database, role="causeway_app", password="an ordinary password"))
    with added_database("insert_only", dict(config)):
        yield "insert_only"
    with connections[trail].cursor() as cursor:
        cursor.execute("REVOKE ALL ON audit_auditevent, audit_auditcheckpoint, django_migrations FROM causeway_app")
    postgres.drop_role("causeway_app")


@on_postgresql
def test_insert_only_role_appends_and_signs_but_changes_nothing(insert_only: str) -> None:
    with transaction.atomic(using=insert_only):
        assert record(action="gate.passed", actor="ana", checkpoint=True, using=insert_only).sequence == 2
    for statement in (
        "UPDATE audit_auditevent SET actor = 'eve'",
        "DELETE FROM audit_auditcheckpoint",
        "TRUNCATE audit_auditevent",
        "DROP TABLE audit_auditevent",
        "ALTER TABLE audit_auditevent DISABLE TRIGGER ALL",
        "DROP FUNCTION causeway_audit_refuse() CASCADE",
    ):
        with pytest.raises(DatabaseError) as caught, connections[insert_only].cursor() as cursor:
            cursor.execute(statement)
        assert isinstance(caught.value.__cause__, psycopg2.errors.InsufficientPrivilege), statement
    assert verify_trail(keys=own_keys(), using=insert_only).chain.ok


@on_sqlite
def test_writers_in_processes_of_their_own_make_one_chain(trail: str, write: Write, audit_key: Path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "DATABASE_URL": f"sqlite:///{connections[trail].settings_dict['NAME']}",
        "CAUSEWAY_AUDIT_KEY_FILE": str(audit_key),
    }
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER], env=environment, stderr=subprocess.PIPE) for _ in range(4)
    ]
    for writer in writers:
        _out, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    assert AuditEvent.objects.using(trail).count() == 80
    assert verify_trail(keys=own_keys(), using=trail).ok


def test_pages_follow_each_other_without_gap_or_repeat(write: Write, trail: str) -> None:
    for number in range(1, 11):
        write(application="yukyu" if number % 2 else "other")
    events = AuditEvent.objects.using(trail)
    assert [event.sequence for event in events.before(None, 4)] == [10, 9, 8, 7]
    assert [event.sequence for event in events.before(7, 4)] == [6, 5, 4, 3]
    assert [event.sequence for event in events.after(0, 3)] == [1, 2, 3]
    assert [event.sequence for event in events.of_applications(["yukyu"]).after(3, 9)] == [5, 7, 9]
    assert not events.of_applications([]).exists()
