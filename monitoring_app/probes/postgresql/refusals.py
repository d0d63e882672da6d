"""What a server means when it refuses a connection.

psycopg2 gives no SQLSTATE for a refused connection, only the server's text, in the server's language (lc_messages).
English and Japanese are known, from PostgreSQL's own catalogues of messages; what isn't known is UNREACHABLE. The
text itself is never passed on: it may quote what it was given.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Refusal(StrEnum):
    """The values are sentences for a person."""

    FULL = "cannot connect: too many clients"
    PASSWORD = "PostgreSQL answers, but the password is refused"
    MISSING = "PostgreSQL answers, but the database or role does not exist"
    DENIED = "PostgreSQL answers, but pg_hba.conf or the role's rights let us not in"
    NOT_READY = "PostgreSQL is starting, stopping or recovering"
    UNREACHABLE = "PostgreSQL can't be reached"


_KNOWN = (
    (
        Refusal.FULL,
        r"too many clients|remaining connection slots|too many connections"
        r"|クライアント数が多すぎます|残りの接続(スロット|枠)|接続が多すぎます",
    ),
    (Refusal.PASSWORD, r"authentication failed|no password supplied|認証に失敗しました"),
    (Refusal.MISSING, r"(database|role) .{0,200} does not exist|は存在しません"),
    (
        Refusal.NOT_READY,
        r"the database system is |not accepting connections|データベースシステムは",
    ),
    (
        Refusal.DENIED,
        r"pg_hba\.conf|not permitted to log in|permission denied for database|ログインが許可されません"
        r"|データベース.{0,200}への接続.{0,20}(権限|許可)",
    ),
)


def meaning(said: str) -> Refusal:
    """said: libpq's text for a connection that could not be made."""
    for refusal, pattern in _KNOWN:
        if re.search(pattern, said, re.DOTALL):
            return refusal
    return Refusal.UNREACHABLE
