"""Six digits that change every 30 seconds (RFC 6238), and codes for the day when the phone is lost. No rows here."""

from __future__ import annotations

import secrets
import unicodedata
from datetime import datetime
from typing import Final

import pyotp
from django.utils.crypto import salted_hmac

ISSUER: Final = "Causeway"
STEP_SECONDS: Final = 30
RECOVERY_CODES: Final = 10
# Without letters and digits that look alike; ten of them are 49 bits, guessed five times a quarter of an hour at most.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
# A clock that is half a minute off is let pass, and so is a code that was typed slowly.
_DRIFT: Final = (0, -1, 1)


def new_secret() -> str:
    """160 random bits in base32, as authenticators read them."""
    return pyotp.random_base32()


def provisioning_uri(secret: str, name: str) -> str:
    """otpauth://totp/…: what the QR code holds."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def step_of_code(secret: str, code: str, now: datetime) -> int | None:
    """The half minute whose code this is, counted from 1970; None where it is no code of now."""
    totp = pyotp.TOTP(secret)
    current = int(now.timestamp()) // STEP_SECONDS
    for drift in _DRIFT:
        if pyotp.utils.strings_equal(totp.generate_otp(current + drift), code):
            return current + drift
    return None


def new_recovery_codes() -> list[str]:
    """Ten of the form abcde-fghjk; each works once."""
    words = ("".join(secrets.choice(_ALPHABET) for _ in range(10)) for _ in range(RECOVERY_CODES))
    return [f"{word[:5]}-{word[5:]}" for word in words]


def normal_code(typed: str) -> str:
    """What was typed, without the spaces and dashes that people put in; full-width digits are digits."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKC", typed).lower() if letter.isascii() and letter.isalnum()
    )


def recovery_digest(code: str) -> str:
    """What is stored of a recovery code: a keyed SHA-256 (hex). A code is random, so no slow hash is needed."""
    return salted_hmac("causeway.people.recovery", normal_code(code), algorithm="sha256").hexdigest()
