"""Secrets at rest: a model field that stores text encrypted and bound to its row, and shows it to no one by accident.

The keys are in CAUSEWAY_FIELD_KEYS, outside the database: the first encrypts, all decrypt. A Fernet token says
nothing about where it belongs, so whoever writes to the database could move one row's token to another row. Model,
field and row therefore stand inside the encrypted text, and reading compares them.
"""

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core import checks
from django.core.exceptions import FieldDoesNotExist, FieldError, ImproperlyConfigured
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import IsNull
from django.db.models.query_utils import DeferredAttribute

PREFIX: Final = "sealed1:"
MASK: Final = "***"


class SecretUnreadable(Exception):
    """A stored secret can't be opened: another key, an altered token, or one that belongs to another row."""

    code = "SECRET_UNREADABLE"

    def __init__(self, where: str, why: str, hint: str) -> None:
        super().__init__(f"The secret {where} can't be opened: {why}.")
        self.hint = hint


class Secret:
    """A text that prints as ***. `reveal()` gives it, at the one place where it is needed."""

    __slots__ = ("_text", "_token")

    def __init__(self, text: str, token: str | None = None) -> None:
        self._text = text
        self._token = token

    @property
    def token(self) -> str | None:
        """The stored form that it was read from; None where it was typed."""
        return self._token

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __repr__(self) -> str:
        return f"Secret({MASK!r})" if self._text else "Secret('')"

    def __format__(self, specification: str) -> str:
        return format(str(self), specification)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret is not pickled: it would lie in clear in a cache or a message.")


class Sealed:
    """The encrypted form as it stands in the column; opened when the attribute is read."""

    __slots__ = ("token",)

    def __init__(self, token: str) -> None:
        self.token = token

    def __repr__(self) -> str:
        return "Sealed(…)"


def fernet() -> MultiFernet:
    """The keys from the settings. Raises ImproperlyConfigured, without showing any."""
    try:
        keys = [Fernet(key) for key in settings.CAUSEWAY_FIELD_KEYS]
        return MultiFernet(keys)
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured(
            "CAUSEWAY_FIELD_KEYS must hold Fernet keys (32 random bytes as URL-safe base64), comma-separated."
        ) from error


def seal(text: str, context: str) -> str:
    """The stored form of a text: prefix and Fernet token over the text and its context."""
    plain = json.dumps({"context": context, "text": text}, ensure_ascii=True)
    return PREFIX + fernet().encrypt(plain.encode("ascii")).decode("ascii")


def unseal(token: str, context: str) -> str:
    """The text of a stored form. Raises SecretUnreadable where key, token or context don't fit."""
    if not token.startswith(PREFIX):
        raise SecretUnreadable(context, "it is not encrypted", "Assign the secret anew and save.")
    try:
        plain = json.loads(fernet().decrypt(token.removeprefix(PREFIX).encode("utf-8")))
    except InvalidToken:
        hint = "Put the key that encrypted it back into CAUSEWAY_FIELD_KEYS, or assign the secret anew."
        raise SecretUnreadable(context, "no key fits, or it was altered", hint) from None
    if not isinstance(plain, dict) or plain.get("context") != context:
        hint = "Someone moved it there in the database. Look into the audit trail, then assign the secret anew."
        raise SecretUnreadable(context, "it belongs to another row or field", hint)
    return str(plain["text"])


def rotate(token: str) -> str:
    """The same secret under the first key; its context stays as it was. Raises SecretUnreadable."""
    try:
        return PREFIX + fernet().rotate(token.removeprefix(PREFIX).encode("utf-8")).decode("ascii")
    except InvalidToken:
        hint = "Put the key that encrypted it back into CAUSEWAY_FIELD_KEYS."
        raise SecretUnreadable("of this row", "no key fits, or it was altered", hint) from None


class SecretAttribute(DeferredAttribute):
    """Reads give a Secret, opened for exactly this row; text may be assigned as it is."""

    field: "EncryptedTextField"

    def __get__(self, instance: models.Model | None, cls: type[models.Model] | None = None) -> Any:
        if instance is None:
            return self
        value = super().__get__(instance, cls)
        if isinstance(value, Sealed):
            return Secret(unseal(value.token, self.field.context_of(instance)), value.token)
        return value

    def __set__(self, instance: models.Model, value: object) -> None:
        instance.__dict__[self.field.attname] = self.field.to_python(value)


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Text that is encrypted in the database and masked everywhere else; reading gives a `Secret`.

    bind_to: a field of the same model that names the row for good and is set before the first save (a UUID with a
    default). Without it a token is bound to model and field only. Set secrets on an instance and save it;
    QuerySet.update() and lookups other than isnull are refused, since neither knows the row. No form shows it.
    Empty text is stored empty.
    """

    description = "Encrypted text"
    descriptor_class = SecretAttribute
    _pyi_private_set_type: Any
    _pyi_private_get_type: Any  # a Secret, or None
    _pyi_lookup_exact_type: None

    def __init__(self, *args: Any, bind_to: str | None = None, **kwargs: Any) -> None:
        self.bind_to = bind_to
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.bind_to is not None:
            kwargs["bind_to"] = self.bind_to
        return name, path, list(args), kwargs

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return [*super().check(**kwargs), *self._check_binding()]

    def _check_binding(self) -> list[checks.CheckMessage]:
        if self.bind_to is None:
            return []
        try:
            self.model._meta.get_field(self.bind_to)
        except FieldDoesNotExist:
            message = f"bind_to names {self.bind_to!r}, which is no field of {self.model._meta.label}."
            return [checks.Error(message, obj=self, id="causeway.registry.E001")]
        return []

    def context_of(self, instance: models.Model) -> str:
        """Where a secret belongs: `registry.application.target_url#<row>`."""
        place = f"{self.model._meta.label_lower}.{self.name}"
        if self.bind_to is None:
            return place
        row = getattr(instance, self.bind_to)
        if row in (None, ""):
            raise FieldError(f"{place} is bound to {self.bind_to}, which has no value yet.")
        return f"{place}#{row}"

    def from_db_value(self, value: str | None, expression: object, connection: BaseDatabaseWrapper) -> Any:
        return Sealed(value) if value else value

    def to_python(self, value: Any) -> Any:
        if value is None or isinstance(value, Secret | Sealed):
            return value
        text = str(value)
        return Sealed(text) if text.startswith(PREFIX) else Secret(text)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = model_instance.__dict__.get(self.attname)
        if isinstance(value, Secret) and value:
            value = Sealed(seal(value.reveal(), self.context_of(model_instance)))
        return value

    def get_prep_value(self, value: Any) -> str | None:
        if isinstance(value, Sealed):
            return value.token
        if value is None or (isinstance(value, str | Secret) and not value):
            return None if value is None else ""
        if isinstance(value, Secret) and value.token is not None:
            return value.token  # a fixture is loaded without pre_save; in another row the token would not open
        raise FieldError(f"{self.name} is encrypted for its row: set it on an instance and save that.")

    def value_to_string(self, obj: models.Model) -> str:
        return self.get_prep_value(self.pre_save(obj, add=False)) or ""

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name == "isnull":
            return IsNull
        raise FieldError(f"{self.name} is encrypted and can't be searched ({lookup_name}).")

    def formfield(self, *args: Any, **kwargs: Any) -> None:
        """No form field of its own: a form that may set it adds a write-only one and assigns what was typed."""
        return None


def encrypted_fields(get_models: Callable[[], Any]) -> list[tuple[type[models.Model], EncryptedTextField]]:
    """Every encrypted field of every model: what a rotation of keys walks."""
    return [
        (model, field)
        for model in get_models()
        for field in model._meta.local_concrete_fields
        if isinstance(field, EncryptedTextField)
    ]
