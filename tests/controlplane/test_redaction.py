"""Credentials in text: masked where they are, and nothing else lost."""

import logging

import pytest

from controlplane.redaction import RedactingFilter, contains_secret, is_secret_name, redact

CANARY = "c4naryS3cret"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"postgres://ana:{CANARY}@db:5432/x", "postgres://ana:***@db:5432/x"),
        (f"postgresql+psycopg2://ana:{CANARY}/a@b@db/x", "postgresql+psycopg2://ana:***@db/x"),
        (f"redis://:{CANARY}@127.0.0.1:6379/0", "redis://:***@127.0.0.1:6379/0"),
        (f"smtp://u:{CANARY}@mail and postgres://u:{CANARY}@b", "smtp://u:***@mail and postgres://u:***@b"),
        (f"https://{CANARY}@git.example/x", "https://***@git.example/x"),
        (f"host=db user=ana password={CANARY} dbname=x", "host=db user=ana password=*** dbname=x"),
        (f"password='{CANARY} \\' {CANARY}' host=db", "password=*** host=db"),
        (f"DATABASE_ENCRYPTION_KEY={CANARY}", "DATABASE_ENCRYPTION_KEY=***"),
        (f'{{"api_key": "{CANARY}", "n": 1}}', '{"api_key": ***, "n": 1}'),
        (f"ALTER ROLE ana PASSWORD '{CANARY}'", "ALTER ROLE ana PASSWORD ***"),
        (f"Authorization: Bearer {CANARY}", "Authorization: ***"),
        (f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\nafter", "***\nafter"),
        (f"-----BEGIN PRIVATE KEY-----\n{CANARY}", "***"),
        (
            "GET /told/acknowledge/WyJ1c2VyIiwzXQ:1xVaXj:ds-IPC8fWd9XMgCtUBBjMeMD8AeZK3vM86DLZgq_CVk/ HTTP/1.1",
            "GET /told/acknowledge/***/ HTTP/1.1",
        ),
        ("token gAAAAAB" + "x" * 80 + "== end", "token *** end"),
    ],
)
def test_redact_masks_the_credential_alone(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert contains_secret(text) or "Authorization" in text or "api_key" in text
    assert redact(expected) == expected
    assert not contains_secret(expected)


@pytest.mark.parametrize(
    "text",
    [
        "postgres://ana@db/x",
        "http://127.0.0.1:8000/users/a@b.example",
        "mail to ana@example.org",
        "61 of 88 tables, row_key=14",
        "primary key (id), foreign_key=3",
    ],
)
def test_redact_leaves_the_rest_alone(text: str) -> None:
    assert redact(text) == text
    assert not contains_secret(text)


def test_redact_takes_linear_time_on_long_runs() -> None:
    for run in (
        "a" * 300_000,
        "a." * 150_000,
        "://" * 100_000,
        "f" * 299_999 + "@",
        "x:" * 150_000,
        "abcd:" * 60_000,
        "a://" * 75_000,
    ):
        redact(run)  # with a quadratic pattern the test would not end


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "apiKey", "api-key", "token", "key", "secret", "dsn", "private_key_pem"]
)
def test_secret_names_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["row_key", "foreign_keys", "primary_key", "monkey", "tables", "", "tokenizer", "key_fingerprint"]
)
def test_other_names_are_not_secret(name: str) -> None:
    assert not is_secret_name(name)


def test_filter_masks_message_arguments_and_traceback() -> None:
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Collect()
    handler.addFilter(RedactingFilter())
    logger = logging.getLogger("test_redaction")
    logger.addHandler(handler)
    logger.propagate = False
    url = f"postgres://u:{CANARY}@h/d"
    try:
        raise RuntimeError(f"no connection to {url}")
    except RuntimeError:
        logger.exception("While connecting to %s", url, stack_info=True)
    logger.warning("%s %s", url)  # arguments that don't fit must not end the program
    text = "\n".join(lines)
    assert CANARY not in text
    assert "While connecting to postgres://u:***@h/d" in text
    assert "RuntimeError: no connection to postgres://u:***@h/d" in text
