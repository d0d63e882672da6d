"""A target's address that was sealed before it was bound to its row is bound by the schema migration, and opens."""

from importlib import import_module

import pytest
from django.apps import apps

from controlplane.registry.models import Application
from controlplane.registry.secrets import Sealed, SecretUnreadable, seal
from tests import factories as make

ADDRESS = "postgresql://yukyu:canary@db.example/yukyu"
migration = import_module("controlplane.registry.migrations.0003_target_bound_to_its_row")


def _put(row: Application, token: str) -> None:
    Application.objects.filter(pk=row.pk).update(target_url=Sealed(token))


@pytest.mark.django_db
def test_an_older_address_opens_after_the_migration_and_in_its_own_row_alone() -> None:
    mine, other = make.application("mine"), make.application("other")
    _put(mine, seal(ADDRESS, "registry.application.target_url"))
    with pytest.raises(SecretUnreadable):
        Application.objects.get(pk=mine.pk).target_url.reveal()
    migration.bind(apps, None)
    opened = Application.objects.get(pk=mine.pk).target_url
    assert opened.reveal() == ADDRESS
    _put(other, opened.token)
    with pytest.raises(SecretUnreadable):
        Application.objects.get(pk=other.pk).target_url.reveal()
