"""Do encrypted cells open? One scheme a function; values never leave this module.

Fernet: the `cryptography` package's tokens; the key is its 32 url-safe base64 bytes. AES-256-GCM: base64 of nonce
(12 bytes) and ciphertext with its tag; the key is 64 hex digits. More schemes: add to SCHEMES.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.plan import EncryptedColumn

_NONCE = 12


class CellWontOpen(Failed):
    """A cell that isn't what the scheme writes, or was written under another key. Never holds the value."""

    def __init__(self, why: str) -> None:
        super().__init__("CELL_WONT_OPEN", f"An encrypted cell doesn't open: {why}.", "Check the key and the cell.")


def _fernet(key: str) -> Callable[[str], bytes]:
    opener = Fernet(key)

    def open_it(cell: str) -> bytes:
        try:
            return opener.decrypt(cell.encode())
        except InvalidToken:
            raise CellWontOpen("it is no token of this key") from None

    return open_it


def _aes_256_gcm(key: str) -> Callable[[str], bytes]:
    raw_key = bytes.fromhex(key)
    if len(raw_key) != 32:
        raise ValueError("not 32 bytes")
    opener = AESGCM(raw_key)

    def open_it(cell: str) -> bytes:
        try:
            raw = base64.b64decode(cell, validate=True)
            return opener.decrypt(raw[:_NONCE], raw[_NONCE:], None)
        except (binascii.Error, ValueError):
            raise CellWontOpen("it is no base64 of nonce and ciphertext") from None
        except InvalidTag:
            raise CellWontOpen("it was not sealed with this key, or was altered") from None

    return open_it


SCHEMES: dict[str, Callable[[str], Callable[[str], bytes]]] = {"fernet": _fernet, "aes-256-gcm": _aes_256_gcm}


@dataclass(frozen=True)
class DecryptCheck:
    """How many cells of a column opened. `inconclusive` says why nothing could be tried; then nothing is proved."""

    table: str
    column: str
    cells: int = 0
    opened: int = 0
    nulls: int = 0
    inconclusive: str = ""


def opener(scheme: str, key: str) -> Callable[[str], bytes]:
    """A function from a stored cell to its plain bytes. Raises Refused UNKNOWN_SCHEME, BAD_KEY (without the key)."""
    if scheme not in SCHEMES:
        raise Refused("UNKNOWN_SCHEME", f"There is no encryption scheme {scheme!r}.", f"One of {', '.join(SCHEMES)}.")
    try:
        return SCHEMES[scheme](key)
    except (ValueError, TypeError):
        wanted = "32 url-safe base64 bytes" if scheme == "fernet" else "64 hex digits"
        raise Refused(
            "BAD_KEY", f"The key for {scheme} isn't what that scheme uses.", f"It must be {wanted}."
        ) from None


def open_cell(scheme: str, key: str, cell: str) -> bytes:
    """The plain bytes of one stored cell. Raises CellWontOpen, Refused UNKNOWN_SCHEME, BAD_KEY."""
    return opener(scheme, key)(cell)


class CellOpener:
    """Opens cells of one column; key from the environment given. `inconclusive` is set when there is no usable key."""

    def __init__(self, column: EncryptedColumn, environment: Mapping[str, str]) -> None:
        self.inconclusive = ""
        self._pattern = re.compile(column.pattern) if column.pattern else None
        key = environment.get(column.key_env, "")
        if not key:
            self.inconclusive = f"the environment has no {column.key_env}"
            return
        try:
            self._open = opener(column.scheme, key)
        except Refused as refused:
            self.inconclusive = refused.message

    def opens(self, cell: str) -> bool:
        """True when the cell opens and its plain text matches the column's pattern."""
        try:
            plain = self._open(cell)
        except CellWontOpen:
            return False
        if self._pattern is None:
            return True
        try:
            return self._pattern.fullmatch(plain.decode()) is not None
        except UnicodeDecodeError:
            return False
