"""Reads what settings need from the environment, and refuses a start that would be unsafe.

A refusal is one sentence on stderr and exit status 1: no traceback, and never the value, since a malformed
URL is usually one whose password holds a character that should have been encoded.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

# Each may instead be given as NAME_FILE, a file that holds it: container secrets are files.
_REQUIRED_SECRETS = ("SECRET_KEY", "CAUSEWAY_FIELD_KEYS", "DATABASE_URL", "REDIS_URL", "EMAIL_URL")
SECRETS = (*_REQUIRED_SECRETS, "CAUSEWAY_METRICS_TOKEN")
REQUIRED_IN_PRODUCTION = (*_REQUIRED_SECRETS, "ALLOWED_HOSTS", "CAUSEWAY_BASE_URL")
CONTROL_DATABASES = ("postgres", "postgresql", "psql", "pgsql", "sqlite")
SHORTEST_SECRET_KEY = 50

T = TypeVar("T")


class StartRefused(SystemExit):
    """Ends the process with one sentence; `code` of SystemExit is that sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"Causeway does not start: {sentence} [{code}] See .env.example.")


def with_secret_files(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, with NAME_FILE read where NAME itself isn't set. Refuses a file that can't be read."""
    found = dict(environment)
    for name in SECRETS:
        path = environment.get(f"{name}_FILE")
        if not path or environment.get(name):
            continue
        try:
            with open(path, encoding="utf-8") as secret:
                found[name] = secret.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise StartRefused("settings.secret_file", f"{name}_FILE ({path}) can't be read: {reason}.") from None
    return found


def refuse_missing(environment: Mapping[str, str]) -> None:
    """Production has no defaults for what it stands on."""
    missing = [name for name in REQUIRED_IN_PRODUCTION if not environment.get(name, "").strip()]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise StartRefused("settings.missing", f"in production {', '.join(missing)} must be set, and {verb} not.")


def refuse_weak(*, secret_key: str, field_keys: Sequence[str], allowed_hosts: Sequence[str], base_url: str) -> None:
    """Placeholders and development values are no secrets; `*` and plain http are no production."""
    if len(secret_key) < SHORTEST_SECRET_KEY or secret_key.startswith(("development-only-", "change-me")):
        raise StartRefused("settings.secret_key", f"SECRET_KEY needs {SHORTEST_SECRET_KEY} random characters or more.")
    if not field_keys or not all(_is_fernet_key(key) for key in field_keys):
        raise StartRefused("settings.field_keys", "CAUSEWAY_FIELD_KEYS must be Fernet keys of your own, by commas.")
    if "*" in allowed_hosts:
        raise StartRefused("settings.allowed_hosts", "ALLOWED_HOSTS must name the hosts; * allows any.")
    if urlsplit(base_url).scheme != "https":
        raise StartRefused("settings.base_url", "CAUSEWAY_BASE_URL must begin with https:// in production.")


def parsed(name: str, read: Callable[[], T]) -> T:
    """What `read` makes of the variable; its errors quote the value, so they become a sentence without it."""
    try:
        return read()
    except (ValueError, KeyError, ImproperlyConfigured):
        hint = "percent-encode special characters of its password (%2F for a slash)"
        raise StartRefused("settings.bad_url", f"{name} can't be read as a URL; {hint}.") from None


def refuse_other_database(url: str) -> None:
    """The control database is SQLite or PostgreSQL."""
    scheme = url.partition(":")[0]
    if scheme not in CONTROL_DATABASES:
        named = scheme if scheme.isalnum() and len(scheme) < 20 else "something else"
        raise StartRefused(
            "settings.database", f"DATABASE_URL must begin with postgresql:// or sqlite://, and begins with {named}."
        )


def _is_fernet_key(key: str) -> bool:
    try:
        raw = base64.urlsafe_b64decode(key)
    except (binascii.Error, ValueError):
        return False
    return len(raw) == 32 and not raw.startswith(b"development-only")
