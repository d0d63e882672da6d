"""Keeps credentials out of logs, errors and the audit trail.

Three kinds of text carry them in practice: URLs with a password, `name=value` pairs (libpq DSNs, environment
lines, SQL's PASSWORD clause) and key material (PEM blocks, Fernet tokens, the signed links of mails). Each is masked
in place, so that the rest of the sentence stays useful. Masking too much is accepted, too little is not.
"""

import itertools
import logging
import re
import traceback

MASK = "***"

# A password may hold an unencoded "/" or "@" (a bad URL, but errors quote bad URLs): take all up to the last @.
# Every run is bounded: a log line may hold a megabyte of hex, and an unbounded run would take quadratic time on it.
_URL = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.\-]{0,30})://(?P<userinfo>[^\s\"'<>]{0,512})@")
_WEB_AUTHORITY_ONLY = re.compile(r"[^/?#]*\Z")
_NAMES = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credentials?|authorization|"
    r"(?:api|secret|private|access|signing|encryption|field|audit)[_-]?keys?)"
)
_QUOTED = r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\""
_VALUE = rf"(?P<value>{_QUOTED}|(?:bearer |basic )?[^\s,;&'\")\]}}]+)"
_NAME = rf"{_NAMES}[\w.-]{{0,40}}[\"']?\s{{0,4}}"
_PAIR = re.compile(rf"(?i)(?P<name>{_NAME}[=:]\s{{0,4}}){_VALUE}")
_ASSIGNMENT = re.compile(rf"(?i)(?P<name>{_NAME}=\s{{0,4}}){_VALUE}")
_SQL = re.compile(rf"(?i)(?P<name>\bpassword\s+)(?P<value>{_QUOTED})")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
# Django's signed values, as links of mails carry them (django.core.signing: value, time in base 62, HMAC-SHA256).
_SIGNED = re.compile(r"(?<![\w\-])[\w\-]{4,512}:[A-Za-z0-9]{5,8}:[\w\-]{43}(?![\w\-])", re.ASCII)
_FERNET = re.compile(r"\bgAAAAA[A-Za-z0-9_\-]{50,}={0,2}")
_SECRET_WORDS = frozenset(
    {"password", "passwd", "passphrase", "pwd", "secret", "secrets", "token", "tokens", "credential", "credentials"}
    | {"authorization", "cookie", "dsn"}
)
_SECRET_KEYS = frozenset(
    {"api", "secret", "private", "access", "signing", "encryption", "field", "fernet", "audit", "session"}
)


def _mask_url(match: re.Match[str]) -> str:
    scheme, userinfo = match["scheme"], match["userinfo"]
    if scheme.lower() in {"http", "https"}:
        # The @ may belong to a path or a query; a token may stand alone in place of the user.
        return f"{scheme}://{MASK}@" if _WEB_AUTHORITY_ONLY.match(userinfo) else match[0]
    user, colon, _password = userinfo.partition(":")
    return f"{scheme}://{user}:{MASK}@" if colon else match[0]


def _mask_pair(match: re.Match[str]) -> str:
    return f"{match['name']}{MASK}"


def redact(text: str) -> str:
    """`text` with every credential that we can recognise replaced by ***; names, hosts and users stay."""
    text = _PEM.sub(MASK, text)
    text = _URL.sub(_mask_url, text)
    text = _PAIR.sub(_mask_pair, text)
    text = _SQL.sub(_mask_pair, text)
    text = _SIGNED.sub(MASK, text)
    return _FERNET.sub(MASK, text)


def contains_secret(text: str) -> bool:
    """Whether the text surely carries a credential; a sentence such as "token: expired" does not."""
    masked = _SIGNED.sub(MASK, _FERNET.sub(MASK, _PEM.sub(MASK, text)))
    masked = _URL.sub(_mask_url, masked)
    masked = _ASSIGNMENT.sub(_mask_pair, masked)
    # A text that was masked before is clean: masking it again changes nothing.
    return _SQL.sub(_mask_pair, masked) != text


def is_secret_name(name: str) -> bool:
    """Whether a key of a mapping names a secret: `password`, `db_password`, `apiKey`, `token`; not `row_key`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
    if not words or _SECRET_WORDS.intersection(words):
        return bool(words)
    if words in (["key"], ["keys"]):
        return True
    return any(word in _SECRET_KEYS and after in {"key", "keys"} for word, after in itertools.pairwise(words))


class RedactingFilter(logging.Filter):
    """Masks credentials in a record's message and traceback before any handler formats them.

    Attach it to handlers (a filter on a logger does not see the records of its children). The message is rendered
    here once; the arguments are dropped, since a handler that renders again would bring them back.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} (arguments did not fit)"
        record.msg, record.args = redact(message), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True
