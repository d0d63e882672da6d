"""Secrets at rest: encrypted, bound to their row, shown to no one by accident."""

import copy
import json
import pickle
import uuid
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.forms import modelform_factory

from controlplane.audit.models import AuditEvent
from controlplane.registry import secrets
from controlplane.registry.secrets import EncryptedTextField, Secret, SecretUnreadable, seal, unseal

CANARY = "postgres://u:c4naryS3cret@h/d"


class Keeper(models.Model):
    """A model of the tests alone: two secrets bound to the row, one to its column only."""

    uuid = models.UUIDField(default=uuid.uuid4)
    url = EncryptedTextField(bind_to="uuid", blank=True)
    spare = EncryptedTextField(bind_to="uuid", null=True)
    loose = EncryptedTextField(blank=True)
    name = models.CharField(max_length=20, default="x")

    class Meta:
        app_label = "registry"
        managed = False
        db_table = "test_keeper"


@pytest.fixture(autouse=True)
def keeper_table(transactional_db: None) -> Iterator[None]:
    with connection.schema_editor() as editor:
        editor.create_model(Keeper)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Keeper)


def stored(row: Keeper, column: str = "url") -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM test_keeper WHERE id = %s", [row.pk])
        return str(cursor.fetchone()[0])


def put(row: Keeper, token: str, column: str = "url") -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE test_keeper SET {column} = %s WHERE id = %s", [token, row.pk])


def test_secret_is_encrypted_in_the_column_and_read_by_reveal() -> None:
    row = Keeper.objects.create(url=CANARY, loose="other")
    assert stored(row).startswith("sealed1:") and "c4nary" not in stored(row)
    again = Keeper.objects.get(pk=row.pk)
    assert again.url.reveal() == CANARY
    assert again.loose.reveal() == "other"
    assert again.spare is None


def test_same_secret_twice_looks_different() -> None:
    assert stored(Keeper.objects.create(url=CANARY)) != stored(Keeper.objects.create(url=CANARY))


def test_secret_shows_nothing_of_itself() -> None:
    row = Keeper.objects.get(pk=Keeper.objects.create(url=CANARY).pk)
    shown = [str(row.url), repr(row.url), f"{row.url}", f"{row.url:>20}", repr(row.__dict__), repr(row)]
    assert not any("c4nary" in text for text in shown)
    assert str(row.url) == "***"
    with pytest.raises(TypeError):
        json.dumps(row.url)
    with pytest.raises(TypeError):
        pickle.dumps(row.url)
    assert copy.deepcopy(row).url.reveal() == CANARY


def test_empty_secret_stays_empty() -> None:
    row = Keeper.objects.get(pk=Keeper.objects.create(url="").pk)
    assert stored(row) == "" and not row.url


def test_token_moved_to_another_row_is_refused() -> None:
    one, other = Keeper.objects.create(url=CANARY), Keeper.objects.create(url="postgres://u:x@h/other")
    put(other, stored(one))
    with pytest.raises(SecretUnreadable, match="another row"):
        _ = Keeper.objects.get(pk=other.pk).url


def test_token_moved_to_another_row_is_read_where_no_row_is_bound() -> None:
    one, other = Keeper.objects.create(loose=CANARY), Keeper.objects.create(loose="other")
    put(other, stored(one, "loose"), "loose")
    assert Keeper.objects.get(pk=other.pk).loose.reveal() == CANARY


@pytest.mark.parametrize("column", ["spare", "loose"])
def test_token_moved_to_another_field_is_refused(column: str) -> None:
    row = Keeper.objects.create(url=CANARY)
    put(row, stored(row), column)
    with pytest.raises(SecretUnreadable, match="another row or field"):
        getattr(Keeper.objects.get(pk=row.pk), column)


@pytest.mark.parametrize("token", [CANARY, "sealed1:garbage", "sealed1:"])
def test_what_was_not_sealed_by_us_is_refused_and_not_quoted(token: str) -> None:
    row = Keeper.objects.create(url="x")
    put(row, token)
    with pytest.raises(SecretUnreadable) as caught:
        _ = Keeper.objects.get(pk=row.pk).url
    assert "c4nary" not in str(caught.value) and caught.value.hint


def test_row_can_be_saved_again_without_reading_its_secret() -> None:
    row = Keeper.objects.get(pk=Keeper.objects.create(url=CANARY).pk)
    before = stored(row)
    row.name = "y"
    row.save()
    assert stored(row) == before
    row.refresh_from_db()
    row.url = "new"
    row.save()
    assert Keeper.objects.get(pk=row.pk).url.reveal() == "new"


def test_deferred_secret_is_read_later() -> None:
    row = Keeper.objects.defer("url").get(pk=Keeper.objects.create(url=CANARY).pk)
    assert row.url.reveal() == CANARY


def test_bulk_create_seals_too() -> None:
    Keeper.objects.bulk_create([Keeper(url=CANARY), Keeper(url="b")])
    assert sorted(row.url.reveal() for row in Keeper.objects.all()) == ["b", CANARY]


def test_update_and_searches_are_refused() -> None:
    Keeper.objects.create(url=CANARY)
    with pytest.raises(FieldError):
        Keeper.objects.update(url="x")
    with pytest.raises(FieldError):
        Keeper.objects.filter(url=CANARY).exists()
    with pytest.raises(FieldError):
        Keeper.objects.filter(url__contains="c4nary").exists()
    assert Keeper.objects.filter(spare__isnull=True).count() == 1


def test_unbound_row_is_refused_at_the_save() -> None:
    with pytest.raises(FieldError, match="uuid"):
        Keeper(url=CANARY, uuid=None).save()


def test_forms_do_not_show_the_field() -> None:
    form = modelform_factory(Keeper, fields="__all__")(instance=Keeper(url=CANARY))
    assert set(form.fields) == {"uuid", "name"}
    assert "c4nary" not in form.as_p()


def test_dump_holds_the_sealed_form_and_loads_again() -> None:
    row = Keeper.objects.create(url=CANARY)
    dump = serializers.serialize("json", [row])
    assert "c4nary" not in dump
    Keeper.objects.all().delete()
    for loaded in serializers.deserialize("json", dump):
        loaded.save()
    assert Keeper.objects.get().url.reveal() == CANARY


def test_clean_keeps_the_secret() -> None:
    row = Keeper(url=CANARY, spare="s")
    row.full_clean()
    row.save()
    assert Keeper.objects.get(pk=row.pk).url.reveal() == CANARY


def test_field_survives_a_schema_migration() -> None:
    field = Keeper._meta.get_field("url")
    _name, path, _args, kwargs = field.deconstruct()
    assert path == "controlplane.registry.secrets.EncryptedTextField" and kwargs["bind_to"] == "uuid"


def test_bind_to_a_field_that_is_not_there_is_a_system_error() -> None:
    field = copy.copy(Keeper._meta.get_field("url"))
    field.bind_to = "nothing"
    assert [message.id for message in field.check()] == ["causeway.registry.E001"]
    assert Keeper._meta.get_field("url").check() == []


def test_bad_key_is_refused_without_showing_it(settings: Any) -> None:
    settings.CAUSEWAY_FIELD_KEYS = ["c4nary"]
    with pytest.raises(ImproperlyConfigured) as caught:
        seal("x", "y")
    assert "c4nary" not in str(caught.value)


def test_secret_of_a_dropped_key_is_refused_with_a_hint(settings: Any) -> None:
    token = seal("x", "place")
    settings.CAUSEWAY_FIELD_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(SecretUnreadable) as caught:
        unseal(token, "place")
    assert "CAUSEWAY_FIELD_KEYS" in caught.value.hint


@pytest.fixture
def only_keepers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "controlplane.registry.management.commands.rotate_field_keys.encrypted_fields",
        lambda get_models: secrets.encrypted_fields(lambda: [Keeper]),
    )


def rotate(*arguments: str) -> str:
    out = StringIO()
    call_command("rotate_field_keys", *arguments, stdout=out)
    return out.getvalue()


def test_rotation_lets_the_old_key_go(settings: Any, only_keepers: None) -> None:
    rows = [Keeper.objects.create(url=f"{CANARY}{number}", spare="s") for number in range(3)]
    new = Fernet.generate_key().decode()
    settings.CAUSEWAY_FIELD_KEYS = [new, *settings.CAUSEWAY_FIELD_KEYS]
    assert rotate("--dry-run").startswith("6 secrets can be opened")
    assert not AuditEvent.objects.exists()
    assert rotate().startswith("6 secrets encrypted anew")
    settings.CAUSEWAY_FIELD_KEYS = [new]
    for number, row in enumerate(rows):
        assert Keeper.objects.get(pk=row.pk).url.reveal() == f"{CANARY}{number}"
    event = AuditEvent.objects.get()
    assert event.action == "field_keys.rotated" and event.payload["rotated"] == 6
    rotate()


def test_rotation_keeps_a_token_bound_to_its_row(settings: Any, only_keepers: None) -> None:
    one, other = Keeper.objects.create(url=CANARY), Keeper.objects.create(url="x")
    put(other, stored(one))
    rotate()
    with pytest.raises(SecretUnreadable):
        _ = Keeper.objects.get(pk=other.pk).url


def test_rotation_names_what_it_cannot_open_and_does_the_rest(settings: Any, only_keepers: None) -> None:
    good, bad = Keeper.objects.create(url="good"), Keeper.objects.create(url="bad")
    put(bad, "sealed1:garbage")
    with pytest.raises(CommandError, match=f"registry.keeper.url of {bad.pk}") as caught:
        rotate()
    assert caught.value.returncode == 1
    assert Keeper.objects.get(pk=good.pk).url.reveal() == "good"


def test_every_secret_of_the_product_is_found_by_the_rotation() -> None:
    from django.apps import apps

    names = {f"{model._meta.label}.{field.name}" for model, field in secrets.encrypted_fields(apps.get_models)}
    assert {"registry.Application.target_url", "registry.Application.rehearsal_target_url"} <= names


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a" and len({Secret("a"), Secret("a")}) == 1
