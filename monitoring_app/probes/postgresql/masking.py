"""Statements without their values: what may be shown of them on a page or in a mail.

pg_stat_statements replaces constants itself, but not in utility statements, and not where an entry was made anew while
its statement ran (PostgreSQL's manual says so); pg_stat_activity replaces none. So every text goes through here.
Masking too much is accepted, too little is not.
"""

from __future__ import annotations

import re
from typing import Final

MOST_CHARACTERS: Final = 600
_KNOWN = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE")
MAINTENANCE: Final = (
    *("VACUUM", "ANALYZE", "REINDEX", "CLUSTER", "REFRESH", "COPY", "CREATE", "ALTER", "DROP", "TRUNCATE"),
    *("CHECKPOINT", "COMMENT", "GRANT", "REVOKE"),
)
# A quote that is not closed ends with the text: pg_stat_activity cuts long statements off.
_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<string>[uU]&'(?:[^']|'')*(?:'|\Z) | [eE]'(?:[^'\\]|\\.|'')*(?:'|\Z) | [bBxXnN]?'(?:[^']|'')*(?:'|\Z))
  | (?P<dollar>\$(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z))
  | (?P<name>[uU]&"(?:[^"]|"")*(?:"|\Z) | "(?:[^"]|"")*(?:"|\Z) | [^\W\d][\w$]*)
  | (?P<parameter>\$\d+)
  | (?P<number>(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?(?:\w*))
  | (?P<space>\s+)
    """,
    re.VERBOSE | re.DOTALL,
)
_LIST = re.compile(r"\(\s*(?:\$\d+|\?)(?:\s*,\s*(?:\$\d+|\?|…))+\s*\)")
_SQUASHED = "/*, ... */"  # how PostgreSQL 18 writes that a list went on
_LISTS = re.compile(r"\(…\)(?:\s*,\s*\(…\))+")
_FIRST = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*([A-Za-z]+)(?:\s+([A-Za-z]+))?", re.DOTALL)


def command(text: str) -> str:
    """The statement's first word, SELECT; empty where there is none."""
    found = _FIRST.match(text)
    return found[1].upper() if found else ""


def is_maintenance(text: str) -> bool:
    """A command of an administrator or of a backup: its time is no measure of the application."""
    return command(text) in MAINTENANCE


def masked(text: str) -> str:
    """The statement with ? for every value, on one line, without its comments; of commands only the first words."""
    first = command(text)
    if first not in _KNOWN:
        found = _FIRST.match(text)
        second = found[2] if found and found[2] and first in ("CREATE", "ALTER", "DROP", "REFRESH") else ""
        return f"{first} {second.upper()}".strip() + " …" if first else "…"
    return _cut(" ".join(_TOKEN.sub(_mask, _before_doubt(text)).split()))


def shape(text: str) -> str:
    """The masked statement with lists of any length as (…), so that IN (…) of 2 and of 50 values are one statement."""
    return _LISTS.sub("(…), …", _LIST.sub("(…)", masked(text)))


def _mask(token: re.Match[str]) -> str:
    kind = token.lastgroup if token.lastgroup != "tag" else "dollar"
    if kind in ("string", "dollar", "number"):
        return "?"
    if token[0] == _SQUASHED:
        return ", …"
    return " " if kind in ("comment", "space") else token[0]


def _before_doubt(text: str) -> str:
    """With standard_conforming_strings off, a backslash before a quote keeps the string open: what follows can't be
    told from a value, and is left out."""
    for token in _TOKEN.finditer(text):
        if token["string"] and token["string"][0] not in "eE" and "\\'" in token["string"]:
            return text[: token.start()] + "…"
    return text


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
