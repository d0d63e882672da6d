"""Target URLs: what they may say, and what is never shown of them.

libpq would also take `passfile`, `options`, `service` and socket folders from a URL: ways to read other files or to
change the session. So a URL is taken apart here, by our own rules, and libpq gets keywords.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from migrations_app.engine.errors import Refused

SCHEMES = ("postgresql", "postgres")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
PARAMETERS = ("sslmode", "sslrootcert", "connect_timeout")
DEFAULT_PORT = 5432
DEFAULT_CONNECT_TIMEOUT = 10  # seconds
# A server behind a network that went silent is given up after about a minute; the system's own default is two hours.
_KEEPALIVE: dict[str, str | int] = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
SHAPE = "Write it as postgresql://user:password@host:port/database."
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")


@dataclass(frozen=True)
class TargetUrl:
    """Where the target is and how to get in. Neither repr nor str shows the password."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    sslmode: str = "prefer"
    sslrootcert: str = ""
    connect_timeout: int = DEFAULT_CONNECT_TIMEOUT

    @property
    def redacted(self) -> str:
        """The URL with *** for the password: fit for logs, reports and pages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        secret = ":***" if self.password else ""
        user = f"{quote(self.user, safe='')}{secret}@" if self.user else ""
        return f"postgresql://{user}{host}:{self.port}/{quote(self.database, safe='')}"

    def __str__(self) -> str:
        return self.redacted

    @property
    def is_local(self) -> bool:
        return is_local_host(self.host)

    def with_database(self, database: str) -> TargetUrl:
        """The same server and role, another database."""
        return replace(self, database=database)

    def connect_arguments(self) -> dict[str, str | int]:
        """libpq keywords. `options` and `passfile` are set, so that no environment variable can."""
        arguments: dict[str, str | int] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.database,
            "sslmode": self.sslmode,
            "connect_timeout": self.connect_timeout,
            "options": "",
            "passfile": "/dev/null",
            **_KEEPALIVE,
        }
        if self.sslrootcert:
            arguments["sslrootcert"] = self.sslrootcert
        return arguments


def is_local_host(host: str) -> bool:
    """True for localhost and loopback addresses: the traffic never leaves the machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_target_url(
    text: str, *, certificates: Path | None = None, allow_unverified_remote: bool = False
) -> TargetUrl:
    """Read a target URL. `certificates` is the one folder that sslrootcert may name a file of.

    Raises Refused: EMPTY_URL, BAD_URL, URL_PARAMETER, REMOTE_WITHOUT_TLS. No message holds any part of a password.
    """
    if not text or not text.strip():
        raise Refused("EMPTY_URL", "The target URL is empty.", SHAPE)
    if _CONTROL.search(text) or text != text.strip():
        raise _bad("The target URL holds control characters or blanks at its ends.", SHAPE)
    parts = _split(text)
    parameters = _parameters(parts.query)
    url = TargetUrl(
        host=_host(parts),
        port=_port(parts),
        user=_part(parts.username, "user"),
        password=_part(parts.password or "", "password", may_be_empty=True),
        database=_database(parts),
        sslmode=_sslmode(parameters),
        sslrootcert=_certificate(parameters, certificates),
        connect_timeout=_timeout(parameters),
    )
    _refuse_open_remote(url, allow_unverified_remote)
    return url


def _bad(message: str, hint: str) -> Refused:
    return Refused("BAD_URL", message, hint)


def _split(text: str) -> SplitResult:
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        shown = scheme if separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme) else "no scheme"
        raise _bad(f"The target URL must begin with postgresql:// (it has {shown}).", SHAPE)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in rest and "@" not in authority:
        # A '/', '?' or '#' in the password ends the authority too early; its pieces would show up as a host or port.
        raise _bad(
            "The password (or the user) in the target URL holds a '/', '?' or '#' that isn't percent-encoded.",
            "percent-encode it: '/' is %2F, '?' is %3F, '#' is %23, '@' is %40, '%' is %25.",
        )
    if authority.count("@") > 1:
        raise _bad("The target URL holds more than one '@' before the host.", "percent-encode it: '@' is %40.")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise _bad("The target URL can't be taken apart.", SHAPE) from None
    if parts.fragment or "#" in text:
        raise _bad("The target URL holds a '#'.", "percent-encode it: '#' is %23.")
    return parts


def _decode(text: str, what: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise _bad(f"The {what} in the target URL holds a '%' that isn't percent-encoded.", "percent-encode it: %25.")
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _bad(f"The {what} in the target URL isn't valid UTF-8.", "percent-encode its UTF-8 bytes.") from None
    if _CONTROL.search(plain):
        raise _bad(f"The {what} in the target URL holds control characters.", SHAPE)
    return plain


def _part(text: str | None, what: str, *, may_be_empty: bool = False) -> str:
    plain = _decode(text or "", what)
    if not plain and not may_be_empty:
        raise _bad(f"The target URL names no {what}.", SHAPE)
    return plain


def _host(parts: SplitResult) -> str:
    try:
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if "%" in host or "/" in host or host.startswith("@"):
        raise _bad("The target URL names a socket folder as its host.", "Name a host and a port.")
    if not host:
        raise _bad("The target URL names no host.", SHAPE)
    if not _HOST.fullmatch(host):
        raise _bad("The host in the target URL holds characters that no host has.", SHAPE)
    return host


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        raise _bad("The port in the target URL isn't a number from 1 to 65535.", SHAPE) from None
    return port


def _database(parts: SplitResult) -> str:
    path = parts.path.removeprefix("/")
    if "/" in path:
        raise _bad("The database name in the target URL holds a '/'.", "percent-encode it: '/' is %2F.")
    return _part(path, "database")


def _parameters(query: str) -> dict[str, str]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise _bad("The parameters of the target URL can't be read.", "Write them as ?name=value&name=value.") from None
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            shown = name if re.fullmatch(r"[a-z_]{1,40}", name) else "an unknown one"
            raise Refused(
                "URL_PARAMETER",
                f"The target URL has the parameter {shown}, which isn't accepted.",
                f"Only {', '.join(PARAMETERS)} may follow the database.",
            )
        if name in parameters:
            raise Refused("URL_PARAMETER", f"The target URL gives {name} twice.", "Give it once.")
        if _CONTROL.search(value):
            raise _bad(f"The parameter {name} of the target URL holds control characters.", SHAPE)
        parameters[name] = value
    return parameters


def _sslmode(parameters: dict[str, str]) -> str:
    mode = parameters.get("sslmode", "prefer")
    if mode not in SSL_MODES:
        raise Refused("URL_PARAMETER", "The sslmode of the target URL is none that exists.", f"One of {SSL_MODES}.")
    return mode


def _certificate(parameters: dict[str, str], folder: Path | None) -> str:
    name = parameters.get("sslrootcert", "")
    if not name or name == "system":
        return name
    if folder is None:
        raise Refused(
            "URL_PARAMETER",
            "The target URL names an sslrootcert, but no folder of certificates is set.",
            "Set the folder of certificates, or use sslrootcert=system.",
        )
    if Path(name).name != name or name in (".", ".."):
        raise Refused(
            "URL_PARAMETER",
            "The sslrootcert of the target URL is a path.",
            f"Name a file of {folder}, without folders.",
        )
    path = (folder / name).resolve()
    if path.parent != folder.resolve() or not path.is_file():
        raise Refused("URL_PARAMETER", "The sslrootcert of the target URL isn't there.", f"Put the file into {folder}.")
    return str(path)


def _timeout(parameters: dict[str, str]) -> int:
    text = parameters.get("connect_timeout", str(DEFAULT_CONNECT_TIMEOUT))
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 2 <= int(text) <= 120:
        raise Refused(
            "URL_PARAMETER", "The connect_timeout of the target URL is out of range.", "Use 2 to 120 seconds."
        )
    return int(text)


def _refuse_open_remote(url: TargetUrl, allowed: bool) -> None:
    if url.is_local or url.sslmode == "verify-full" or allowed:
        return
    raise Refused(
        "REMOTE_WITHOUT_TLS",
        f"The target {url.host} is remote, and sslmode={url.sslmode} doesn't prove who answers.",
        "Add ?sslmode=verify-full (with sslrootcert), or record an exception for this host.",
    )
