"""What may stand in the payload of an audit event: plain JSON of bounded size, and no secret.

A secret there is a fault of the caller: in development and tests it is refused, so that it is found; in production
losing the event would be worse, so the value is masked, the event says so, and the log carries an error.
What people typed (a reason, a note) is masked in every mode: they can't be told by a traceback.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from controlplane.audit.errors import PayloadRefused, SecretInPayload
from controlplane.audit.standalone import canonical
from controlplane.redaction import MASK, contains_secret, is_secret_name, redact

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 20
PEOPLES_WORDS: Final = frozenset({"reason", "note", "comment"})
logger = logging.getLogger("causeway.audit")


def clean_text(text: str, limit: int) -> str:
    """Text that both databases can hold (no NUL, no lone surrogates), without credentials, cut to `limit`."""
    storable = text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
    masked = redact(storable)
    return masked if len(masked) <= limit else masked[: limit - 1] + "…"


def clean_payload(action: str, payload: Mapping[str, Any] | None) -> dict[str, Any]:
    """The payload as it will be hashed and stored. Raises PayloadRefused, and SecretInPayload outside production."""
    plain = {str(name): _plain(value, str(name), 1) for name, value in (payload or {}).items()}
    found: list[str] = []
    cleaned: dict[str, Any] = _masked(plain, "", found)
    if found:
        _complain(action, found)
        cleaned["redacted"] = sorted(found)
    size = len(canonical(cleaned))
    if size > MAX_BYTES:
        raise PayloadRefused(
            f"The payload of {action} has {size:,} bytes, more than {MAX_BYTES:,}.",
            hint="Store the content as an artifact and name its digest.",
        )
    return cleaned


def _complain(action: str, found: list[str]) -> None:
    message = f"The payload of {action} carries a secret at {', '.join(sorted(found))}."
    if not settings.PRODUCTION:
        raise SecretInPayload(message, hint="Leave it out, or name the thing without its credentials.")
    logger.error("%s It was masked.", message)


def _plain(value: object, where: str, depth: int) -> Any:
    """JSON types from what callers hold: times and ids become text."""
    if depth > MAX_DEPTH:
        raise PayloadRefused(f"The payload is nested too deeply at {where}.", hint=f"At most {MAX_DEPTH} levels.")
    if isinstance(value, Enum):
        return _plain(value.value, where, depth)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # NaN and infinities have no JSON; as text they stay readable.
        return value if value - value == 0 else repr(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID | Decimal | PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, f"{where}.{name}", depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{where}[{index}]", depth + 1) for index, inner in enumerate(value)]
    raise PayloadRefused(
        f"The payload holds a {type(value).__name__} at {where}.", hint="Give text, numbers, lists or mappings."
    )


def _masked(value: Any, where: str, found: list[str]) -> Any:
    """The value with secrets masked; the place of each that was found goes to `found`."""
    if isinstance(value, dict):
        return {redact(name): _masked_member(name, inner, where, found) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, f"{where}[{index}]", found) for index, inner in enumerate(value)]
    if isinstance(value, str) and contains_secret(value):
        found.append(where)
        return redact(value)
    return value


def _masked_member(name: str, value: Any, where: str, found: list[str]) -> Any:
    place = f"{where}.{redact(name)}" if where else redact(name)
    # None and booleans ("password_changed": true) give nothing away.
    if is_secret_name(name) and not isinstance(value, bool) and value is not None and value != MASK:
        found.append(place)
        return MASK
    if name in PEOPLES_WORDS and isinstance(value, str):
        return redact(value)
    return _masked(value, place, found)


def strings(value: Any) -> Iterator[str]:
    """Every text in a payload, keys included: what a search for leaked secrets walks."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
