"""A type's SQL text taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TYPE = re.compile(r"(?P<base>[^(\[]+)(?:\((?P<args>[^)]*)\))?(?P<rest>[^(\[]*)(?P<array>(?:\[\])*)$")


@dataclass(frozen=True)
class TypeParts:
    """'numeric(10,2)[]' taken apart: base 'numeric', arguments (10, 2), array True. Zone words belong to the base."""

    base: str
    arguments: tuple[int, ...]
    array: bool


def type_parts(type_sql: str) -> TypeParts:
    match = _TYPE.match(type_sql.strip())
    if match is None:
        return TypeParts(type_sql, (), False)
    base = " ".join((match["base"] + match["rest"]).lower().split())
    arguments = tuple(int(part) for part in (match["args"] or "").split(",") if part.strip().lstrip("-").isdigit())
    return TypeParts(base, arguments, bool(match["array"]))
