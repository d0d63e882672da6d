"""What has no row of its own in the table is tried by a test elsewhere, or decides nothing; both are checked here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.permissions import services, table

ROOT = Path(__file__).resolve().parents[2]
# Reasons that need no test: a function that decides nothing, or a part of one that has a row.
DECIDES_NOTHING = ("asks, changes nothing", "one's own", "nobody's decision", "decided elsewhere", "made by the system")
# Tests that write the address itself.
ADDRESSES = {"application_new": "/applications/new/", "mail_again": "retry_mail", "told_*": "told/"}
ENTRIES = {**{f"service {name}": why for name, why in services.ELSEWHERE.items()}} | {
    f"address {name}": why for name, why in table.ELSEWHERE.items()
}


def _tests_in(place: Path) -> str:
    files = [place] if place.is_file() else sorted(place.rglob("test_*.py"))
    return "\n".join(file.read_text() for file in files)


@pytest.mark.parametrize("entry", sorted(ENTRIES))
def test_what_has_no_row_is_tried_where_it_says(entry: str) -> None:
    why = ENTRIES[entry]
    name = entry.partition(" ")[2]
    found = re.search(r"tests/[\w/.]+\w", why)
    if found is None:
        part = why.startswith("a part of ")
        assert part or any(reason in why for reason in DECIDES_NOTHING), "say which test tries it"
        return
    place = ROOT / found.group()
    assert place.exists(), f"{found.group()} is gone"
    word = name.rpartition(".")[2].rstrip("*:_")
    tests = _tests_in(place)
    address = ADDRESSES.get(name, word)
    assert word in tests or address in tests, f"nothing in {found.group()} tries {word}"


def test_no_entry_is_for_something_that_is_gone() -> None:
    from tests.permissions.test_services import with_an_actor

    known = with_an_actor()
    gone = {
        name
        for name in services.ELSEWHERE
        if name not in known and not any(function.startswith(f"{name}.") for function in known)
    }
    assert not gone
