"""What holds for every page, for every kind of person."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import AuditEvent
from migrations_app.models import MigrationRun
from migrations_app.urls import urlpatterns
from tests import factories as make
from tests.migrations_app.views import addresses

SignIn = Callable[[User], Client]
WITHOUT_PAGE = {
    "login",
    "login_code",
    "logout",
    "theme",
    "plan_choose",
    "plan_drop",
    "audit_verify",
    "audit_export",
    "mail_again",
}
WITHOUT_PAGE |= {"application_check", "application_look"}  # tests/migrations_app/views/test_applications.py
WITHOUT_PAGE |= {"run_bundle", "run_certificate_file"}  # tests/migrations_app/views/test_certificate.py
WITHOUT_PAGE |= {"run_checklist_seen", "run_file"}  # tests/migrations_app/views/test_checklist.py


@pytest.mark.parametrize("role", ["lead", "second_lead", "ops", "qa", "viewer", "boss"])
def test_every_page_opens_for_members_and_superusers(
    as_: SignIn, who: make.People, loading: MigrationRun, role: str
) -> None:
    client = as_(getattr(who, role))
    for address in [*addresses.of_everyone(), *addresses.of_run(loading)]:
        assert client.get(address).status_code == 200, address


def test_the_walk_leaves_no_page_out(who: make.People, loading: MigrationRun) -> None:
    walked = {
        "runs",
        "run_new",
        "applications",
        "application_new",
        "application_people",
        "application_change",
        "audit",
        "mail_settings",
        "run_sign",
        "run_action",
        "run_result",
        "plan",
    }
    walked |= {"password", "second_factor", "application", "plan_new", *addresses.OF_A_RUN}
    walked |= {"checklist_template", "checklist_template_item", "application_replication"}
    assert {pattern.name for pattern in urlpatterns} == walked | WITHOUT_PAGE


def test_other_peoples_applications_are_not_there(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client = as_(who.stranger)
    for address in addresses.of_run(loading):
        assert client.get(address).status_code == 404, address
    for address in addresses.that_post(loading):
        assert client.post(address).status_code == 404, address


def test_lists_show_nothing_of_other_peoples_applications(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client = as_(who.stranger)
    for address in addresses.of_everyone():
        assert "yukyu" not in client.get(address).content.decode().replace("--source yukyu.db", ""), address


def test_nobody_sees_a_page_without_signing_in(client: Client, who: make.People, loading: MigrationRun) -> None:
    for address in [*addresses.of_everyone(), *addresses.of_run(loading)]:
        answer = client.get(address)
        if address == reverse("run_live", args=[loading.pk]):
            assert answer.status_code == 401
        else:
            assert answer.status_code == 302 and answer.headers["Location"].startswith("/sign-in/"), address


def test_looking_changes_nothing(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client = as_(who.ops)
    before = (MigrationRun.objects.get(pk=loading.pk).version, AuditEvent.objects.count())
    for address in [*addresses.of_everyone(), *addresses.of_run(loading)]:
        client.get(address)
    assert (MigrationRun.objects.get(pk=loading.pk).version, AuditEvent.objects.count()) == before


@pytest.mark.parametrize("name", sorted({"logout", "theme", "audit_verify", "audit_export"}))
def test_what_changes_something_refuses_get(as_: SignIn, who: make.People, name: str) -> None:
    assert as_(who.ops).get(reverse(name)).status_code == 405


def test_a_post_without_its_token_is_refused_on_our_own_page(who: make.People, loading: MigrationRun) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(who.ops)
    for address in addresses.that_post(loading):
        answer = client.post(address)
        assert answer.status_code == 403
        assert "Not sent by this page" in answer.content.decode()


def test_no_page_needs_inline_style_or_script(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client = as_(who.boss)
    pages = [*addresses.of_everyone(), *addresses.of_run(loading), "/admin/", "/nowhere/"]
    for address in pages:
        text = client.get(address).content.decode()
        assert not re.search(r"\sstyle\s*=", text), address
        assert not re.search(r"\son[a-z]+\s*=", text), address
        assert all("src=" in tag or "json" in tag for tag in re.findall(r"<script\b[^>]*>", text)), address


def test_no_page_shows_the_targets_password(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    admin = f"/admin/registry/application/{loading.application_id}/change/"
    for person in (who.ops, who.boss):
        client = as_(person)
        for address in [*addresses.of_everyone(), *addresses.of_run(loading), admin]:
            assert "secret-word" not in client.get(address).content.decode(), address


def test_an_unknown_address_gets_our_own_page(as_: SignIn, who: make.People) -> None:
    answer = as_(who.ops).get("/nowhere/")
    assert answer.status_code == 404
    assert "Nothing here" in answer.content.decode()


def test_a_fault_of_ours_shows_no_traceback(
    as_: SignIn, who: make.People, loading: MigrationRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("postgresql://yukyu:secret-word@db/yukyu")

    monkeypatch.setattr("migrations_app.views.run.live_context", broken)
    client = as_(who.ops)
    client.raise_request_exception = False
    answer = client.get(reverse("run", args=[loading.pk]))
    text = answer.content.decode()
    assert answer.status_code == 500
    assert "Something broke on our side" in text
    assert "RuntimeError" not in text and "secret-word" not in text
