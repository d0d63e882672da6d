"""Reads a large JSON text value by value, in bounded memory, and lets nothing pass silently.

Python's own scanner does the work. (ijson was tried: its fast parser turns a lone surrogate into '?' without a word,
takes -9223372036854775808 for too large, and crashes the process on a number of 10,000 digits.)
"""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

_BLOCK = 1 << 18
_LONGEST_VALUE = 1 << 30  # characters; a BLOB may have 512 MB, as hex twice that
_NEAR_END = 16  # the scanner's complaint about an unfinished text points at most so far before its end
_SPACE = re.compile(r"[ \t\n\r]*")


class BadJson(ValueError):
    """Not JSON, or JSON that can't be taken over without loss. Says what, never the text itself."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("a name is there twice in one object")
    return found


def _no_constant(name: str) -> object:
    raise BadJson(f"{name} is no number")


_scan = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant).raw_decode


class Readable(Protocol):
    """What gives bytes: a file, an answer over HTTP."""

    def read(self, size: int = -1, /) -> bytes: ...


class JsonStream:
    """A cursor in JSON: in the file of that path, or in what can be read from.

    As a context manager it closes a file that it opened itself; OSError passes.
    """

    def __init__(self, source: Path | Readable) -> None:
        self._opened = open(source, "rb") if isinstance(source, Path) else None  # noqa: SIM115 closed by __exit__
        self._file: Readable = self._opened or source  # type: ignore[assignment]  # a Path was opened above
        self._decode = codecs.getincrementaldecoder("utf-8")("strict").decode
        self._text = ""
        self._position = 0
        self._ended = False

    def __enter__(self) -> JsonStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            self._opened.close()

    def peek(self) -> str:
        """The next character that isn't white space, '' at the end."""
        while True:
            self._position = _space_end(self._text, self._position)
            if self._position < len(self._text) or self._ended:
                return self._text[self._position : self._position + 1]
            self._more(_BLOCK)

    def take(self, character: str) -> bool:
        """Step over that character if it comes next."""
        if self.peek() != character:
            return False
        self._position += 1
        return True

    def expect(self, character: str) -> None:
        """Raises BadJson when something else comes next."""
        if not self.take(character):
            raise BadJson(f"there should be a {character!r}" if self.peek() else "it ends too early")

    def value(self) -> Any:
        """The next value, whole. Objects have no name twice; numbers may be infinite (1e400): check them."""
        wanted = _BLOCK
        while True:
            self.peek()
            try:
                value, end = _scan(self._text, self._position)
            except json.JSONDecodeError as error:
                if self._ended or not _may_be_unfinished(error, len(self._text)):
                    raise BadJson("it ends too early" if self._ended else "it is not JSON") from None
            except RecursionError:
                raise BadJson("nested too deeply") from None
            except BadJson:
                raise
            except ValueError:  # an integer of more digits than Python converts
                raise BadJson("an integer of more than 64 bits") from None
            else:
                if self._ended or not isinstance(value, int | float) or end < len(self._text) - _NEAR_END:
                    self._position = end
                    return value  # a number near the end of what was read might go on
            self._more(wanted)
            wanted *= 2  # so that a long value is not scanned too often

    def end(self) -> None:
        """Raises BadJson when anything follows."""
        if self.peek():
            raise BadJson("there is text behind its end")

    def _more(self, size: int) -> None:
        if len(self._text) - self._position > _LONGEST_VALUE:
            raise BadJson("a value is longer than a gigabyte")
        block = self._file.read(size)
        self._ended = not block
        try:
            decoded = self._decode(block, not block)
        except UnicodeDecodeError:
            raise BadJson("it is not UTF-8") from None
        self._text = self._text[self._position :] + decoded
        self._position = 0


def _space_end(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _may_be_unfinished(error: json.JSONDecodeError, length: int) -> bool:
    return error.msg.startswith("Unterminated string") or error.pos >= length - _NEAR_END
