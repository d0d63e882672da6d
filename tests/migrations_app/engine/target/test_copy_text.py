"""Lines of COPY's text format, against PostgreSQL's own reading and writing of them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrations_app.engine.target.copy_text import join, split
from migrations_app.engine.target.target import connect
from migrations_app.engine.target.target_url import TargetUrl

AWKWARD = [
    "\\N",
    "\\",
    "\\\\n",
    "\t",
    "\n",
    "\r\n",
    "\b\f\v",
    "\\.",
    "",
    " ",
    "NULL",
    "\x01\x1f\x7f",
    "日本\u3000語",
    "\\t\t",
]
TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))


@given(st.lists(st.one_of(st.none(), TEXTS, st.sampled_from(AWKWARD)), min_size=1, max_size=5))
def test_a_split_line_gives_back_what_was_joined(texts: list[str | None]) -> None:
    line = join(tuple(texts))
    assert "\n" not in line
    assert split(line) == texts


def test_postgresql_reads_and_writes_the_same_lines(url: TargetUrl) -> None:
    rows = [(text, other) for text in [*AWKWARD, None] for other in ["x", None, "\\"]]
    lines = "".join(join(row) + "\n" for row in rows)
    connection = connect(url, application_name="causeway:test:0")
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE t (n int GENERATED ALWAYS AS IDENTITY, a text, b text)")
            cursor.copy_expert("COPY t (a, b) FROM STDIN", io.StringIO(lines))
            cursor.execute("SELECT a, b FROM t ORDER BY n")
            assert cursor.fetchall() == rows
            out = io.StringIO()
            cursor.copy_expert("COPY (SELECT a, b FROM t ORDER BY n) TO STDOUT", out)
            assert out.getvalue() == lines
    finally:
        connection.close()


@pytest.mark.parametrize("texts", [("a", None), (None, None), ("\\", None), ("a\\N", "b")])
def test_a_backslash_is_told_from_null(texts: tuple[str | None, ...]) -> None:
    assert split(join(texts)) == list(texts)
