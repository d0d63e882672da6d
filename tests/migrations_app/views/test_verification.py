"""The verification page: what differs is named where it is, what was not compared is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from migrations_app.engine.verify.compare import VerifyResult
from migrations_app.engine.verify.differences import Difference
from migrations_app.models import MigrationRun
from tests import factories as make

SignIn = Callable[[User], Client]


def page_of(client: Client, run: MigrationRun, result: VerifyResult) -> str:
    run.steps.filter(name="verify").update(evidence=result.to_document(), evidence_digest="d" * 64)
    return client.get(reverse("run_verification", args=[run.pk])).content.decode()


def test_a_lost_object_is_a_difference_in_its_place(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    lost = (
        Difference("person", "", "by_name", "index_missing", "CREATE INDEX by_name ON person (name)", ""),
        Difference("", "", "long_titles", "view_missing", "SELECT 1", ""),
    )
    text = page_of(as_(who.qa), loading, VerifyResult(False, (), lost, 2, (), ()))
    assert "2 differences" in text
    assert "<code>person.by_name</code>" in text and "index missing" in text
    assert "<code>long_titles</code>" in text


def test_what_the_plan_left_out_is_said_beside_equal_values(
    as_: SignIn, who: make.People, loading: MigrationRun
) -> None:
    remark = "Tables that the plan leaves out: log (left out with --exclude)."
    text = page_of(as_(who.qa), loading, VerifyResult(True, (), (), 0, (), (), remarks=(remark,)))
    assert "Every value is equal" in text and remark in text


def test_evidence_of_an_older_version_is_still_shown(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    document = asdict(VerifyResult(True, (), (), 0, (), ()))
    del document["remarks"]
    loading.steps.filter(name="verify").update(evidence=document, evidence_digest="d" * 64)
    text = as_(who.qa).get(reverse("run_verification", args=[loading.pk])).content.decode()
    assert "Every value is equal" in text and "Not compared, as planned" not in text
