"""A JSON field that keeps the very text that was hashed."""

import json
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from controlplane.audit.standalone import canonical


class CanonicalJSONField(models.TextField):  # type: ignore[type-arg]
    """JSON kept as canonical text (ASCII), not as jsonb: PostgreSQL's jsonb rewrites numbers, so hashes would break."""

    description = "Canonical JSON text"
    # What django-stubs takes as the types of assigned and of read values.
    _pyi_private_set_type: Any
    _pyi_private_get_type: Any
    _pyi_lookup_exact_type: Any

    def from_db_value(self, value: str | None, expression: object, connection: BaseDatabaseWrapper) -> Any:
        return None if value is None else json.loads(value)

    def to_python(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else canonical(value).decode("ascii")

    def value_to_string(self, obj: models.Model) -> str:
        return canonical(self.value_from_object(obj)).decode("ascii")
