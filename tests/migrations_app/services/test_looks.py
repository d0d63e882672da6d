"""Looks as rows: answered once, forgotten when nobody saves them, and what a look refuses for the others' sake."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import connection
from django.utils import timezone

from controlplane.registry.models import Application, Host, Look, LookState
from migrations_app.services import hosts, looks
from migrations_app.services.addresses import Address, address_from
from migrations_app.services.errors import FieldsRefused, Stale
from migrations_app.steps import workplace
from tests import factories as make
from tests.hosts import Machine, known, make_machine
from tests.migrations_app.services.conftest import Stage


@pytest.fixture
def machine(stage: Stage, tmp_path: Path, settings: Any) -> Machine:
    return make_machine(tmp_path, settings)


def ask(stage: Stage, kind: str, values: dict[str, Any], address: Address | None = None) -> Look:
    row = Application.objects.get(pk=stage.application.pk)
    return looks.ask_look(
        actor=stage.who.ops, application=row, kind=kind, values=values, address=address, version=row.version
    )


def answered(look: Look) -> Look:
    assert looks.work_on_look(look_id=look.pk)
    return Look.objects.get(pk=look.pk)


def _address(url: str) -> Address:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return address_from(
        {
            "host": parts.hostname,
            "port": parts.port,
            "database": parts.path[1:],
            "user": parts.username,
            "password": parts.password,
        }
    )


TARGET = {"target_schema": "public", "schema_mode": "create"}


def test_a_look_is_answered_once(stage: Stage, machine: Machine) -> None:
    look = ask(stage, "source", {"source_path": str(machine.file), "busy_timeout_ms": 5000})
    first = answered(look)
    assert not looks.work_on_look(look_id=look.pk)
    assert Look.objects.get(pk=look.pk).answer == first.answer


def test_a_newer_question_drops_the_older_and_its_address(stage: Stage, machine: Machine, target_url: str) -> None:
    older = ask(stage, "target", TARGET, _address(target_url))
    newer = ask(stage, "target", TARGET, _address(target_url))
    older.refresh_from_db()
    assert (older.state, bool(older.url), bool(newer.url)) == (LookState.DROPPED, False, True)
    with pytest.raises(Stale):
        looks.save_look(actor=stage.who.ops, look=older, unchecked=True)


def test_what_nobody_saves_is_forgotten_with_its_address(stage: Stage, machine: Machine, target_url: str) -> None:
    look = answered(ask(stage, "target", TARGET, _address(target_url)))
    looks.sweep_looks(now=timezone.now() + timedelta(minutes=9))
    assert Look.objects.get(pk=look.pk).url
    looks.sweep_looks(now=timezone.now() + timedelta(minutes=11))
    look.refresh_from_db()
    assert (look.state, bool(look.url)) == (LookState.DROPPED, False)


def test_a_password_on_its_way_is_encrypted_in_the_row(stage: Stage, machine: Machine, target_url: str) -> None:
    look = ask(stage, "target", TARGET, _address(target_url))
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM registry_look WHERE id = %s", [look.pk])
        row = str(cursor.fetchone())
    assert "sealed1:" in row
    assert str(_address(target_url).password) not in row


def test_two_applications_do_not_share_a_target(stage: Stage, machine: Machine, target_url: str) -> None:
    looks.save_look(actor=stage.who.ops, look=answered(ask(stage, "target", TARGET, _address(target_url))))
    other = make.application("zaiko")
    make.member(other, stage.who.ops, "ops")
    stage.application = other
    look = answered(ask(stage, "target", TARGET, _address(target_url)))
    assert look.answer["problem"]["code"] == "SAME_TARGET"
    for unchecked in (False, True):
        with pytest.raises(FieldsRefused, match="target of yukyu already"):
            looks.save_look(actor=stage.who.ops, look=look, unchecked=unchecked)
    apart = answered(ask(stage, "target", {**TARGET, "target_schema": "zaiko"}, _address(target_url)))
    assert apart.answer["problem"] is None


def test_causeways_own_database_is_no_source(
    stage: Stage, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = make_machine(tmp_path, settings)
    monkeypatch.setitem(configured.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")
    monkeypatch.setitem(configured.DATABASES["default"], "NAME", str(machine.file))
    look = answered(ask(stage, "source", {"source_path": str(machine.file), "busy_timeout_ms": 5000}))
    assert look.answer["problem"]["code"] == "CONTROL_DATABASE"


def test_looking_again_at_what_is_stored_replaces_what_was_seen(stage: Stage, machine: Machine) -> None:
    Application.objects.filter(pk=stage.application.pk).update(source_path=str(machine.file))
    answered(ask(stage, "source", {}))
    assert Application.objects.get().seen["source"]["facts"]["table_count"] == 2
    machine.file.unlink()
    answered(ask(stage, "source", {}))
    row = Application.objects.get()
    assert row.seen["source"]["problem"]["code"] == "NOT_FOUND"
    assert row.version == 0


def test_a_change_makes_what_was_seen_of_something_else_vanish(stage: Stage, machine: Machine) -> None:
    Application.objects.filter(pk=stage.application.pk).update(
        seen={"source": {"problem": None, "facts": {}, "at": ""}}
    )
    look = ask(stage, "source", {"source_path": str(machine.file), "busy_timeout_ms": 5000})
    looks.save_look(actor=stage.who.ops, look=look, unchecked=True)
    assert "source" not in Application.objects.get().seen


def test_a_host_tells_names_and_folders_and_no_argv(stage: Stage, machine: Machine) -> None:
    row = known(machine)
    assert row.roots == [str(machine.root)] and "yukyu-web" in row.commands
    assert "/bin/true" not in str(Host.objects.values())
    Path(configured.CAUSEWAY_OPERATOR_FILE).chmod(0o666)
    hosts.describe_host(host_id=row.pk)
    row.refresh_from_db()
    assert "writable by its group or by others" in row.problem and not row.is_known


def test_applications_from_before_get_their_host(stage: Stage) -> None:
    assert hosts.ring_for_stale(now=timezone.now()) == 1
    assert Host.objects.get().name == stage.application.host
    Host.objects.update(seen_at=timezone.now())
    assert hosts.ring_for_stale(now=timezone.now()) == 0


def test_a_run_reaches_no_host_that_left_the_operators_list(stage: Stage, machine: Machine) -> None:
    row = Application.objects.get()
    row.target_url = "postgresql://u:canary@db.elsewhere/d?sslmode=verify-full"
    row.save()
    with pytest.raises(Exception, match="not on the operator's list") as refused:
        workplace.target_of(Application.objects.get())
    assert "canary" not in str(refused.value)
