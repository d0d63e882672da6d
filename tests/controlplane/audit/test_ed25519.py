"""The verifier's own Ed25519 agrees with RFC 8032 and with the library, on what holds and on what doesn't."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controlplane.audit.signing import QuickKey, raw_of
from controlplane.audit.standalone import PublicKey

# RFC 8032, section 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
        "655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
        "b00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
        "c027beceea1ec40a",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_vectors_of_the_rfc_hold(key: str, message: str, signature: str) -> None:
    assert PublicKey(bytes.fromhex(key)).holds(bytes.fromhex(signature), bytes.fromhex(message))


def test_it_agrees_with_the_library_on_signatures_and_on_damage_to_them() -> None:
    chance = random.Random(8032)
    for _ in range(12):
        private = Ed25519PrivateKey.generate()
        raw = raw_of(private.public_key())
        message = chance.randbytes(chance.randrange(200))
        signature = private.sign(message)
        assert PublicKey(raw).holds(signature, message) and QuickKey(raw).holds(signature, message)
        for _ in range(4):
            spoilt = bytearray(signature)
            spoilt[chance.randrange(64)] ^= 1 << chance.randrange(8)
            assert not PublicKey(raw).holds(bytes(spoilt), message)
            assert not QuickKey(raw).holds(bytes(spoilt), message)
        assert not PublicKey(raw).holds(signature, message + b"\x00")
        assert not PublicKey(raw_of(Ed25519PrivateKey.generate().public_key())).holds(signature, message)


def test_a_second_spelling_of_a_signature_does_not_hold() -> None:
    private = Ed25519PrivateKey.generate()
    signature = private.sign(b"once")
    larger = int.from_bytes(signature[32:], "little") + ORDER
    again = signature[:32] + larger.to_bytes(32, "little")
    assert not PublicKey(raw_of(private.public_key())).holds(again, b"once")


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(65), b"\xff" * 64])
def test_what_is_no_signature_does_not_hold(signature: bytes) -> None:
    raw = raw_of(Ed25519PrivateKey.generate().public_key())
    assert not PublicKey(raw).holds(signature, b"text")


@pytest.mark.parametrize("raw", [b"", bytes(31), b"\xff" * 32, (2).to_bytes(32, "little")])
def test_what_is_no_key_vouches_for_nothing(raw: bytes) -> None:
    assert not PublicKey(raw).holds(bytes(64), b"text")
