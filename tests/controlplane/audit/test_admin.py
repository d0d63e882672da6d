"""The trail in the admin: to read, for nobody to change, and without counting millions of rows."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from controlplane.audit.trail import record

pytestmark = pytest.mark.django_db


@pytest.fixture
def superuser_client(audit_key: Path) -> Client:
    with transaction.atomic():
        record(action="run.created", actor="ana", obj="run #1", application="yukyu", payload={"rows": 5})
        record(action="gate.passed", actor="ben", obj="run #2", checkpoint=True)
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="a long password"))
    return client


PAGES = [("auditevent", 1), ("auditcheckpoint", 1)]


@pytest.mark.parametrize(("model", "key"), PAGES)
def test_superuser_reads_lists_and_rows(superuser_client: Client, model: str, key: int) -> None:
    assert superuser_client.get(reverse(f"admin:audit_{model}_changelist")).status_code == 200
    answer = superuser_client.get(reverse(f"admin:audit_{model}_change", args=[key]))
    assert answer.status_code == 200
    assert b'name="_save"' not in answer.content


@pytest.mark.parametrize(("model", "key"), PAGES)
@pytest.mark.parametrize("method", ["get", "post"])
def test_superuser_can_neither_add_nor_delete(superuser_client: Client, model: str, key: int, method: str) -> None:
    for url in (reverse(f"admin:audit_{model}_add"), reverse(f"admin:audit_{model}_delete", args=[key])):
        assert getattr(superuser_client, method)(url).status_code == 403


@pytest.mark.parametrize(("model", "key"), PAGES)
def test_superuser_can_change_nothing(superuser_client: Client, model: str, key: int) -> None:
    url = reverse(f"admin:audit_{model}_change", args=[key])
    assert superuser_client.post(url, {"actor": "eve", "hash": "0"}).status_code == 403


def test_search_and_filters_find_events(superuser_client: Client) -> None:
    url = reverse("admin:audit_auditevent_changelist")
    for query, found, absent in (
        ("q=ana", b"run #1", b"run #2"),
        ("q=yukyu", b"run #1", b"run #2"),
        ("kind=gate", b"run #2", b"run #1"),
        ("since=hour", b"run #1", b"no such thing"),
    ):
        content = superuser_client.get(f"{url}?{query}").content
        assert found in content and absent not in content, query


def test_list_counts_no_further_than_it_pages(superuser_client: Client) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        superuser_client.get(reverse("admin:audit_auditevent_changelist"))
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and "audit_auditevent" in query["sql"]]
    assert counts and all("LIMIT 10000" in sql for sql in counts)
    assert not any("OFFSET" in query["sql"] for query in queries)
