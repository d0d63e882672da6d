"""Signing in, the lock, the theme and the time zone."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import AuditEvent
from migrations_app.models import MigrationRun
from tests import factories as make

SignIn = Callable[[User], Client]


def _actions() -> list[tuple[str, str]]:
    return list(
        AuditEvent.objects.filter(action__startswith="person.").order_by("sequence").values_list("action", "actor")
    )


def test_signing_in_and_out_stands_in_the_trail(client: Client, who: make.People) -> None:
    answer = client.post(reverse("login"), {"username": "ana", "password": make.PASSWORD})
    assert answer.status_code == 302
    client.post(reverse("logout"))
    assert _actions() == [("person.signed_in", "ana"), ("person.signed_out", "ana")]


def test_a_wrong_password_says_so_and_keeps_the_name(client: Client, who: make.People) -> None:
    answer = client.post(reverse("login"), {"username": "ana", "password": "wrong"})
    assert answer.status_code == 401
    text = answer.content.decode()
    assert "don&#x27;t match" in text and 'value="ana"' in text and "wrong" not in text.replace("field-wrong", "")
    assert _actions() == [("person.sign_in_failed", "ana")]


def test_five_wrong_passwords_lock_with_a_page_of_ours(client: Client, who: make.People) -> None:
    for _ in range(5):
        answer = client.post(reverse("login"), {"username": "ana", "password": "wrong"})
    assert answer.status_code == 429
    assert "Too many wrong passwords" in answer.content.decode()
    right = client.post(reverse("login"), {"username": "ana", "password": make.PASSWORD})
    assert right.status_code == 429
    assert _actions()[-1][0] == "person.locked_out"


def test_wrong_passwords_in_a_dialog_lock_as_well(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client = as_(who.ops)
    sent = {"do": "request", "reason": "Slow.", "typed_name": "yukyu", "password": "wrong"}
    statuses = [client.post(reverse("run_rollback", args=[loading.pk]), sent).status_code for _ in range(6)]
    assert statuses[0] == 403 and statuses[-1] == 429


def test_after_signing_in_nobody_is_sent_elsewhere(client: Client, who: make.People) -> None:
    sent = {"username": "ana", "password": make.PASSWORD, "next": "https://evil.example/"}
    assert client.post(reverse("login"), sent).headers["Location"] == "/"


def test_the_theme_is_switched_without_a_script(as_: SignIn, who: make.People) -> None:
    client = as_(who.ops)
    assert "data-theme=" not in client.get("/").content.decode()
    answer = client.post(reverse("theme"), {"next": "/audit/"})
    assert answer.headers["Location"] == "/audit/"
    assert 'data-theme="dark"' in client.get("/").content.decode()
    client.post(reverse("theme"), {"next": "https://evil.example/"})
    assert 'data-theme="light"' in client.get("/").content.decode()


def test_times_are_in_the_viewers_zone_with_utc_on_hover(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client = as_(who.ops)
    address = reverse("run", args=[loading.pk])
    assert " UTC" in client.get(address).content.decode()
    client.cookies["zone"] = "Asia%2FTokyo"
    text = client.get(address).content.decode()
    assert " JST" in text and 'UTC"' in text


def test_a_zone_that_is_nonsense_is_utc(as_: SignIn, who: make.People) -> None:
    client = as_(who.ops)
    for nonsense in ("Mars/Olympus", "../../etc/passwd", "%00", "x" * 5000):
        client.cookies["zone"] = nonsense
        assert client.get("/").status_code == 200
