"""Encrypted cells open with their key and with no other; no message holds a key or a value."""

from __future__ import annotations

import base64
import os

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from migrations_app.engine.errors import Refused
from migrations_app.engine.verify.decrypt import CellWontOpen, open_cell

AES_KEY = bytes(range(32))
FERNET_KEY = base64.urlsafe_b64encode(AES_KEY).decode()


def sealed(scheme: str, text: bytes) -> str:
    if scheme == "fernet":
        return Fernet(FERNET_KEY).encrypt(text).decode()
    nonce = os.urandom(12)
    return base64.b64encode(nonce + AESGCM(AES_KEY).encrypt(nonce, text, None)).decode()


KEYS = {"fernet": FERNET_KEY, "aes-256-gcm": AES_KEY.hex()}
OTHER_KEYS = {"fernet": Fernet.generate_key().decode(), "aes-256-gcm": os.urandom(32).hex()}


@pytest.mark.parametrize("scheme", KEYS)
def test_a_cell_opens_with_its_key(scheme: str) -> None:
    assert open_cell(scheme, KEYS[scheme], sealed(scheme, b"plain")) == b"plain"


@pytest.mark.parametrize("scheme", KEYS)
def test_a_cell_opens_with_no_other_key_and_not_when_altered(scheme: str) -> None:
    cell = sealed(scheme, b"plain")
    altered = cell[:-6] + ("A" if cell[-6] != "A" else "B") + cell[-5:]
    for key, text in ((OTHER_KEYS[scheme], cell), (KEYS[scheme], altered), (KEYS[scheme], "é"), (KEYS[scheme], "")):
        with pytest.raises(CellWontOpen) as caught:
            open_cell(scheme, key, text)
        assert caught.value.code == "CELL_WONT_OPEN" and cell not in str(caught.value)


@pytest.mark.parametrize(("scheme", "key"), [("fernet", "canary"), ("aes-256-gcm", "canary"), ("aes-256-gcm", "00ff")])
def test_a_key_of_another_form_is_refused_without_being_shown(scheme: str, key: str) -> None:
    with pytest.raises(Refused) as caught:
        open_cell(scheme, key, "x")
    assert caught.value.code == "BAD_KEY"
    assert key not in str(caught.value)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        open_cell("rot13", "k", "x")
    assert caught.value.code == "UNKNOWN_SCHEME"
