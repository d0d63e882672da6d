"""The chart of endpoint times: before above after, the limits where they are, and the same numbers as words."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from migrations_app.models import MigrationPlan, MigrationRun, RunStep
from migrations_app.models.states import RunState
from migrations_app.views.endpoint_times import picture_of
from tests import factories as make

SignIn = Callable[[User], Client]


@pytest.fixture
def measured(plan: MigrationPlan, who: make.People) -> MigrationRun:
    """At gate 3; one of five endpoints is too slow."""
    make.rehearsed(plan, who.ops)
    run = make.run(plan, who.ops)
    make.reach(run, "gate_qa", run_state=RunState.WAITING, signers={"lead": who.lead, "ops": who.ops})
    make.endpoint_times(run, slow=("charts",))
    return run


def _text(client: Client, run: MigrationRun) -> str:
    page = client.get(reverse("run", args=[run.pk])).content.decode()
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def _step(run: MigrationRun) -> RunStep:
    return run.steps.get(name="check_performance")


def test_a_slow_endpoint_is_named_with_its_time_before(as_: SignIn, who: make.People, measured: MigrationRun) -> None:
    text = _text(as_(who.viewer), measured)
    assert "1 of 5 endpoints does not answer as wanted" in text
    assert re.search(r"charts\s+p95 612 ms, limit 500 ms\s+· was 123 ms", text)
    assert "20 requests a second by 4 at the same time for 10 s" in text


def test_the_table_holds_what_the_picture_shows(as_: SignIn, who: make.People, measured: MigrationRun) -> None:
    page = as_(who.viewer).get(reverse("run", args=[measured.pk])).content.decode()
    table = page[page.index('id="times-table"') :]
    table = table[: table.index("</table>")]
    for said in ("25 ms", "41 ms", "14 ms", "28 ms", "500 ms", "0 of 200"):
        assert said in table, said


def test_bars_and_limit_share_one_scale(measured: MigrationRun) -> None:
    picture = picture_of([_step(measured)])
    assert picture is not None and not picture.good
    top = 500 / (picture.limit.x / 100)
    slow = next(row for row in picture.rows if row.name == "charts")
    before, after = slow.bars
    assert before.width == pytest.approx(123 / top * 100, abs=0.1)
    assert after.width == pytest.approx(612 / top * 100, abs=0.1)
    assert after.width > picture.limit.x > before.width


def test_an_endpoint_with_a_limit_of_its_own_shows_it(measured: MigrationRun) -> None:
    step = _step(measured)
    step.evidence["judged"][0]["limit_ms"] = 60
    picture = picture_of([step])
    assert picture is not None
    own, other = picture.rows[0], picture.rows[1]
    assert own.own_limit is not None and own.own_limit.x < picture.limit.x
    assert other.own_limit is None


def test_what_was_not_measured_before_is_said_and_not_drawn(
    as_: SignIn, who: make.People, measured: MigrationRun
) -> None:
    step = _step(measured)
    step.evidence["judged"][0] |= {"p50_before": None, "p95_before": None}
    step.save()
    picture = picture_of([step])
    assert picture is not None and len(picture.rows[0].bars) == 1
    assert "not measured before" in _text(as_(who.viewer), measured)


@pytest.mark.parametrize("evidence", [{}, {"judged": [], "limit_ms": 500}, {"judged": [{"name": "a"}]}, {"judged": 3}])
def test_evidence_of_another_shape_draws_nothing(measured: MigrationRun, evidence: dict[str, object]) -> None:
    step = _step(measured)
    step.evidence = evidence
    assert picture_of([step]) is None
