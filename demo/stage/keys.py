"""Secrets of the demo: made once, each in a file that only this user can read."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

from migrations_app.applications.supervision import write_private

WORDS = (
    *("amber", "birch", "cedar", "coral", "delta", "ember", "fjord", "grove", "harbour", "island", "juniper", "lagoon"),
    *("maple", "north", "ocean", "pebble", "quartz", "river", "saffron", "timber", "umber", "valley", "willow"),
)


class Keys:
    """The files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def once(self, name: str, make: Callable[[], str]) -> str:
        """The secret of that name, made at the first call."""
        path = self.path(name)
        if not path.exists():
            write_private(path, make().encode())
        return path.read_text()

    def put(self, name: str, text: str) -> Path:
        """Keep a secret that was given, for a child to read from its file."""
        write_private(self.path(name), text.encode())
        return self.path(name)

    def secret_key(self) -> Path:
        self.once("secret-key", lambda: secrets.token_urlsafe(64))
        return self.path("secret-key")

    def field_keys(self) -> Path:
        self.once("field-keys", lambda: Fernet.generate_key().decode())
        return self.path("field-keys")

    def database_password(self, role: str) -> str:
        return self.once(f"{role}.password", lambda: secrets.token_urlsafe(18))

    def cell_key(self, application: str) -> str:
        """The application's own key for its encrypted columns: 64 hexadecimal digits."""
        return self.once(f"{application}.cell-key", lambda: secrets.token_hex(32))

    def passwords(self, people: tuple[str, ...]) -> dict[str, str]:
        """A password a person, easy to type."""
        text = self.once("people.json", lambda: json.dumps({name: _password() for name in people}))
        known: dict[str, str] = json.loads(text)
        return known


def _password() -> str:
    one, other = secrets.SystemRandom().sample(WORDS, 2)
    return f"{one}-{other}-{secrets.randbelow(900) + 100}"
