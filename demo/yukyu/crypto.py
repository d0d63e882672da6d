"""Cells that only the application may read: AES-256-GCM, stored as base64 of nonce and ciphertext."""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class DecryptionError(Exception):
    """A stored cell doesn't open with the configured key. Says where, never what."""

    code = "decryption_failed"

    def __init__(self, *, table: str, column: str, row_key: str) -> None:
        super().__init__(f"{table}.{column} of row {row_key} doesn't open with DATABASE_ENCRYPTION_KEY.")


class Cipher:
    """Encrypts and decrypts single cells with one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._aes = AESGCM(key)

    def encrypt(self, plaintext: str, nonce: bytes | None = None) -> str:
        """Base64 of nonce and ciphertext. A nonce is given only where data must be reproducible."""
        nonce = os.urandom(NONCE_BYTES) if nonce is None else nonce
        return base64.b64encode(nonce + self._aes.encrypt(nonce, plaintext.encode(), None)).decode("ascii")

    def decrypt(self, stored: str | None, *, table: str, column: str, row_key: str) -> str | None:
        """The plaintext; None stays None. Raises DecryptionError, which names the cell."""
        if stored is None:
            return None
        try:
            raw = base64.b64decode(stored, validate=True)
            return self._aes.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise DecryptionError(table=table, column=column, row_key=row_key) from None
