"""The commands on the control database of the settings, with their exit status."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from controlplane.audit import checks, guards, signing
from controlplane.audit.actions import ACTIONS
from controlplane.audit.models import AuditCheckpoint, AuditEvent
from controlplane.audit.tasks import hourly_checkpoint
from controlplane.audit.trail import record

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def three_events(db: None, audit_key: Path) -> None:
    with transaction.atomic():
        for number in range(3):
            record(action="step.started", actor="ana", payload={"number": number})


@pytest.fixture
def unguarded(three_events: None) -> Iterator[None]:
    guards.remove(connection)
    yield
    guards.install(connection)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return caught.value


def test_audit_verify_of_a_whole_trail_says_so_and_is_recorded() -> None:
    hourly_checkpoint()
    assert run("audit_verify").startswith("OK: 3 events, signed through 3 at ")
    event = AuditEvent.objects.get(sequence=4)
    assert event.action == "audit.verified" and event.actor.startswith("cli:")
    assert event.payload["ok"] is True and event.payload["signed_through"] == 3


def test_audit_verify_of_a_broken_trail_exits_one_and_names_the_event(unguarded: None) -> None:
    AuditEvent.objects.filter(sequence=2).update(actor="eve")
    guards.install(connection)
    error = refused("audit_verify")
    assert error.returncode == 1
    assert "BROKEN at event 2 (edited)" in str(error)
    assert AuditEvent.objects.get(sequence=4).payload["broken"] == {"sequence": 2, "code": "edited"}


def test_audit_verify_of_an_unguarded_trail_exits_one(unguarded: None) -> None:
    error = refused("audit_verify")
    assert error.returncode == 1 and "UNGUARDED" in str(error) and "audit_event_insert" in str(error)


def test_audit_verify_as_json_without_a_record() -> None:
    facts = json.loads(run("audit_verify", "--json", "--no-record", "--from", "2"))
    assert facts["ok"] is True and facts["events"] == 2
    assert AuditEvent.objects.count() == 3


def test_audit_verify_takes_the_key_that_it_is_given(tmp_path: Path, settings: Any) -> None:
    hourly_checkpoint()
    (tmp_path / "public.pem").write_text(signing.public_pem())
    settings.CAUSEWAY_AUDIT_KEY_FILE = str(tmp_path / "another.pem")
    assert refused("audit_verify", "--no-record").returncode == 1
    assert "OK" in run("audit_verify", "--no-record", "--public-key", str(tmp_path / "public.pem"))


@pytest.mark.parametrize(
    "arguments", [("--from", "0"), ("--public-key", "/no/such/file"), ("--public-key", "/etc/hostname")]
)
def test_audit_verify_refuses_bad_arguments_with_two(arguments: tuple[str, str]) -> None:
    assert refused("audit_verify", *arguments).returncode == 2


def test_audit_verify_without_a_key_refuses_with_two(settings: Any, tmp_path: Path) -> None:
    settings.PRODUCTION = True
    settings.CAUSEWAY_AUDIT_KEY_FILE = str(tmp_path / "none.pem")
    error = refused("audit_verify")
    assert error.returncode == 2 and "AUDIT_KEY_UNUSABLE" in str(error)


def test_audit_export_writes_and_refuses_to_overwrite(tmp_path: Path) -> None:
    assert "4 events, 4 with content" in run("audit_export", "--output", str(tmp_path / "e"))
    assert (tmp_path / "e" / "events.jsonl").exists()
    error = refused("audit_export", "--output", str(tmp_path / "e"))
    assert error.returncode == 2 and "AUDIT_EXPORT_REFUSED" in str(error)


def test_audit_public_key_prints_it_and_creates_it_when_asked(settings: Any, tmp_path: Path) -> None:
    settings.PRODUCTION = True
    settings.CAUSEWAY_AUDIT_KEY_FILE = str(tmp_path / "new" / "audit.pem")
    assert refused("audit_public_key").returncode == 2
    assert run("audit_public_key", "--create").strip() == signing.public_pem().strip()
    assert run("audit_public_key", "--create", "--fingerprint").strip() == signing.fingerprint_of(signing.public_key())


def test_audit_guard_puts_triggers_back_and_says_so_in_the_trail(unguarded: None) -> None:
    assert "Put back" in run("audit_guard")
    assert guards.missing(connection) == []
    assert AuditEvent.objects.get(sequence=4).payload["restored"]
    assert "in place" in run("audit_guard")


def test_hourly_task_signs_the_head_once() -> None:
    hourly_checkpoint()
    hourly_checkpoint()
    assert list(AuditCheckpoint.objects.values_list("sequence", "reason")) == [(3, "hourly")]


def test_system_check_notices_a_missing_trigger(unguarded: None) -> None:
    assert [message.id for message in checks.check_guards(databases=["default"])] == ["causeway.audit.E001"]
    guards.install(connection)
    assert checks.check_guards(databases=["default"]) == []


def test_system_check_notices_a_missing_or_open_key_in_production(settings: Any, audit_key: Path) -> None:
    assert checks.check_key() == []
    settings.PRODUCTION = True
    settings.CAUSEWAY_AUDIT_KEY_FILE = str(audit_key.with_name("none.pem"))
    assert [message.id for message in checks.check_key()] == ["causeway.audit.W001"]
    signing.create_key(signing.key_path())
    assert checks.check_key() == []
    signing.key_path().chmod(0o444)
    assert [message.id for message in checks.check_key()] == ["causeway.audit.W002"]


def test_actions_are_dotted_and_described() -> None:
    for action, meaning in ACTIONS.items():
        family, dot, verb = action.partition(".")
        assert family and dot and verb and action == action.lower() and len(action) <= 60
        assert meaning and not meaning.endswith(".")
