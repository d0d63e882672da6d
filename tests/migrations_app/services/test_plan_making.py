"""What can't become a plan says so on the plan: a code, a sentence, what to do; never a traceback, never a secret."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.embedded import EmbeddedPostgres
from migrations_app.models import MigrationPlan
from migrations_app.services import plan_making
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from migrations_app.services.plan_making import work_on_plan
from migrations_app.services.plans import choose, drop_choices, request_plan, stale_choices
from migrations_app.services.sweep import sweep
from tests import factories as make

PASSWORD = "word-that-nobody-may-see"


class Place:
    """An application whose file lies in a folder of the test's, and its people."""

    def __init__(self, folder: Path, target: str) -> None:
        self.folder = folder
        self.file = folder / "app.db"
        self.operator = folder / "operator.toml"
        with closing(sqlite3.connect(self.file)) as database:
            database.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)")
            database.executemany("INSERT INTO items VALUES (?, ?)", [(n, f"item {n}" * 20) for n in range(500)])
            database.commit()
        self.write_operator_file()
        self.application = make.application(
            source_path=str(self.file),
            target_url=target,
            schema_mode="create",
            processes=[],
            endpoints=[],
            encrypted_columns=[],
            pointing={
                "mechanism": "environment",
                "keys": {"DATABASE_URL": {"sqlite": "s:{path}", "postgresql": "{url}"}},
            },
        )
        self.who = make.people(self.application)

    def write_operator_file(self, schema: str = "pass") -> None:
        self.operator.write_text(
            f'[roots]\nfiles = ["{self.folder}"]\n'
            f'[commands.schema]\nargv = ["{sys.executable}", "-c", "{schema}"]\ncwd = "{self.folder}"\n'
        )
        self.operator.chmod(0o600)

    def change(self, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self.application, name, value)
        self.application.save()

    def plan(self) -> MigrationPlan:
        plan = request_plan(actor=self.who.ops, application=self.application)
        work_on_plan(plan_id=plan.pk)
        plan.refresh_from_db()
        return plan


@pytest.fixture
def place(tmp_path: Path, settings: Any, quick_passwords: None, transactional_db: None, target_url: str) -> Place:
    folder = tmp_path / "srv"
    folder.mkdir(mode=0o700)
    settings.CAUSEWAY_ARTIFACTS_DIR = tmp_path / "artifacts"
    settings.CAUSEWAY_OPERATOR_FILE = str(folder / "operator.toml")
    return Place(folder, target_url)


def assert_refused(plan: MigrationPlan, code: str) -> None:
    assert (plan.state, plan.error_code) == ("refused", code), plan.error_message
    assert len(plan.error_message.split()) >= 5  # a sentence
    for never in ("Traceback", 'File "', PASSWORD):
        assert never not in plan.error_message
    assert plan.document is None and plan.lease_holder == ""
    refused = AuditEvent.objects.get(action="input.refused")
    assert refused.payload["code"] == code


def _gone(place: Place) -> None:
    place.file.unlink()


def _folder(place: Place) -> None:
    place.file.unlink()
    place.file.mkdir()


def _empty(place: Place) -> None:
    place.file.write_bytes(b"")


def _text(place: Place) -> None:
    place.file.write_text("id,name\n1,not a database\n" * 100)


def _encrypted(place: Place) -> None:
    place.file.write_bytes(os.urandom(8192))


def _truncated(place: Place) -> None:
    os.truncate(place.file, place.file.stat().st_size - 4096)


def _outside(place: Place) -> None:
    place.change(source_path="/etc/passwd")


def _climbing(place: Place) -> None:
    place.change(source_path=f"{place.folder}/../srv2/app.db")


def _link(place: Place) -> None:
    outside = place.folder.parent / "elsewhere.db"
    place.file.rename(outside)
    place.file.symlink_to(outside)


def _no_operator_file(place: Place) -> None:
    place.operator.unlink()


def _writable_operator_file(place: Place) -> None:
    place.operator.chmod(0o666)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_gone, "NOT_FOUND"),
        (_folder, "NOT_A_FILE"),
        (_empty, "EMPTY_FILE"),
        (_text, "NOT_SQLITE"),
        (_encrypted, "NOT_SQLITE"),
        (_truncated, "TRUNCATED"),
        (_outside, "PATH_NOT_ALLOWED"),
        (_climbing, "PATH_NOT_ALLOWED"),
        (_link, "PATH_NOT_ALLOWED"),
        (_no_operator_file, "OPERATOR_FILE_MISSING"),
        (_writable_operator_file, "OPERATOR_FILE_UNSAFE"),
    ],
)
def test_file_that_is_no_sound_sqlite_within_the_roots_is_refused(
    place: Place, spoil: Callable[[Place], None], code: str
) -> None:
    spoil(place)
    assert_refused(place.plan(), code)


def _with(url: str, *, user: str = "", password: str = "", port: int = 0) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    who = f"{user or parts.username}:{password or parts.password}"
    return parts._replace(netloc=f"{who}@{parts.hostname}:{port or parts.port}").geturl()


@pytest.mark.parametrize(
    ("spoil", "codes"),
    [
        (lambda url: _with(url, password=PASSWORD), {"WRONG_PASSWORD"}),
        (lambda url: _with(url, user="nobody_here", password=PASSWORD), {"NO_SUCH_ROLE", "WRONG_PASSWORD"}),
        (lambda url: _with(url, port=1, password=PASSWORD), {"TARGET_UNREACHABLE"}),
        (lambda url: url, {"NO_RIGHTS"}),  # the role may not create databases
        (lambda url: f"mysql://u:{PASSWORD}@127.0.0.1/x", {"BAD_URL"}),
    ],
)
def test_target_that_can_not_be_tried_is_refused(place: Place, spoil: Callable[[str], str], codes: set[str]) -> None:
    """Where the application makes its own schema, the plan is made against what it really makes."""
    target = place.application.target_url.reveal()
    place.change(schema_mode="existing", commands={"schema": "schema"}, target_url=spoil(target))
    plan = place.plan()
    assert plan.error_code in codes
    assert_refused(plan, plan.error_code)


@pytest.mark.parametrize(
    ("commands", "script", "code"),
    [
        ({}, "pass", "NO_SCHEMA_COMMAND"),
        ({"schema": "schema"}, "raise SystemExit('no head')", "SCHEMA_COMMAND_FAILED"),
    ],
)
def test_schema_command_that_makes_nothing_is_refused_and_its_scratch_database_is_gone(
    place: Place, postgres: EmbeddedPostgres, commands: dict[str, str], script: str, code: str
) -> None:
    place.write_operator_file(script)
    place.change(schema_mode="existing", commands=commands, rehearsal_target_url=postgres.url())
    assert_refused(place.plan(), code)
    left = postgres.execute("SELECT datname FROM pg_database WHERE datname LIKE 'causeway_plan%'")
    assert not left


def test_fault_of_ours_is_named_as_one_and_shows_nothing_of_itself(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise KeyError(PASSWORD)

    monkeypatch.setattr(plan_making, "plan_move", broken)
    plan = place.plan()
    assert_refused(plan, "ERRORED")
    assert "KeyError" in plan.error_message


def test_plan_whose_workers_die_is_given_up_after_three(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = request_plan(actor=place.who.ops, application=place.application)
    for _ in range(3):
        assert plan_making._claim(plan.pk) is not None  # and it dies
        assert not work_on_plan(plan_id=plan.pk), "another worker must not take it while its lease lasts"
        MigrationPlan.objects.filter(pk=plan.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert sweep(now=timezone.now())["rung"] == 1
    assert not work_on_plan(plan_id=plan.pk)
    plan.refresh_from_db()
    assert_refused(plan, "ATTEMPTS_EXHAUSTED")


def test_plan_of_a_worker_that_lost_its_lease_is_not_stored(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = request_plan(actor=place.who.ops, application=place.application)
    slow = plan_making._claim(plan.pk)
    assert slow is not None
    MigrationPlan.objects.filter(pk=plan.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert work_on_plan(plan_id=plan.pk)
    plan.refresh_from_db()
    digest = plan.digest
    assert plan.state == "draft" and digest
    assert not plan_making._finish(slow, state="refused", error_code="LATE")
    plan.refresh_from_db()
    assert (plan.state, plan.digest) == ("draft", digest)
    assert not work_on_plan(plan_id=plan.pk)


def test_choice_on_a_finding_makes_a_new_revision_that_holds_it(place: Place) -> None:
    with closing(sqlite3.connect(place.file)) as database:
        database.execute("INSERT INTO items VALUES (1000, 'with' || char(0) || 'nul')")
        database.commit()
    plan = place.plan()
    assert plan.state == "draft", plan.error_message
    finding = plan.findings.get(severity="refuse")
    assert (finding.table, finding.column) == ("items", "name")
    with pytest.raises(ServiceRefused) as refused:
        choose(actor=place.who.ops, plan=plan, finding_id=finding.pk, choice="ignore")
    assert refused.value.code == "UNKNOWN_CHOICE"
    with pytest.raises(Forbidden):
        choose(actor=place.who.qa, plan=plan, finding_id=finding.pk, choice=finding.choices[0])
    new = choose(actor=place.who.ops, plan=plan, finding_id=finding.pk, choice=finding.choices[0])
    assert work_on_plan(plan_id=new.pk)
    new.refresh_from_db()
    plan.refresh_from_db()
    assert (new.revision, new.state, plan.state) == (plan.revision + 1, "draft", "superseded")
    assert not new.findings.filter(severity="refuse", choice="").exists()
    assert new.digest != plan.digest


def test_plan_that_an_old_choice_spoils_is_got_out_of_by_dropping_that_choice(place: Place) -> None:
    with closing(sqlite3.connect(place.file)) as database:
        database.execute("INSERT INTO items VALUES (1000, 'with' || char(0) || 'nul')")
        database.commit()
    plan = place.plan()
    finding = plan.findings.get(severity="refuse")
    plan = choose(actor=place.who.ops, plan=plan, finding_id=finding.pk, choice="skip_rows")
    work_on_plan(plan_id=plan.pk)
    with closing(sqlite3.connect(place.file)) as database:
        database.execute("ALTER TABLE items RENAME COLUMN name TO title")
        database.commit()
    kept = {**plan.choices, finding.code: "skip_rows"}
    again = request_plan(actor=place.who.ops, application=place.application, choices=kept)
    work_on_plan(plan_id=again.pk)
    again.refresh_from_db()
    assert_refused(again, "UNKNOWN_PLACE")
    assert stale_choices(again) == [f"{finding.code}@items.name"]
    with pytest.raises(Forbidden):
        drop_choices(actor=place.who.qa, plan=again, keys=stale_choices(again))
    for keys in ([], ["TEXT_HAS_NUL@elsewhere"]):
        with pytest.raises(ServiceRefused):
            drop_choices(actor=place.who.ops, plan=again, keys=keys)
    made = drop_choices(actor=place.who.ops, plan=again, keys=stale_choices(again))
    with pytest.raises(Stale):
        drop_choices(actor=place.who.ops, plan=again, keys=stale_choices(again))
    assert work_on_plan(plan_id=made.pk)
    made.refresh_from_db()
    assert (made.state, made.choices) == ("draft", {finding.code: "skip_rows"}), made.error_message
    event = AuditEvent.objects.get(action="plan.choice_dropped")
    assert event.payload["dropped"] == {f"{finding.code}@items.name": "skip_rows"}
