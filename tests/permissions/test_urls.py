"""Every row of the table, tried by everyone through the addresses; and no address without a row."""

from __future__ import annotations

from fnmatch import fnmatch
from itertools import groupby
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from controlplane.audit.models import AuditEvent
from tests.permissions.table import ELSEWHERE, ROWS, Row
from tests.permissions.world import PEOPLE, Scene, World

OF_A_PERSON = ("permission.refused", "person.signed_out", "person.confirmed")
BY_SCENE: dict[Scene, list[Row]] = {
    scene: list(rows)
    for scene, rows in groupby(sorted(ROWS, key=lambda row: row.scene.__name__), key=lambda row: row.scene)
}


def names(resolver: URLResolver, space: str = "") -> set[str]:
    """Every named address of the product, with its namespace."""
    found: set[str] = set()
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            inner = f"{space}{entry.namespace}:" if entry.namespace else space
            found |= names(entry, inner)
        elif isinstance(entry, URLPattern) and entry.name:
            found.add(f"{space}{entry.name}")
    return found


def test_every_address_has_a_row() -> None:
    held = {row.name for row in ROWS}
    without = {
        name
        for name in names(get_resolver())
        if name not in held and not any(fnmatch(name, pattern) for pattern in ELSEWHERE)
    }
    assert not without, f"add a row to tests/permissions/table.py for: {', '.join(sorted(without))}"


def outcome(answer: HttpResponse) -> str:
    """in, no (told who can), absent (as if it weren't there), door (sign in first)."""
    if answer.status_code == 401 or answer.headers.get("Location", "").startswith("/sign-in/?"):
        return "door"
    if answer.status_code in (403, 404):
        return "no" if answer.status_code == 403 else "absent"
    return "in" if answer.status_code in (200, 302) else f"status {answer.status_code}"


def expected(row: Row, person: str) -> str:
    if person in row.may:
        return "in"
    if person == "anonymous":
        return "door"
    if person == "outsider" and row.is_of_an_application:
        return row.outside
    return "absent" if row.absent else "no"


def events() -> int:
    return AuditEvent.objects.exclude(action__in=OF_A_PERSON).count()


def try_it(row: Row, world: World, person: str) -> tuple[str, int]:
    """What the address answers this person, and how many events it left in the trail; nothing stays."""
    cache.clear()
    client = Client()
    who: Any = world.people[person]
    if not isinstance(who, AnonymousUser):
        client.force_login(who)
    address = reverse(row.name, args=row.args(world))
    before = events()
    answer = client.get(address) if row.data is None else client.post(address, row.data(world))
    return outcome(answer), events() - before  # type: ignore[arg-type]


@pytest.mark.django_db
@pytest.mark.parametrize("scene", BY_SCENE, ids=lambda scene: scene.__name__)
def test_everyone_can_do_what_the_table_says_and_nothing_else(scene: Scene) -> None:
    world = scene()
    wrong = []
    for row in BY_SCENE[scene]:
        for person in PEOPLE:
            with transaction.atomic():
                found, left = try_it(row, world, person)
                transaction.set_rollback(True)
            wanted = expected(row, person)
            if found != wanted:
                wrong.append(f"{person}, {row.does}: {found}, should be {wanted}")
            may_write = wanted == "in" and row.data is not None
            if (left > 0) != (may_write and row.writes) and not (may_write and row.writes is None):
                wrong.append(f"{person}, {row.does}: {left} events in the trail")
    assert not wrong, "\n".join(wrong)
