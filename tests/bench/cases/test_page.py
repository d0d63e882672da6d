"""The table says of every file what became of it, and never hides a loss."""

from typing import Any

from bench.cases import page
from bench.cases.arrival import Arrival, Kept
from bench.cases.ours import Attempt
from bench.cases.page import Case
from bench.cases.source_facts import SourceFacts
from bench.cases.theirs import TheirAttempt

FACTS = SourceFacts((), 0, 0)
FINDING = {
    "code": "NUL_IN_TEXT",
    "severity": "refuse",
    "table": "t",
    "column": "c",
    "row_key": '{"id": 4}',
    "count": 1,
    "message": "",
    "choices": ["bytea", "skip_rows"],
    "choice": "",
}
OBJECTS = {"views": {"source": 2, "carried": 1, "not_carried": [{"name": "v", "why": "a function | without twin"}]}}


def attempt(outcome: str, **report: Any) -> Attempt:
    return Attempt({"outcome": outcome, "tables": [], "findings": [], "objects": {}, **report})


def case(first: Attempt, second: Attempt | None = None, arrival: Arrival | None = None, theirs: Any = None) -> Case:
    return Case("a.db", FACTS, first, second, arrival, theirs)


def rendered(*cases: Case) -> str:
    return page.render(cases, server="18", pgloader="3.6.9" if any(one.theirs for one in cases) else "")


def test_a_refusal_names_code_table_column_and_row() -> None:
    refused = attempt("refused", findings=[FINDING, FINDING], error={"code": "FINDINGS_WITHOUT_CHOICE"})
    assert 'refused: NUL_IN_TEXT at t.c row {"id": 4} and 1 more' in rendered(case(refused))


def test_an_error_without_findings_is_its_code() -> None:
    assert "refused: EMPTY_FILE |" in rendered(case(attempt("refused", error={"code": "EMPTY_FILE"})))


def test_questions_are_listed_with_the_choice_that_was_taken() -> None:
    refused = attempt("refused", findings=[FINDING], error={"code": "FINDINGS_WITHOUT_CHOICE"})
    chosen = Attempt(attempt("verified").report, ("NUL_IN_TEXT@t.c=bytea",), "", (FINDING,))
    text = rendered(case(refused, chosen))
    assert 'NUL_IN_TEXT at t.c row {"id": 4} (1): bytea, skip_rows → bytea' in text
    assert "| of these verified with the first choice of each question | 1 |" in text


def test_what_failed_stands_out_and_is_counted() -> None:
    text = rendered(case(attempt("failed", error={"code": "VALUE_REFUSED"})), case(Attempt({}, died="killed")))
    assert "**failed**: VALUE_REFUSED" in text and "**died**: killed" in text
    assert "| files that failed, differed or died | 2 |" in text


def test_what_the_outside_rule_finds_in_ours_stands_out() -> None:
    arrival = Arrival(tables=Kept(1, 1), rows=Kept(2, 1), changed=3, changed_in=["t.c"])
    assert "**1 of 1 tables, 1 of 2 rows; 3 in t.c**" in rendered(case(attempt("verified"), arrival=arrival))


def test_success_that_lost_rows_is_counted_as_that() -> None:
    lossy = TheirAttempt(0, Arrival(tables=Kept(1, 1), rows=Kept(8, 1), not_nulls=Kept(2, 2)))
    text = rendered(case(attempt("verified"), theirs=lossy))
    assert "| of these with rows or tables missing |  | 1 |" in text
    assert "| `a.db` | 0 | 1 of 1 | **1 of 8** | 0 | 2 of 2 |" in text


def test_objects_that_were_not_carried_have_their_reason() -> None:
    text = rendered(case(attempt("verified", objects=OBJECTS)))
    assert "1 of 2 |" in text
    assert "views: v: a function | without twin" in text
