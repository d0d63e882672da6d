"""Ops decides the findings of a plan in the browser, one by one, until nothing is without a choice."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from playwright.sync_api import Page, expect

from controlplane.embedded import EmbeddedPostgres
from migrations_app.models import MigrationPlan
from migrations_app.services.plan_making import work_on_plan
from tests.journeys.conftest import SignIn
from tests.migrations_app.services.test_plan_making import Place, place

__all__ = ["place"]  # the fixture

SOURCE = """CREATE TABLE events(id INTEGER PRIMARY KEY, at INT, ok TEXT, price REAL, parent INT);
    INSERT INTO events VALUES(1, 1577934245, 'yes', 0.30000000000000004, -1), (2, 1577934246, 'no', 2.5, 1)"""
TARGET = (
    "CREATE TABLE items (id bigint PRIMARY KEY, name text);"
    " CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz, ok boolean, price numeric(7,2),"
    " parent bigint CONSTRAINT upwards CHECK (parent > 0)); CREATE SEQUENCE stream_seq"
)
COMMAND = (
    f"import os, psycopg2; c = psycopg2.connect(os.environ['DATABASE_URL']); c.cursor().execute('{TARGET}'); c.commit()"
)
CHOICES = {
    "events.at": "epoch_seconds",
    "events.ok": "words",
    "events.price": "round",
    "events.parent": "not_valid",
}


def newest(page: Page) -> MigrationPlan:
    """The plan that the page shows, made."""
    plan = MigrationPlan.objects.order_by("-revision").first()
    assert plan is not None
    assert work_on_plan(plan_id=plan.pk)
    page.goto(f"/plans/{plan.pk}/")
    plan.refresh_from_db()
    assert plan.state == "draft", plan.error_message
    return plan


def test_every_kind_of_choice_is_made_in_the_browser(place: Place, sign_in: SignIn, postgres: EmbeddedPostgres) -> None:
    with closing(sqlite3.connect(place.file)) as database:
        database.executescript(SOURCE)
    place.write_operator_file(COMMAND)
    place.change(schema_mode="existing", commands={"schema": "schema"}, rehearsal_target_url=postgres.url())
    place.plan()
    page = sign_in(place.who.ops.username)
    plan = MigrationPlan.objects.get()
    page.goto(f"/plans/{plan.pk}/")
    for where, choice in CHOICES.items():
        item = page.locator("li.item").filter(has=page.get_by_role("heading", name=where, exact=True))
        item.get_by_role("combobox").select_option(choice)
        item.get_by_role("button", name="Choose").click()
        expect(page.get_by_text(f"Chosen: {choice}.")).to_be_visible()
        newest(page)
    item = page.locator("li.item").filter(has=page.get_by_role("heading", name="stream_seq", exact=True))
    asked = item.get_by_role("combobox")
    wrong = {"follow:events.ok": "no column of whole numbers", "follow:": "not a choice", "forget it": "not a choice"}
    for typed, said in wrong.items():
        asked.fill(typed)
        item.get_by_role("button", name="Choose").click()
        expect(page.get_by_role("alert")).to_contain_text(said)
    asked.fill("follow:events.id, items.id")
    item.get_by_role("button", name="Choose").click()
    expect(page.get_by_text("Chosen: follow:events.id, items.id.")).to_be_visible()
    made = newest(page)
    expect(page.get_by_text("Nothing is left without a choice.")).to_be_visible()
    (sequence,) = [each for each in made.document["objects"] if each["kind"] == "sequence"]
    assert sequence["detail"]["follows"] == [["events", "id"], ["items", "id"]]
    (events,) = [table for table in made.document["tables"] if table["name"] == "events"]
    assert [column["conversion"] for column in events["columns"]][1:4] == [
        "epoch:s",
        "boolean_words",
        "numeric_rounded",
    ]
    assert [each["name"] for each in events["objects"]] == ["upwards"]
