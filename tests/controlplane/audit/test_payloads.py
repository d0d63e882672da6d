"""What a payload may hold."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from controlplane.audit.errors import PayloadRefused, SecretInPayload
from controlplane.audit.payloads import MASK, clean_payload, strings

CANARY = "c4naryS3cret"
SECRETS: list[dict[str, Any]] = [
    {"password": CANARY},
    {"db": {"api_key": CANARY}},
    {"list": [{"Token": CANARY}]},
    {"key": 17},
    {"url": f"postgres://u:{CANARY}@h/d"},
    {"lines": ["ok", f"DATABASE_URL=postgres://u:{CANARY}@h/d"]},
    {f"postgres://u:{CANARY}@h/d": 1, "secret": CANARY},
    {"pem": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"},
]


@pytest.mark.parametrize("payload", SECRETS)
def test_secret_is_refused_in_development(payload: dict[str, Any]) -> None:
    with pytest.raises(SecretInPayload) as caught:
        clean_payload("run.created", payload)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("payload", SECRETS)
def test_secret_is_masked_and_told_in_production(
    payload: dict[str, Any], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PRODUCTION = True
    cleaned = clean_payload("run.created", payload)
    assert CANARY not in repr(cleaned)
    assert MASK in repr(cleaned)
    assert cleaned["redacted"]
    assert "run.created" in caplog.text and "masked" in caplog.text and CANARY not in caplog.text


@pytest.mark.parametrize("name", ["reason", "note", "comment"])
def test_words_of_people_are_masked_without_a_complaint(name: str) -> None:
    text = f"moved to postgres://u:{CANARY}@h/d on request"
    assert clean_payload("rollback.requested", {name: text}) == {name: "moved to postgres://u:***@h/d on request"}


def test_facts_about_secrets_are_no_secrets() -> None:
    payload = {"password_changed": True, "token": None, "url": "postgres://u:***@h/d", "row_key": "14"}
    assert clean_payload("application.changed", payload) == payload


def test_values_become_plain_json() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    payload = {
        "at": moment,
        "day": moment.date(),
        "amount": Decimal("1.50"),
        "id": UUID(int=1),
        "path": Path("/data/x"),
        "pair": (1, 2.5),
        "nan": float("nan"),
        3: "three",
    }
    assert clean_payload("run.created", payload) == {
        "at": "2026-03-01T00:00:00+00:00",
        "day": "2026-03-01",
        "amount": "1.50",
        "id": "00000000-0000-0000-0000-000000000001",
        "path": "/data/x",
        "pair": [1, 2.5],
        "nan": "nan",
        "3": "three",
    }


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, "x" * 70_000])
def test_what_is_no_json_or_too_large_is_refused(value: object) -> None:
    with pytest.raises(PayloadRefused):
        clean_payload("run.created", {"value": value})


def test_endless_nesting_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(PayloadRefused, match="nested"):
        clean_payload("run.created", {"value": endless})


def test_strings_walks_names_and_values() -> None:
    assert sorted(strings({"a": ["b", {"c": 1, "d": "e"}]})) == ["a", "b", "c", "d", "e"]
