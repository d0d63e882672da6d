"""LIKE and GLOB in PostgreSQL's words."""

from __future__ import annotations

import re

from migrations_app.engine.sql.sql_compare import ascii_lower
from migrations_app.engine.sql.sql_parse import NotTranslated
from migrations_app.engine.sql.sql_values import NULL, Value, predicate, string, text


def like(found: Value, pattern: Value, *, negated: bool, escape: str = "") -> Value:
    """LIKE takes A to Z for a to z and no other letters, as lower() does in collation "C"; there is no escape but a
    named one."""
    if "null" in (found.form, pattern.form):
        return NULL
    if isinstance(pattern.literal, str):
        right = string(ascii_lower(pattern.literal))
    else:
        right = f'lower({text(pattern)} COLLATE "C")'
    test = f'lower({text(found)} COLLATE "C") {"NOT " if negated else ""}LIKE {right}'
    return predicate(f"{test} ESCAPE {string(escape)}")


def refuse_escape(pattern: str, mark: str) -> None:
    """Raise NotTranslated for a pattern that ends in its ESCAPE."""
    if re.search(f"(?<!{re.escape(mark)}){re.escape(mark)}$", pattern):
        raise NotTranslated("LIKE with a pattern that ends in its ESCAPE has no translation")


def glob(found: Value, pattern: str, *, negated: bool) -> Value:
    test = f'{text(found)} COLLATE "C" {"!" if negated else ""}~ '
    return predicate(test + string(f"^{glob_regex(pattern)}$"))


def glob_regex(pattern: str) -> str:
    """A GLOB pattern as an advanced regular expression of PostgreSQL. Raises NotTranslated for odd lists."""
    out, position = "", 0
    while position < len(pattern):
        letter = pattern[position]
        position += 1
        if letter == "[":
            match = re.compile(r"(\^?)(\]?[^\]]*)\]").match(pattern, position)
            if match is None or not match[2]:
                raise NotTranslated("GLOB with an unfinished list has no translation")
            out += f"[{match[1]}{_glob_list(match[2])}]"
            position = match.end()
        else:
            out += {"*": ".*", "?": "."}.get(letter) or re.sub(r"([^\w\s])", r"\\\1", letter, flags=re.ASCII)
    return out


def _glob_list(letters: str) -> str:
    plain = re.fullmatch(r"(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _.,:;/@#%&=!+])+", letters)
    if not plain or any(one > two for one, two in re.findall(r"(.)-(.)", letters)):
        raise NotTranslated("GLOB with such a list of letters has no translation")
    return letters
