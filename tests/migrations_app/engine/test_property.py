"""Random databases, moved there and back: every cell arrives, or the tool says before it loads which one can't.

`make chaos` tries many more, anew each time; CAUSEWAY_PROPERTY_EXAMPLES sets how many. A failing example prints the
database, the choices' number and a line to run it again.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.migrations_app.engine.own_schema import into_its_own_schema
from tests.migrations_app.engine.random_databases import Database, databases
from tests.migrations_app.engine.round_trip import Target, there_and_back, there_on_paper

MANY = int(os.environ.get("CAUSEWAY_PROPERTY_EXAMPLES", "2000"))

_common = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
few = settings(_common, max_examples=60, derandomize=True, database=None)
many = settings(_common, max_examples=MANY)
choosers = st.integers(0, 7)


@given(databases(), choosers)
@few
def test_random_databases_arrive_whole_or_are_refused(target: Target, database: Database, chooser: int) -> None:
    there_and_back(target, database, chooser)


@pytest.mark.chaos
@given(databases(), choosers)
@many
def test_many_random_databases_arrive_whole_or_are_refused(target: Target, database: Database, chooser: int) -> None:
    there_and_back(target, database, chooser)


@given(databases(), choosers)
@settings(few, max_examples=25)
def test_random_databases_arrive_whole_in_a_schema_that_is_there(
    target: Target, database: Database, chooser: int
) -> None:
    into_its_own_schema(target, database, chooser)


@pytest.mark.chaos
@given(databases(), choosers)
@many
def test_many_random_databases_arrive_whole_in_a_schema_that_is_there(
    target: Target, database: Database, chooser: int
) -> None:
    into_its_own_schema(target, database, chooser)


@given(databases(objects=False), choosers)
@settings(few, max_examples=150)
def test_the_texts_for_the_target_give_every_cell_back(database: Database, chooser: int) -> None:
    there_on_paper(database, chooser)


@pytest.mark.chaos
@given(databases(objects=False), choosers)
@settings(many, max_examples=5 * MANY)
def test_many_texts_for_the_target_give_every_cell_back(database: Database, chooser: int) -> None:
    there_on_paper(database, chooser)
