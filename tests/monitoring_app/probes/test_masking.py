"""No value of a statement survives, whatever it is written in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring_app.probes.postgresql.masking import is_maintenance, masked, shape

SECRET = "hanako"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'hanako'",
        "select E'it\\'s hanako', 2",
        "SELECT 'it''s hanako'",
        "SELECT $$hanako$$, $q$ hanako $$ hanako $q$",
        "SELECT U&'hanako', B'1', n'hanako'",
        "SELECT 1 -- hanako",
        "SELECT /* hanako */ 1",
        "SELECT 1 /* hanako",
        "SELECT 'hanako",
        "SELECT $$hanako",
        "SELECT $tag$hanako",
        "SELECT 'a\\' OR name = 'hanako",
        "SELECT 'a\\', 'hanako', 'b\\''",
        "ALTER ROLE hanako PASSWORD 'hanako'",
        "EXECUTE hanako('hanako')",
        "SET app.user = hanako",
        "  -- hanako\n/* hanako */ COPY people FROM STDIN",
        "hanako",
        "",
    ],
)
def test_value_is_masked(text: str) -> None:
    assert SECRET not in masked(text).lower() or text == "hanako"
    assert SECRET not in shape(text).lower() or text == "hanako"


@given(st.text(min_size=1).filter(lambda text: "\0" not in text), st.integers(min_value=10_000))
def test_any_text_and_number_as_a_value_is_masked(word: str, number: int) -> None:
    quoted = "'" + ("☂" + word).replace("'", "''") + "'"
    said = masked(f'SELECT "a☂b" FROM t2 WHERE a = {quoted} AND b = {number} AND c = $1')
    assert said.count("☂") == 1  # the name of the column
    assert str(number) not in said


def test_names_and_structure_stay() -> None:
    text = 'SELECT t2."Größe", count(*)\n FROM t2 WHERE a1 = $1 AND b IN (1, 2, 3)'
    assert masked(text) == 'SELECT t2."Größe", count(*) FROM t2 WHERE a1 = $1 AND b IN (?, ?, ?)'


def test_lists_of_any_length_have_one_shape() -> None:
    shapes = {shape(f"INSERT INTO t VALUES {', '.join(['($1, $2)'] * n)}") for n in (2, 7)}
    assert len(shapes) == 1
    assert shape("SELECT 1 FROM t WHERE a IN ($1 /*, ... */)") == shape("SELECT 2 FROM t WHERE a IN ($1, $2)")


def test_commands_show_their_first_words_only() -> None:
    assert masked("alter role shop password 'x'") == "ALTER ROLE …"
    assert masked("VACUUM people") == "VACUUM …"
    assert is_maintenance("/* nightly */ VACUUM people") and not is_maintenance("SELECT 1")


def test_long_statement_is_cut() -> None:
    assert len(masked("SELECT " + ", ".join(f"column{n}a" for n in range(500)))) <= 600
