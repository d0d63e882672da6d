"""Every service that changes something, called by everyone past the pages; and no such service without a row."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from itertools import groupby

import pytest
from django.core.cache import cache
from django.db import transaction

from controlplane.audit.models import AuditEvent
from migrations_app import services
from migrations_app.services.errors import ServiceRefused
from tests.permissions.services import ELSEWHERE, SERVICES, Service
from tests.permissions.world import PEOPLE, Scene, World

BY_SCENE: dict[Scene, list[Service]] = {
    scene: list(rows)
    for scene, rows in groupby(sorted(SERVICES, key=lambda row: row.scene.__name__), key=lambda row: row.scene)
}


def with_an_actor() -> set[str]:
    """module.function of every public function of the services that is told who acts."""
    found = set()
    for entry in pkgutil.walk_packages(services.__path__, f"{services.__name__}."):
        module = importlib.import_module(entry.name)
        short = entry.name.removeprefix(f"{services.__name__}.")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == entry.name and not name.startswith("_")
            if own and "actor" in inspect.signature(function).parameters:
                found.add(f"{short}.{name}")
    return found


def test_every_service_that_is_told_who_acts_has_a_row() -> None:
    held = {row.name for row in SERVICES}
    without = {
        name for name in with_an_actor() - held if name not in ELSEWHERE and name.partition(".")[0] not in ELSEWHERE
    }
    assert not without, f"add a row to tests/permissions/services.py for: {', '.join(sorted(without))}"
    assert held <= with_an_actor(), "rows of services that are gone"


def verdict(row: Service, world: World, person: str) -> str:
    cache.clear()
    before = AuditEvent.objects.count()
    try:
        row.call(world, world.people[person])
    except ServiceRefused as refused:
        return f"refused {refused.status}" if AuditEvent.objects.count() == before else "refused, but wrote"
    return "done" if AuditEvent.objects.count() > before else "done, but left no trace"


@pytest.mark.django_db
@pytest.mark.parametrize("scene", BY_SCENE, ids=lambda scene: scene.__name__)
def test_everyone_is_refused_but_those_whom_the_table_names(scene: Scene) -> None:
    world = scene()
    wrong = []
    for row in BY_SCENE[scene]:
        for person in PEOPLE:
            with transaction.atomic():
                found = verdict(row, world, person)
                transaction.set_rollback(True)
            wanted = "done" if person in row.may else "refused 403"
            if found != wanted:
                wrong.append(f"{row.name} by {person}: {found}, should be {wanted}")
            world.run.refresh_from_db()
    assert not wrong, "\n".join(wrong)
