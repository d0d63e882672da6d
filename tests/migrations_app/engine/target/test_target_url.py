"""What a target URL may say, and that nothing of a password is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations_app.engine.errors import Refused
from migrations_app.engine.target.target_url import parse_target_url

SECRET = "canary-Xy7"


def refusal(text: str, **options: object) -> Refused:
    with pytest.raises(Refused) as caught:
        parse_target_url(text, **options)  # type: ignore[arg-type]
    error = caught.value
    assert SECRET not in f"{error} {error!r} {error.__cause__} {error.hint}"
    return error


def test_a_url_is_taken_apart_with_percent_encoding_undone() -> None:
    url = parse_target_url("postgresql://us%40er:p%2Fw%25@localhost:5433/my%20db?sslmode=require&connect_timeout=5")
    assert (url.host, url.port, url.user, url.password, url.database) == ("localhost", 5433, "us@er", "p/w%", "my db")
    assert (url.sslmode, url.connect_timeout) == ("require", 5)


def test_the_password_is_in_no_printed_form() -> None:
    url = parse_target_url(f"postgres://me:{SECRET}@127.0.0.1/db")
    assert SECRET not in f"{url} {url!r} {url.redacted}"
    assert url.redacted == "postgresql://me:***@127.0.0.1:5432/db"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "EMPTY_URL"),
        ("   ", "EMPTY_URL"),
        (f"mysql://me:{SECRET}@localhost/db", "BAD_URL"),
        (f"me:{SECRET}@localhost/db", "BAD_URL"),
        (f"postgresql://me:{SECRET}@localhost", "BAD_URL"),
        (f"postgresql://me:{SECRET}@localhost/", "BAD_URL"),
        (f"postgresql://me:{SECRET}@/db", "BAD_URL"),
        (f"postgresql://:{SECRET}@localhost/db", "BAD_URL"),
        (f"postgresql://me:{SECRET}@%2Fvar%2Frun/db", "BAD_URL"),
        (f"postgresql://me:{SECRET}@localhost:port/db", "BAD_URL"),
        (f"postgresql://me:{SECRET}@localhost:99999/db", "BAD_URL"),
        (f"postgresql://me:{SECRET}\n@localhost/db", "BAD_URL"),
        (f"postgresql://me:{SECRET}%0a@localhost/db", "BAD_URL"),
        (f"postgresql://me:{SECRET}@localhost/a/b", "BAD_URL"),
        (f"postgresql://me:{SECRET}@localhost/db#x", "BAD_URL"),
        (f"postgresql://me:{SECRET}@a@localhost/db", "BAD_URL"),
        (f"postgresql://me:{SECRET}%zz@localhost/db", "BAD_URL"),
        (f"postgresql://me:{SECRET}@localhost/db?passfile=/etc/passwd", "URL_PARAMETER"),
        (f"postgresql://me:{SECRET}@localhost/db?options=-csearch_path%3Dx", "URL_PARAMETER"),
        (f"postgresql://me:{SECRET}@localhost/db?host=/tmp", "URL_PARAMETER"),
        (f"postgresql://me:{SECRET}@localhost/db?sslmode=never", "URL_PARAMETER"),
        (f"postgresql://me:{SECRET}@localhost/db?sslmode=disable&sslmode=require", "URL_PARAMETER"),
        (f"postgresql://me:{SECRET}@localhost/db?connect_timeout=9999", "URL_PARAMETER"),
        (f"postgresql://me:{SECRET}@localhost/db?sslrootcert=root.pem", "URL_PARAMETER"),
        (f"postgresql://me:{SECRET}@db.example.org/db", "REMOTE_WITHOUT_TLS"),
        (f"postgresql://me:{SECRET}@db.example.org/db?sslmode=require", "REMOTE_WITHOUT_TLS"),
    ],
)
def test_other_urls_are_refused_with_their_code(text: str, code: str) -> None:
    assert refusal(text).code == code


def test_a_slash_in_the_password_is_named_as_the_trouble() -> None:
    error = refusal(f"postgresql://me:{SECRET}/x@localhost/db")
    assert error.code == "BAD_URL"
    assert "percent-encode it" in error.hint


def test_a_remote_host_is_taken_with_full_verification_or_by_exception() -> None:
    assert parse_target_url("postgresql://me:x@db.example.org/db?sslmode=verify-full").host == "db.example.org"
    assert not parse_target_url("postgresql://me:x@db.example.org/db", allow_unverified_remote=True).is_local


def test_a_certificate_is_a_file_of_the_fixed_folder_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "root.pem").write_text("x")
    (tmp_path / "outside.pem").write_text("x")
    (folder / "link.pem").symlink_to(tmp_path / "outside.pem")
    start = f"postgresql://me:{SECRET}@localhost/db?sslrootcert="
    assert parse_target_url(start + "root.pem", certificates=folder).sslrootcert == str(folder / "root.pem")
    for name in ("../outside.pem", "missing.pem", "link.pem", str(tmp_path / "outside.pem")):
        assert refusal(start + name, certificates=folder).code == "URL_PARAMETER"
