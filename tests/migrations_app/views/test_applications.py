"""Registering and changing an application through its pages, as far as a browser is not needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import AuditEvent
from controlplane.registry.models import Application, Look, LookState, Membership, Role
from migrations_app.services.sections import SECTIONS
from tests import factories as make
from tests.hosts import Machine, answer_at_once, known, make_machine

SignIn = Callable[[User], Client]
PASSWORD = "canary/with@signs"


@pytest.fixture
def machine(tmp_path: Path, settings: Any, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Machine:
    answer_at_once(monkeypatch)
    return make_machine(tmp_path, settings)


@pytest.fixture
def ana(machine: Machine) -> User:
    person = make.user("ana")
    make.member(make.application("other"), person, Role.OPS)
    return person


@pytest.fixture
def draft(machine: Machine, ana: User, as_: SignIn) -> Application:
    as_(ana).post("/applications/new/", {"name": "yukyu", "title": "Leave", "host": machine.name})
    return Application.objects.get(name="yukyu")


def change(client: Client, section: str, name: str = "yukyu", **typed: Any) -> Any:
    version = typed.pop("version", Application.objects.get(name=name).version)
    return client.post(reverse("application_change", args=[name, section]), {"version": version, **typed})


def server(url: str, **other: Any) -> dict[str, Any]:
    parts = urlsplit(url)
    typed = {
        "host": parts.hostname,
        "port": parts.port,
        "database": parts.path[1:],
        "user": parts.username,
        "password": parts.password,
        "sslmode": "prefer",
        "target_schema": "public",
        "schema_mode": "create",
    }
    return {**typed, **other}


def errors_of(answer: Any) -> dict[str, str]:
    """What is said beside which field."""
    found = re.findall(r'class="field-error" id="id_([a-z_0-9-]+)-error">([^<]+)<', answer.content.decode())
    return dict(found)


def test_who_registers_an_application_becomes_its_ops(draft: Application, ana: User) -> None:
    assert list(Membership.objects.filter(application=draft).values_list("user", "role")) == [(ana.pk, "ops")]
    event = AuditEvent.objects.get(action="application.registered")
    assert (event.actor, event.role, event.application) == ("ana", "ops", "yukyu")


def test_only_ops_and_who_was_allowed_to_register(machine: Machine, as_: SignIn) -> None:
    lead = make.user("ben")
    make.member(make.application("other"), lead, Role.LEAD)
    answer = as_(lead).post("/applications/new/", {"name": "mine", "title": "", "host": "apphost"})
    assert answer.status_code == 403
    assert not Application.objects.filter(name="mine").exists()
    assert AuditEvent.objects.filter(action="permission.refused").exists()


def test_a_superuser_registers_and_gets_no_role(machine: Machine, as_: SignIn) -> None:
    boss = User.objects.create_superuser("boss", password=make.PASSWORD)
    assert as_(boss).post("/applications/new/", {"name": "mine", "host": "apphost"}).status_code == 302
    assert not Membership.objects.exists()


@pytest.mark.parametrize("name", ["new", "Yukyu", "yu kyu", "yukyu", "../etc", ""])
def test_a_name_that_can_not_be_is_refused_on_its_field(draft: Application, ana: User, as_: SignIn, name: str) -> None:
    answer = as_(ana).post("/applications/new/", {"name": name, "host": "apphost"})
    assert answer.status_code == 400
    assert "name" in errors_of(answer)


def test_a_file_under_an_allowed_root_is_looked_at_and_saved(
    draft: Application, ana: User, as_: SignIn, machine: Machine
) -> None:
    answer = change(as_(ana), "source", source_path=str(machine.file), busy_timeout_ms=8000)
    assert answer.status_code == 302, errors_of(answer)
    draft.refresh_from_db()
    assert (draft.source_path, draft.busy_timeout_ms) == (str(machine.file), 8000)
    facts = draft.seen["source"]["facts"]
    assert (facts["journal_mode"], facts["table_count"], facts["encoding"]) == ("wal", 2, "UTF-8")
    page = as_(ana).get("/applications/yukyu/").content.decode()
    assert "write-ahead log, UTF-8, 2 tables" in page


def test_files_that_may_not_be_named_are_refused_beside_the_field(
    draft: Application, ana: User, as_: SignIn, machine: Machine
) -> None:
    link = machine.root / "link.db"
    link.symlink_to(machine.outside)
    (machine.root / "no.db").write_text("this is no database, but long enough to be looked at" * 40)
    wrong = {
        str(machine.outside): "outside the folders",
        str(machine.root / ".." / "elsewhere.db"): "without “..”",
        "srv/app.db": "whole path",
        str(link): "symbolic link",
        str(machine.root / "gone.db"): "There is no file",
        str(machine.root): "",
        str(machine.root / "no.db"): "encrypted or not SQLite",
    }
    for path, said in wrong.items():
        answer = change(as_(ana), "source", source_path=path, busy_timeout_ms=5000)
        assert answer.status_code == 400, path
        assert said in errors_of(answer)["source_path"], path
    draft.refresh_from_db()
    assert draft.source_path == "" and draft.version == 0


def test_a_target_is_tested_saved_encrypted_and_never_shown(
    draft: Application, ana: User, as_: SignIn, target_url: str
) -> None:
    answer = change(as_(ana), "target", **server(target_url))
    assert answer.status_code == 302, errors_of(answer)
    draft.refresh_from_db()
    parts = urlsplit(target_url)
    assert urlsplit(draft.target_url.reveal()).username == parts.username
    assert draft.seen["target"]["facts"]["table_count"] == 0
    form = as_(ana).get(reverse("application_change", args=["yukyu", "target"])).content.decode()
    assert f'value="{parts.username}"' in form
    told = str(list(AuditEvent.objects.values_list("payload", flat=True))) + str(list(Look.objects.values()))
    assert parts.password and parts.password not in form + told
    assert AuditEvent.objects.get(action="application.changed").payload["replaced"] == ["password of the target"]
    assert not any(look.url for look in Look.objects.all())


def test_what_is_wrong_with_a_target_stands_beside_its_field(
    draft: Application, ana: User, as_: SignIn, target_url: str
) -> None:
    wrong = {
        "host": server(target_url, host="db.example", sslmode="verify-full"),
        "port": server(target_url, port="70000"),
        "password": server(target_url, password="canary-wrong"),
        "database": server(target_url, database="not_there"),
        "sslrootcert": server(target_url, sslrootcert="../../etc/passwd"),
        "target_schema": server(target_url, target_schema="pg_catalog"),
    }
    for field, typed in wrong.items():
        answer = change(as_(ana), "target", **typed)
        said = errors_of(answer)
        assert answer.status_code == 400, field
        assert field in said or (field == "sslrootcert" and "sslmode" in said), (field, said)
        assert "canary-wrong" not in answer.content.decode()
    assert "not on the operator’s list" in str(errors_of(change(as_(ana), "target", **wrong["host"]))["host"]).replace(
        "&#x27;", "’"
    )
    draft.refresh_from_db()
    assert not draft.target_url


def test_a_password_is_kept_for_its_place_and_typed_anew_for_another(
    draft: Application, ana: User, as_: SignIn, target_url: str
) -> None:
    change(as_(ana), "target", **server(target_url))
    before = Application.objects.get(name="yukyu").target_url.reveal()
    kept = change(as_(ana), "target", **server(target_url, password="", target_schema="leave"))
    assert kept.status_code == 302, errors_of(kept)
    assert Application.objects.get(name="yukyu").target_url.reveal() == before
    moved = change(as_(ana), "target", **server(target_url, password="", host="localhost"))
    assert "Type the password" in errors_of(moved)["password"]


def test_an_answer_that_takes_long_is_waited_for_on_a_page_of_its_own(
    draft: Application, ana: User, as_: SignIn, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations_app.doorbell._send", lambda *unheard: None)
    answer = change(as_(ana), "source", source_path=str(machine.file), busy_timeout_ms=5000)
    look = Look.objects.get(state=LookState.ASKED)
    waiting = reverse("application_look", args=["yukyu", look.pk])
    assert answer.headers["Location"] == waiting
    page = as_(ana).get(waiting)
    assert page.headers["Refresh"] == "2" and "is looking" in page.content.decode()
    answer_at_once(monkeypatch)
    from migrations_app.services.looks import work_on_look

    assert work_on_look(look_id=look.pk)
    page = as_(ana).get(waiting)
    assert "Refresh" not in page.headers and "Save it" in page.content.decode()
    assert as_(ana).post(waiting).status_code == 302
    draft.refresh_from_db()
    assert draft.source_path == str(machine.file)


def test_a_draft_may_hold_a_server_that_is_not_there_yet_but_never_a_forbidden_one(
    draft: Application, ana: User, as_: SignIn
) -> None:
    typed = server("postgresql://yukyu:word@127.0.0.1:1/yukyu")
    answer = change(as_(ana), "target", **typed)
    assert "refuses connections" in errors_of(answer)["host"]
    look = Look.objects.get(state=LookState.ANSWERED)
    address = reverse("application_look", args=["yukyu", look.pk])
    assert as_(ana).post(address).status_code == 400
    assert as_(ana).post(address, {"unchecked": "1"}).status_code == 302
    draft.refresh_from_db()
    assert draft.seen["target"]["problem"]["code"] == "TARGET_UNREACHABLE"
    page = as_(ana).get("/applications/yukyu/").content.decode()
    assert "refuses connections" in page


def test_the_second_of_two_who_save_the_same_page_is_told(draft: Application, ana: User, as_: SignIn) -> None:
    client = as_(ana)
    assert change(client, "operations", version=0, recipients="a@example.org").status_code == 302
    answer = change(client, "operations", version=0, recipients="b@example.org")
    assert answer.status_code == 409
    text = answer.content.decode()
    assert "was changed by ana at" in text and "b@example.org" in text
    draft.refresh_from_db()
    assert draft.recipients == ["a@example.org"]


def test_rows_are_added_without_a_script_and_nothing_is_saved_by_it(draft: Application, ana: User, as_: SignIn) -> None:
    typed = {
        "processes-TOTAL_FORMS": "2",
        "processes-INITIAL_FORMS": "0",
        "processes-0-name": "web",
        "processes-0-command": "yukyu-web",
        "processes-0-order": "1",
        "processes-0-port": "8010",
        "more": "processes",
    }
    text = change(as_(ana), "processes", **typed).content.decode()
    assert 'name="processes-TOTAL_FORMS" value="3"' in text
    assert 'value="8010"' in text
    draft.refresh_from_db()
    assert draft.processes == []


def _processes(**other: Any) -> dict[str, Any]:
    typed = {
        "processes-TOTAL_FORMS": "2",
        "processes-INITIAL_FORMS": "0",
        "processes-0-name": "web",
        "processes-0-command": "yukyu-web",
        "processes-0-order": "1",
        "processes-0-port": "8010",
        "processes-0-rehearsal_port": "8110",
        "processes-1-order": "1",
        "commands_schema": "yukyu-schema",
    }
    return {**typed, **other}


def test_processes_and_commands_are_named_from_the_operators_file(
    draft: Application, ana: User, as_: SignIn, machine: Machine
) -> None:
    known(machine)
    answer = change(as_(ana), "processes", **_processes())
    assert answer.status_code == 302, errors_of(answer)
    draft.refresh_from_db()
    assert draft.processes == [
        {"name": "web", "command": "yukyu-web", "order": 1, "port": 8010, "rehearsal_port": 8110}
    ]
    assert draft.commands == {"schema": "yukyu-schema"}
    foreign = change(as_(ana), "processes", **_processes(**{"processes-0-command": "rm"}))
    assert foreign.status_code == 400
    assert "processes-0-command" in errors_of(foreign)
    same = change(as_(ana), "processes", **_processes(**{"processes-0-rehearsal_port": "8010"}))
    assert "taken by" in errors_of(same)["processes-0-rehearsal_port"]


def test_what_pages_do_not_ask_for_is_kept(draft: Application, ana: User, as_: SignIn) -> None:
    Application.objects.filter(pk=draft.pk).update(
        processes=[{"name": "web", "command": "yukyu-web", "order": 1, "stop_timeout_seconds": 45}]
    )
    typed = _processes(**{"processes-INITIAL_FORMS": "1"})
    assert change(as_(ana), "processes", **typed).status_code == 302
    draft.refresh_from_db()
    assert draft.processes[0]["stop_timeout_seconds"] == 45 and draft.processes[0]["port"] == 8010


def test_a_row_is_taken_away(draft: Application, ana: User, as_: SignIn) -> None:
    change(as_(ana), "processes", **_processes())
    typed = _processes(**{"processes-INITIAL_FORMS": "1", "processes-0-DELETE": "on"})
    assert change(as_(ana), "processes", **typed).status_code == 302
    draft.refresh_from_db()
    assert draft.processes == []


def test_templates_are_tried_before_they_are_saved(
    draft: Application, ana: User, as_: SignIn, machine: Machine
) -> None:
    typed = {
        "mechanism": "file",
        "file": str(machine.root / ".env"),
        "keys-TOTAL_FORMS": "2",
        "keys-INITIAL_FORMS": "0",
        "keys-0-key": "DATABASE_URL",
        "keys-0-sqlite": "sqlite:///{path}",
        "keys-0-postgresql": "postgresql://{user}:{pasword}@{host}/{database}",
    }
    answer = change(as_(ana), "pointing", **typed)
    assert "{pasword}" in errors_of(answer)["keys-0-postgresql"].replace("&#x27;", "'")
    typed["keys-0-postgresql"] = "postgresql+psycopg2://{user}:{password}@{host}:{port}/{database}"
    assert change(as_(ana), "pointing", **typed).status_code == 302
    draft.refresh_from_db()
    assert draft.pointing["keys"]["DATABASE_URL"]["sqlite"] == "sqlite:///{path}"
    outside = change(as_(ana), "pointing", **{**typed, "file": "/etc/passwd"})
    assert outside.status_code == 302 or "outside" in errors_of(outside)["file"]


@pytest.mark.parametrize("section", sorted(SECTIONS))
@pytest.mark.parametrize("role", ["lead", "qa", "viewer"])
def test_only_ops_and_superusers_change_a_section(as_: SignIn, section: str, role: str, who: make.People) -> None:
    application = Application.objects.get(name="yukyu")
    client = as_(getattr(who, role))
    page = client.get(reverse("application_change", args=["yukyu", section]))
    assert page.status_code == 200 and "ops (ana)" in page.content.decode()
    typed = {"version": 0, "title": "Mine", "host": "apphost", "recipients": "x@example.org"}
    lists = {"processes": "processes", "pointing": "keys", "health": "endpoints", "encrypted": "encrypted_columns"}
    if section in lists:
        typed |= {f"{lists[section]}-TOTAL_FORMS": "0", f"{lists[section]}-INITIAL_FORMS": "0"}
    typed |= {"source_path": "/srv/other.db", "busy_timeout_ms": 1, "mechanism": "environment", "kind": "manual"}
    typed |= {"sslmode": "prefer", "target_schema": "other", "schema_mode": "create", "environment": "A=1"}
    answer = client.post(reverse("application_change", args=["yukyu", section]), typed)
    assert answer.status_code in (400, 403)
    fresh = Application.objects.get(pk=application.pk)
    assert fresh.version == 0
    for field in SECTIONS[section].fields:
        assert getattr(fresh, field) == getattr(application, field)


def test_a_stranger_finds_none_of_the_pages(as_: SignIn, who: make.People) -> None:
    client = as_(who.stranger)
    addresses = [reverse("application_change", args=["yukyu", section]) for section in SECTIONS]
    addresses += [reverse("application_people", args=["yukyu"]), reverse("application_look", args=["yukyu", 1])]
    for address in addresses:
        assert client.get(address).status_code == 404, address
        assert client.post(address, {}).status_code == 404, address
    assert client.post(reverse("application_check", args=["yukyu", "source"])).status_code == 404


def test_roles_are_given_and_taken_by_superusers_alone(as_: SignIn, who: make.People) -> None:
    address = reverse("application_people", args=["yukyu"])
    for person in (who.ops, who.lead):
        assert as_(person).post(address, {"person": "eve", "role": "lead"}).status_code == 403
    assert not Membership.objects.filter(user=who.stranger).exists()
    client = as_(who.boss)
    assert client.post(address, {"person": "eve", "role": "qa"}).status_code == 302
    given = Membership.objects.get(user=who.stranger, role="qa")
    for typed in (
        {"person": "boss", "role": "lead"},
        {"person": "nobody", "role": "qa"},
        {"person": "eve", "role": "qa"},
    ):
        assert client.post(address, typed).status_code == 400, typed
    assert client.post(address, {"take": given.pk}).status_code == 302
    assert not Membership.objects.filter(user=who.stranger).exists()
    told = AuditEvent.objects.filter(action__startswith="membership.").order_by("sequence")
    assert [(event.action, event.actor, event.payload["person"]) for event in told] == [
        ("membership.granted", "boss", "eve"),
        ("membership.revoked", "boss", "eve"),
    ]


def test_what_no_host_has_looked_at_is_not_called_ready(as_: SignIn, who: make.People) -> None:
    Application.objects.update(
        commands={"schema": "yukyu-schema"},
        identity={"process": "web", "path": "/health", "field": "database", "values": {}},
    )
    page = as_(who.ops).get("/applications/yukyu/").content.decode()
    assert "its host has not looked yet" in page and "Ready</span>" not in page
    seen = {"at": "2026-11-23T08:00:00+00:00", "host": "apphost", "problem": None, "facts": {}}
    Application.objects.update(seen={"source": seen, "target": seen})
    page = as_(who.ops).get("/applications/yukyu/").content.decode()
    assert page.count("Ready</span>") == 3


def test_pool_is_described_with_the_proofs_of_health(as_: SignIn, who: make.People) -> None:
    client = as_(who.ops)
    typed = {
        **{"endpoints-TOTAL_FORMS": "0", "endpoints-INITIAL_FORMS": "0"},
        **{"identity_process": "web", "identity_path": "/health", "identity_field": "database"},
        **{"identity_sqlite": "sqlite", "identity_postgresql": "postgresql"},
        **{"pool_path": "/db", "pool_size": "pool.size", "pool_used": "pool.used", "pool_configured": "5"},
    }
    assert change(client, "health", **typed, pool_most="15").status_code == 302
    stored = Application.objects.get(name="yukyu").identity["pool"]
    assert stored == {"path": "/db", "size": "pool.size", "used": "pool.used", "configured": 5, "most": 15}
    page = client.get(reverse("application_change", args=["yukyu", "health"])).content.decode()
    assert 'name="pool_most" value="15"' in page
    wrong = change(client, "health", **typed, pool_most="4")
    assert wrong.status_code == 400 and "No fewer than its pool" in errors_of(wrong)["pool_most"]
    alone = change(client, "health", **{**typed, "identity_field": "", "identity_path": ""})
    assert alone.status_code == 400, "a pool without a word about the database is refused, not dropped"
    without = {name: value for name, value in typed.items() if not name.startswith("pool_")}
    assert change(client, "health", **without).status_code == 302
    assert "pool" not in Application.objects.get(name="yukyu").identity
