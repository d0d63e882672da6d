"""Reads and edits a `.env` file byte for byte: what it does not have to change stays as it is.

The grammar is that of python-dotenv, which pydantic-settings and Flask use, too: optional `export`, quoted values over
several lines, a comment behind a value (after white space, when the value has no quotes). A line that looks
like a key inside a quoted value over several lines is not a key.
Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from migrations_app.engine.errors import Refused

_BOM = b"\xef\xbb\xbf"
_SPACE = rb"[^\S\r\n]*"
_HEAD = re.compile(
    rb"%s(?:export[^\S\r\n]+)?(?:'(?P<quoted>[^'\r\n]+)'|(?P<key>[^=#\s'\"]+))%s=%s" % (_SPACE, _SPACE, _SPACE)
)
_SINGLE = re.compile(rb"'((?:\\'|[^'])*)'")
_DOUBLE = re.compile(rb"\"((?:\\\"|[^\"])*)\"")
_BARE = re.compile(rb"[^\r\n]*")
_TAIL = re.compile(rb"%s(?:#[^\r\n]*)?(?=\r|\n|\Z)" % _SPACE)
_COMMENT = re.compile(rb"\s+#.*")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_ESCAPE = re.compile(r"\\[\\'\"abfnrtv]")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=~?&*!^()\[\]{};|<>-]*")


@dataclass(frozen=True)
class Assignment:
    """KEY=value somewhere in the file. start and end are those of the raw value, its quotes included."""

    key: str
    value: str
    start: int
    end: int
    quote: str  # "'", '"' or ""
    line: int


def read_assignments(content: bytes) -> tuple[Assignment, ...]:
    """Every assignment, in file order; of a key that stands twice the last one counts."""
    found = []
    position = len(_BOM) if content.startswith(_BOM) else 0
    while position < len(content):
        assignment = _assignment_at(content, position)
        if assignment is not None:
            found.append(assignment)
            position = assignment.end
        line = _LINE.match(content, position)
        assert line is not None
        position = max(line.end(), position + 1)
    return tuple(found)


def effective(content: bytes) -> dict[str, str]:
    """{key: value} as the application reads it."""
    return {assignment.key: assignment.value for assignment in read_assignments(content)}


@dataclass(frozen=True)
class Edit:
    """The new content, and what is worth telling about it."""

    content: bytes
    notes: tuple[str, ...]


def with_values(content: bytes, values: Mapping[str, str]) -> Edit:
    """The content with these keys set, nothing else changed.

    A key that stands several times is changed everywhere: most readers take the last, some the first, and a file that
    says two things would point them at two databases. A missing key is appended. Raises Refused BAD_VALUE.
    """
    notes, edits = [], []
    assignments = read_assignments(content)
    for key, value in values.items():
        own = [assignment for assignment in assignments if assignment.key == key]
        for assignment in own:
            if assignment.value != value:
                edits.append((assignment.start, assignment.end, quoted(key, value, assignment.quote)))
        if len(own) > 1:
            lines = ", ".join(str(assignment.line) for assignment in own)
            notes.append(f"{key} stands {len(own)} times (lines {lines}); all of them now say the same.")
    changed = bytearray(content)
    for start, end, replacement in sorted(edits, reverse=True):
        changed[start:end] = replacement.encode()
    missing = [key for key in values if all(assignment.key != key for assignment in assignments)]
    if missing:
        notes.append(f"{', '.join(missing)} did not stand in the file and was appended.")
        changed += _appended(content, {key: values[key] for key in missing})
    return Edit(bytes(changed), tuple(notes))


def without_keys(content: bytes, keys: Collection[str]) -> bytes:
    """The content without the lines that set these keys."""
    changed = bytearray(content)
    for assignment in reversed(read_assignments(content)):
        if assignment.key in keys:
            start = max(content.rfind(b"\n", 0, assignment.start), content.rfind(b"\r", 0, assignment.start)) + 1
            line = _LINE.match(content, assignment.end)
            assert line is not None
            del changed[start : line.end()]
    return bytes(changed)


def quoted(key: str, value: str, quote: str) -> str:
    """The value as it stands in the file, in the quotes that were there when they can hold it. Raises Refused."""
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise Refused(
            "BAD_VALUE", f"The value of {key} holds a control character.", "Remove it; it would end the line."
        )
    if "${" in value or value.startswith("$"):
        raise Refused(
            "BAD_VALUE", f"The value of {key} would be read as a reference to a variable.", "Choose one without $."
        )
    if quote == "" and _PLAIN.fullmatch(value):
        return value
    for mark in (quote or "'", "'", '"'):
        if mark not in value and "\\" not in value and not (mark == '"' and "$" in value):
            return f"{mark}{value}{mark}"
    raise Refused(
        "BAD_VALUE",
        f"The value of {key} holds quotes or a backslash that readers of .env files understand differently.",
        "Choose a value without them (a new password, say).",
    )


def _assignment_at(content: bytes, position: int) -> Assignment | None:
    head = _HEAD.match(content, position)
    if head is None:
        return None
    key = (head["quoted"] or head["key"]).decode(errors="surrogateescape")
    line = content.count(b"\n", 0, head.end()) + 1
    for quote, pattern in (("'", _SINGLE), ('"', _DOUBLE)):
        match = pattern.match(content, head.end())
        if match is not None and _TAIL.match(content, match.end()):
            text = match[1].decode(errors="surrogateescape")
            return Assignment(key, _unescaped(text, quote), match.start(), match.end(), quote, line)
    if content[head.end() : head.end() + 1] in (b"'", b'"'):
        return None  # not closed, or something behind it: readers skip such a line
    bare = _BARE.match(content, head.end())
    assert bare is not None
    raw = _COMMENT.sub(b"", bare[0]).rstrip()
    return Assignment(key, raw.decode(errors="surrogateescape"), bare.start(), bare.start() + len(raw), "", line)


def _unescaped(text: str, quote: str) -> str:
    if quote == "'":
        return re.sub(r"\\([\\'])", r"\1", text)
    return _ESCAPE.sub(lambda match: match[0].encode().decode("unicode-escape"), text)


def _appended(content: bytes, values: Mapping[str, str]) -> bytes:
    end = b"\r\n" if b"\r\n" in content else b"\n"
    lead = b"" if not content or content.endswith((b"\n", b"\r")) else end
    return lead + b"".join(f"{key}={quoted(key, value, '')}".encode() + end for key, value in values.items())
