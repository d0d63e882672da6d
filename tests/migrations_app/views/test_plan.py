"""The plan's page shows a small mapping whole, and a wide one a table at a time, with a script or without."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from controlplane.registry.models import Application
from migrations_app.models import MigrationPlan
from migrations_app.models.states import PlanState
from tests import factories as make

SignIn = Callable[[User], Client]


def _wide(application: Application, who: make.People, *, tables: int = 40, columns: int = 30) -> MigrationPlan:
    plan = make.plan(application, who.second_lead, tables=[f"table_{number:03}" for number in range(tables)])
    document = plan.document
    for table in document["tables"]:
        first = table["columns"][0]
        table["columns"] = [{**first, "name": f"c{n:04}", "target_name": f"c{n:04}"} for n in range(columns)]
    plan.save()
    return plan


def _columns(text: str) -> list[str]:
    return re.findall(r"<code>(c\d{4})</code>", text)


def test_a_small_mapping_shows_every_column(as_: SignIn, application: Application, who: make.People) -> None:
    plan = _wide(application, who, tables=3, columns=5)
    text = as_(who.viewer).get(reverse("plan", args=[plan.pk])).content.decode()
    assert len(_columns(text)) == 15


def test_a_wide_mapping_names_every_table_and_opens_the_one_that_is_asked_for(
    as_: SignIn, application: Application, who: make.People
) -> None:
    plan = _wide(application, who)
    client = as_(who.viewer)
    text = client.get(reverse("plan", args=[plan.pk])).content.decode()
    assert _columns(text) == [] and text.count("<code>table_") == 40
    assert "40 tables will be moved" in text
    link = next(link for link in re.findall(r'href="(\?[^"#]*)', text) if "table_039" in link)
    opened = client.get(reverse("plan", args=[plan.pk]) + link.replace("&amp;", "&")).content.decode()
    assert len(_columns(opened)) == 30 and "Columns of table_039" in opened


def test_the_columns_of_a_very_wide_table_follow_in_pages(
    as_: SignIn, application: Application, who: make.People
) -> None:
    plan = _wide(application, who, tables=1, columns=700)
    client, address = as_(who.viewer), reverse("plan", args=[plan.pk])
    query, seen = "?table=table_000", []
    while query:
        text = client.get(address + query).content.decode()
        seen += _columns(text)
        links = [link for link in re.findall(r'href="(\?table=table_000[^"#]*)', text) if "column=" in link]
        query = links[0].replace("&amp;", "&") if links else ""
    assert seen == [f"c{n:04}" for n in range(700)]


def test_a_table_with_a_hostile_name_is_opened_by_its_link(
    as_: SignIn, application: Application, who: make.People
) -> None:
    plan = _wide(application, who)
    plan.document["tables"][7]["name"] = name = 'a&table=b"><script>#%é'
    plan.save()
    client = as_(who.viewer)
    text = client.get(reverse("plan", args=[plan.pk])).content.decode()
    link = next(link for link in re.findall(r'href="(\?[^"#]*)', text) if "script" in link)
    opened = client.get(reverse("plan", args=[plan.pk]) + link.replace("&amp;", "&")).content.decode()
    assert len(_columns(opened)) == 30 and name not in opened


def test_more_tables_than_fit_a_page_follow_on_the_next(
    as_: SignIn, application: Application, who: make.People
) -> None:
    plan = _wide(application, who, tables=650, columns=1)
    client, address = as_(who.viewer), reverse("plan", args=[plan.pk])
    names = []
    for query in ("", "?tables=300", "?tables=600"):
        names += re.findall(r"<code>(table_\d+)</code>", client.get(address + query).content.decode())
    assert names == [f"table_{number:03}" for number in range(650)]
    assert "table_640" in client.get(f"{address}?table=table_640").content.decode()


def test_findings_without_a_choice_come_first_and_the_others_in_pages(
    as_: SignIn, application: Application, who: make.People
) -> None:
    plan = make.plan(application, who.second_lead)
    for number in range(130):
        make.finding(plan, severity="info", choices=[], table=f"known_{number:03}")
    make.finding(plan, table="undecided")
    client, address = as_(who.viewer), reverse("plan", args=[plan.pk])
    first = client.get(address).content.decode()
    assert first.index("undecided") < first.index("known_000") and "known_099" not in first
    assert "31 more findings" in first and "1 finding needs a choice" in first
    assert "known_129" in client.get(f"{address}?findings=100").content.decode()


def test_nonsense_in_the_address_is_ignored(as_: SignIn, application: Application, who: make.People) -> None:
    plan = _wide(application, who)
    for query in ("?tables=x", "?tables=99999999999", "?table=nothing&column=-1", "?findings=%00", "?findings=9" * 20):
        assert as_(who.viewer).get(reverse("plan", args=[plan.pk]) + query).status_code == 200, query


def test_page_of_a_refused_plan_offers_to_drop_the_choice_that_no_longer_fits(
    as_: SignIn, who: make.People, plan: MigrationPlan
) -> None:
    stale, kept = "NUL_IN_TEXT@genzai.memo", "ORPHANS"
    refused = make.plan(plan.application, who.second_lead, state=PlanState.REFUSED)
    refused.choices = {stale: "bytea", kept: "not_valid"}
    refused.error_code = "UNKNOWN_PLACE"
    refused.error_message = f"The choice '{stale}' names no table or column of the source."
    refused.save()
    page = as_(who.viewer).get(reverse("plan", args=[refused.pk])).content.decode()
    assert stale in page and "Who can drop one: ops (ana)" in page and "make it again</button>" not in page
    client = as_(who.ops)
    page = client.get(reverse("plan", args=[refused.pk])).content.decode()
    assert f'value="{stale}" checked' in page and f'value="{kept}" checked' not in page
    assert client.post(reverse("plan_drop", args=[refused.pk]), {}).status_code == 400
    answer = client.post(reverse("plan_drop", args=[refused.pk]), {"key": stale})
    made = MigrationPlan.objects.get(revision=refused.revision + 1)
    assert answer.headers["Location"] == reverse("plan", args=[made.pk])
    assert made.choices == {kept: "not_valid"} and made.author == who.ops
