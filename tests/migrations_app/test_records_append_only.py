"""What people signed on the strength of can't be changed behind the services: the database itself refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import environ
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from controlplane.audit import append_only, checks
from controlplane.audit.models import AuditEvent
from migrations_app.apps import KEPT
from migrations_app.models import Certificate, ChecklistVersion, ItemChange, MigrationRun, ResultFile, TestResult

MODELS = {model._meta.db_table: model for model in (Certificate, ChecklistVersion, ItemChange, ResultFile, TestResult)}


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request: Any, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of a migrated control database of that kind with one row in each guarded table."""
    if request.param == "sqlite":
        config = environ.Env.db_url_config(f"sqlite:///{tmp_path / 'records.sqlite3'}")
        config["OPTIONS"] = {"init_command": "PRAGMA foreign_keys=ON;"}
    else:
        config = environ.Env.db_url_config(request.getfixturevalue("target_url"))
    with django_db_blocker.unblock():
        connections.settings["records"] = connections.configure_settings({"default": {}, "records": dict(config)})[
            "records"
        ]
        call_command("migrate", database="records", verbosity=0)
        _fill("records")
        yield "records"
        connections["records"].close()
        del connections["records"]
        del connections.settings["records"]


def _fill(alias: str) -> None:
    """Straight rows: the services write to the default database."""
    now = timezone.now()

    def put(label: str, **fields: Any) -> Any:
        return apps.get_model(label).objects.using(alias).create(**fields)

    person = put("auth.User", username="mio")
    moved = put("registry.Application", name="tiny", host="here", source_path="/srv/a.db")
    plan = put("migrations_app.MigrationPlan", application=moved, revision=1, author=person)
    run = put("migrations_app.MigrationRun", application=moved, plan=plan, kind="production", requested_by=person)
    template = put("migrations_app.ChecklistTemplate", name="tiny", title="Tiny", application=moved, created_at=now)
    put("migrations_app.ChecklistVersion", template=template, number=1, items=[], digest="d" * 64, created_at=now)
    item = put("migrations_app.ChecklistItem", run=run, code="P01", phase="prepare", title="x", prover="qa", position=1)
    put("migrations_app.ItemChange", item=item, at=now, was="open", state="failed", by="mio")
    result = put(
        "migrations_app.TestResult", item=item, recorded_by=person, outcome="failed", note="x", recorded_at=now
    )
    put("migrations_app.ResultFile", result=result, name="a.png", content_type="image/png", size=1, sha256="f" * 64)
    digests = dict.fromkeys(("content_sha256", "html_sha256", "pdf_sha256"), "c" * 64)
    put("migrations_app.Certificate", run=run, content="{}", html=b"h", pdf=b"p", issued_at=now, **digests)


def _run(alias: str, statement: str) -> None:
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(statement)


def _ways(table: str, vendor: str) -> list[str]:
    ways = [f"UPDATE {table} SET id = id", f"DELETE FROM {table}"]
    if vendor == "sqlite":
        return [
            *ways,
            f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
            f"REPLACE INTO {table} SELECT * FROM {table}",
        ]
    return [
        *ways,
        f"TRUNCATE {table} CASCADE",
        f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT (id) DO UPDATE SET id = 1",
    ]


def test_no_record_is_changed_replaced_or_deleted(records: str) -> None:
    for table, model in MODELS.items():
        before = list(model.objects.using(records).values())
        assert len(before) >= 1, table
        for way in _ways(table, connections[records].vendor):
            with pytest.raises(DatabaseError, match=append_only.REFUSAL):
                _run(records, way)
        assert list(model.objects.using(records).values()) == before


def test_no_record_goes_with_the_row_that_it_hangs_on(records: str) -> None:
    with pytest.raises(DatabaseError, match=append_only.REFUSAL):
        MigrationRun.objects.using(records).all().delete()
    assert ItemChange.objects.using(records).count() == 1


def test_without_the_triggers_each_of_these_ways_goes_through(records: str) -> None:
    for table in MODELS:
        for way in _ways(table, connections[records].vendor):
            if table in ("migrations_app_testresult", "migrations_app_checklistversion") and "DELETE" in way:
                continue  # another key holds these
            with transaction.atomic(using=records):
                append_only.remove(connections[records], MODELS)
                _run(records, way)
                transaction.set_rollback(True, using=records)


def test_more_can_be_written(records: str) -> None:
    for model in MODELS.values():
        row = model.objects.using(records).first()
        assert row is not None
        row.pk = None
        for unique in ("number", "revision"):
            if hasattr(row, unique):
                setattr(row, unique, 2)
        row.save(using=records, force_insert=True)


def test_guarded_are_the_tables_that_the_schema_migration_guards(records: str) -> None:
    assert set(KEPT) == set(MODELS)
    assert append_only.missing(connections[records], KEPT) == []


def test_removed_trigger_is_reported_by_the_system_check_and_put_back_with_a_line_in_the_trail(db: None) -> None:
    append_only.remove(connection, ["migrations_app_testresult"])
    reported = checks.check_guards(databases=["default"])
    assert [message.id for message in reported] == ["causeway.audit.E002"]
    assert "migrations_app_testresult" in reported[0].msg
    call_command("audit_guard", verbosity=0)
    assert checks.check_guards(databases=["default"]) == []
    restored = AuditEvent.objects.get(action="command.run").payload["restored"]
    assert all("migrations_app_testresult" in name for name in restored)
