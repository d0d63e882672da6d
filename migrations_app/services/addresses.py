"""A target's address in parts, as people type it; its password goes in and is never shown again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings

from controlplane.registry.models import Application
from controlplane.registry.secrets import SecretUnreadable
from migrations_app.engine.errors import Refused
from migrations_app.engine.target.target_url import DEFAULT_PORT, TargetUrl, parse_target_url

URL_OF = {"target": "target_url", "rehearsal": "rehearsal_target_url"}
# What was shown to be wrong, as the field that it is typed into.
FIELD_OF_CODE = {
    "BAD_URL": "host",
    "EMPTY_URL": "host",
    "URL_PARAMETER": "sslmode",
    "REMOTE_WITHOUT_TLS": "sslmode",
    "TLS_FAILED": "sslmode",
    "HOST_NOT_ALLOWED": "host",
    "TARGET_UNREACHABLE": "host",
    "TOO_MANY_CONNECTIONS": "host",
    "SERVER_TOO_OLD": "host",
    "READ_ONLY": "host",
    "WRONG_PASSWORD": "password",
    "NO_SUCH_ROLE": "user",
    "NO_RIGHTS": "user",
    "NO_CREATEDB": "user",
    "NO_SUCH_DATABASE": "database",
    "NOT_UTF8": "database",
    "CONTROL_DATABASE": "database",
    "SAME_TARGET": "database",
}


@dataclass(frozen=True)
class Address:
    """The parts. `password` is '' where an address is read back to be shown."""

    host: str = ""
    port: int = DEFAULT_PORT
    database: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    sslmode: str = "prefer"
    sslrootcert: str = ""

    @property
    def shown(self) -> dict[str, Any]:
        """What may be shown, logged and kept in clear."""
        return {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
        }

    @property
    def url(self) -> str:
        """postgresql://…, percent-encoded; holds the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        tls = {"sslmode": "" if self.sslmode == "prefer" else self.sslmode, "sslrootcert": self.sslrootcert}
        query = urlencode({name: value for name, value in tls.items() if value})
        return (
            f"postgresql://{quote(self.user, safe='')}:{quote(self.password, safe='')}@{host}:{self.port}"
            f"/{quote(self.database, safe='')}{f'?{query}' if query else ''}"
        )

    def same_place(self, other: Address) -> bool:
        """Whether a password for one may be sent to the other."""
        return (self.host, self.port, self.user) == (other.host, other.port, other.user)


def address_from(values: Mapping[str, Any]) -> Address:
    """From what a form gives. Raises Refused BAD_URL where a part can't be one."""
    parts = {name: str(values.get(name) or "").strip() for name in ("host", "database", "user", "sslrootcert")}
    address = Address(
        **parts,
        port=int(values.get("port") or DEFAULT_PORT),
        password=str(values.get("password") or ""),
        sslmode=str(values.get("sslmode") or "prefer"),
    )
    if any(letter in parts["host"] for letter in "/@?#[] "):
        raise Refused("BAD_URL", "That is not the name of a host.", "A name or an address alone, without port or path.")
    parsed(address.url)
    return address


def parsed(text: str) -> TargetUrl:
    """The address's shape, whatever its host; the host and its TLS are judged where the operator's file is."""
    return parse_target_url(text, certificates=settings.CAUSEWAY_CERTIFICATES_DIR, allow_unverified_remote=True)


def stored_address(application: Application, kind: str) -> Address | None:
    """The parts of a stored address without its password; None where there is none, or it can't be opened."""
    secret = _opened(application, kind)
    try:
        url = parsed(secret) if secret else None
    except Refused:
        return None
    if url is None:
        return None
    certificate = url.sslrootcert.rpartition("/")[2]
    return Address(url.host, url.port, url.database, url.user, "", url.sslmode, certificate)


def has_address(application: Application, kind: str) -> bool:
    """Whether one is stored; one that can't be opened counts, and says so when it is used."""
    try:
        return bool(getattr(application, URL_OF[kind]))
    except SecretUnreadable:
        return True


def stored_password(application: Application, kind: str) -> str:
    """For an address whose other parts stay: the caller puts it into the new one and nowhere else."""
    secret = _opened(application, kind)
    return parsed(secret).password if secret else ""


def _opened(application: Application, kind: str) -> str:
    try:
        return str(getattr(application, URL_OF[kind]).reveal())
    except SecretUnreadable:
        return ""
