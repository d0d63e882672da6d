"""Reads what no PRAGMA tells out of the DDL text that SQLite keeps: checks, collations, generated expressions,
deferred foreign keys, AUTOINCREMENT, WITHOUT ROWID, STRICT, predicates of partial indexes.

A tokenizer by SQLite's own lexical rules (https://www.sqlite.org/lang_createtable.html, tokenize.c), so that commas,
parentheses and keywords inside comments, strings and quoted names mislead nobody. SQLite has accepted
the text before it stored it, so this reader may be lenient: what it doesn't know it passes over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>[\s\x00]+|--[^\n]*|/\*.*?(?:\*/|\Z))
      |(?P<blob>[xX]'[0-9A-Fa-f]*')
      |(?P<string>'(?:[^']|'')*')
      |(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
      |(?P<number>0[xX][0-9A-Fa-f]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      |(?P<word>[^\W\d][\w$]*)
      |(?P<op>\|\||<<|>>|<=|>=|<>|!=|==|->>|->|.)""",
    re.VERBOSE | re.DOTALL,
)
_CONSTRAINT_WORDS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
_AFTER_TYPE = _CONSTRAINT_WORDS | {"NOT", "NULL", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS"}


@dataclass(frozen=True)
class Token:
    """kind: 'word', 'quoted', 'string', 'blob', 'number' or 'op'. start and end are offsets in the source text."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def keyword(self) -> str:
        """The word in capitals; '' for anything quoted, which is never a keyword."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """The identifier that this token spells, without its quotes (SQLite takes strings as names too)."""
        if self.kind not in ("quoted", "string"):
            return self.text
        if self.text.startswith("["):
            return self.text[1:-1]
        mark = self.text[0]
        return self.text[1:-1].replace(mark * 2, mark)


@dataclass(frozen=True)
class Check:
    expression: str
    name: str = ""


@dataclass(frozen=True)
class TableDdl:
    """Columns are keyed by lower-cased name, as SQLite compares names (ASCII only). `deferred` is in declared order."""

    collations: dict[str, str] = field(default_factory=dict)
    generated: dict[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    deferred: tuple[bool, ...] = ()  # one for each foreign key
    autoincrement: bool = False
    without_rowid: bool = False
    strict: bool = False
    module: str = ""  # of a virtual table
    module_arguments: tuple[str, ...] = ()


def tokenize(sql: str) -> list[Token]:
    """Split SQL text into tokens, without white space and comments."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "op"
        if kind != "space":
            tokens.append(Token(kind, match.group(), match.start(), match.end()))
    return tokens


def fold(name: str) -> str:
    """Lower-case ASCII letters only: how SQLite compares names."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)


def closing(tokens: Sequence[Token], opening: int) -> int:
    """The index of the ')' that closes the '(' at `opening`; the last token's when the text is cut."""
    depth = 0
    for position in range(opening, len(tokens)):
        if tokens[position].kind == "op":
            if tokens[position].text == "(":
                depth += 1
            elif tokens[position].text == ")":
                depth -= 1
                if depth == 0:
                    return position
    return len(tokens) - 1


def split_top_level(tokens: Sequence[Token]) -> list[list[Token]]:
    """Split at commas that stand in no parentheses."""
    pieces: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == "op" and token.text in "()":
            depth += 1 if token.text == "(" else -1
        if depth == 0 and token.kind == "op" and token.text == ",":
            pieces.append([])
        else:
            pieces[-1].append(token)
    return [piece for piece in pieces if piece]


def _inside(sql: str, tokens: Sequence[Token], opening: int) -> tuple[str, int]:
    """The text between the parenthesis at `opening` and its partner, and the partner's index."""
    end = closing(tokens, opening)
    return sql[tokens[opening].end : tokens[end].start].strip(), end


def _is_op(tokens: Sequence[Token], position: int, text: str) -> bool:
    return position < len(tokens) and tokens[position].kind == "op" and tokens[position].text == text


class _TableReader:
    """Walks the pieces of one CREATE TABLE and collects what they say."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.collations: dict[str, str] = {}
        self.generated: dict[str, str] = {}
        self.checks: list[Check] = []
        self.deferred: list[bool] = []
        self.autoincrement = False

    def piece(self, tokens: list[Token]) -> None:
        """One column definition or table constraint (several, where commas between constraints are left out)."""
        column = "" if tokens[0].keyword in _CONSTRAINT_WORDS else fold(tokens[0].name)
        position = 0 if not column else _skip_type(tokens)
        constraint = ""
        while position < len(tokens):
            word = tokens[position].keyword
            if word == "CONSTRAINT" and position + 1 < len(tokens):
                constraint = tokens[position + 1].name
                position += 2
                continue
            position = self._clause(tokens, position, word, column, constraint)
            constraint = ""  # a name belongs to the constraint right behind it

    def _clause(self, tokens: list[Token], position: int, word: str, column: str, constraint: str) -> int:
        """Read the clause at `position`; gives the position behind it."""
        if word == "CHECK" and _is_op(tokens, position + 1, "("):
            text, end = _inside(self.sql, tokens, position + 1)
            self.checks.append(Check(text, constraint))
            return end + 1
        if word == "AS" and column and _is_op(tokens, position + 1, "("):
            self.generated[column], end = _inside(self.sql, tokens, position + 1)
            return end + 1
        if word == "COLLATE" and column and position + 1 < len(tokens):
            self.collations[column] = tokens[position + 1].name.upper()
            return position + 2
        if word == "AUTOINCREMENT":
            self.autoincrement = True
        elif word == "REFERENCES":
            self.deferred.append(_initially_deferred(tokens, position + 1))
        if _is_op(tokens, position, "("):
            return closing(tokens, position) + 1
        if word == "DEFAULT" and position + 1 < len(tokens) and not _is_op(tokens, position + 1, "("):
            return position + 2
        return position + 1


def _skip_type(tokens: list[Token]) -> int:
    """Position of the first constraint of a column definition, behind its name and type."""
    for position in range(1, len(tokens)):
        if tokens[position].keyword in _AFTER_TYPE:
            return position
    return len(tokens)


def _initially_deferred(tokens: list[Token], start: int) -> bool:
    """Whether the foreign key whose REFERENCES is before `start` says INITIALLY DEFERRED (and not NOT DEFERRABLE)."""
    refused = False
    for position in range(start, len(tokens)):
        word = tokens[position].keyword
        if word in ("REFERENCES", "CHECK", "CONSTRAINT", "FOREIGN", "UNIQUE", "PRIMARY"):
            return False
        if word == "DEFERRABLE":
            refused = tokens[position - 1].keyword == "NOT"
        if word == "DEFERRED":
            return not refused
    return False


def parse_table(sql: str) -> TableDdl:
    """Read a CREATE TABLE or CREATE VIRTUAL TABLE. Lenient: a text that it can't follow yields an empty TableDdl."""
    tokens = tokenize(sql)
    if len(tokens) > 1 and tokens[1].keyword == "VIRTUAL":
        return _parse_virtual(sql, tokens)
    opening = next((i for i, token in enumerate(tokens) if token.kind == "op" and token.text == "("), -1)
    if opening < 0:
        return TableDdl()
    end = closing(tokens, opening)
    reader = _TableReader(sql)
    for piece in split_top_level(tokens[opening + 1 : end]):
        reader.piece(piece)
    options = {token.keyword for token in tokens[end + 1 :]}
    return TableDdl(
        collations=reader.collations,
        generated=reader.generated,
        checks=tuple(reader.checks),
        deferred=tuple(reader.deferred),
        autoincrement=reader.autoincrement,
        without_rowid="ROWID" in options,
        strict="STRICT" in options,
    )


def _parse_virtual(sql: str, tokens: list[Token]) -> TableDdl:
    using = next((i for i, token in enumerate(tokens) if token.keyword == "USING"), -1)
    if using < 0 or using + 1 >= len(tokens):
        return TableDdl()
    arguments: tuple[str, ...] = ()
    if _is_op(tokens, using + 2, "("):
        end = closing(tokens, using + 2)
        pieces = split_top_level(tokens[using + 3 : end])
        arguments = tuple(sql[piece[0].start : piece[-1].end] for piece in pieces)
    return TableDdl(module=tokens[using + 1].name.lower(), module_arguments=arguments)


@dataclass(frozen=True)
class IndexDdl:
    """`parts` are the texts of the key parts, without COLLATE, ASC and DESC; `where` is '' for a full index."""

    parts: tuple[str, ...]
    where: str


def parse_index(sql: str) -> IndexDdl:
    """Read a CREATE INDEX: its key parts as written, and its predicate."""
    tokens = tokenize(sql)
    on = next((i for i, token in enumerate(tokens) if token.keyword == "ON"), -1)
    opening = next((i for i in range(on + 1, len(tokens)) if _is_op(tokens, i, "(")), -1)
    if on < 0 or opening < 0:
        return IndexDdl((), "")
    end = closing(tokens, opening)
    where = ""
    if end + 1 < len(tokens) and tokens[end + 1].keyword == "WHERE":
        where = sql[tokens[end + 1].end : tokens[-1].end].strip().rstrip(";").strip()
    parts = tuple(_part_text(sql, piece) for piece in split_top_level(tokens[opening + 1 : end]))
    return IndexDdl(parts, where)


def _part_text(sql: str, piece: list[Token]) -> str:
    while len(piece) > 1 and piece[-1].keyword in ("ASC", "DESC"):
        piece = piece[:-1]
    if len(piece) > 2 and piece[-2].keyword == "COLLATE":
        piece = piece[:-2]
    return sql[piece[0].start : piece[-1].end]
