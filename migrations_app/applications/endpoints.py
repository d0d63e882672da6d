"""Asks an application's endpoints whether it is well: status, fields, and arrays as long as their tables."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from migrations_app.applications.description import ApplicationDescription, Dialect, EndpointCheck
from migrations_app.applications.http import Answer, get
from migrations_app.engine.errors import Failed
from migrations_app.engine.source.json_stream import BadJson, JsonStream

FIELD_BYTES = 65_536  # an answer whose fields are checked is small
ARRAY_BYTES = 1_000_000_000  # arrays are counted in a stream; the deadline bounds them first
SHOWN = 120  # characters of an unexpected value in a message
_MISSING = object()


@dataclass(frozen=True)
class EndpointResult:
    """One check. problem is "" when passed; status is 0 when nothing answered."""

    name: str
    passed: bool
    status: int
    milliseconds: float
    length: int | None
    problem: str
    code: str = ""


def check_endpoints(
    description: ApplicationDescription, dialect: Dialect, row_counts: Mapping[str, int] | None
) -> tuple[EndpointResult, ...]:
    """Every endpoint of the description, one result each. row_counts: {table: rows} of the database in use.

    None while users write: arrays are read to their end, but a length that is counted first and asked for then says
    nothing.
    """
    return tuple(check_endpoint(description, check, dialect, row_counts) for check in description.endpoints)


def check_endpoint(
    description: ApplicationDescription, check: EndpointCheck, dialect: Dialect, row_counts: Mapping[str, int] | None
) -> EndpointResult:
    """One endpoint. Never raises for what an application does; only Refused for what may not be asked at all."""
    begun = time.monotonic()
    status, length, problem, code = 0, None, "", ""
    try:
        with ask(description, check) as answer:
            status = answer.status
            if status != check.status:
                problem, code = f"answered {status} instead of {check.status}", "ENDPOINT_STATUS"
            elif check.length_equals_table:
                length = _array_length(answer)
                problem = _length_problem(check.length_equals_table, length, row_counts)
                code = "ENDPOINT_LENGTH" if problem else ""
            else:
                problem = _field_problem(answer, check, dialect)
                code = "ENDPOINT_FIELD" if problem else ""
    except Failed as error:
        problem, code = error.message, error.code
    took = (time.monotonic() - begun) * 1000
    if not problem and check.max_ms is not None and took > check.max_ms:
        problem, code = f"took {took:.0f} ms, more than {check.max_ms} ms", "ENDPOINT_SLOW"
    return EndpointResult(check.name, not problem, status, took, length, problem, code)


def counted_around(
    description: ApplicationDescription,
    results: tuple[EndpointResult, ...],
    before: Mapping[str, int],
    after: Mapping[str, int],
) -> tuple[EndpointResult, ...]:
    """The results for an application that users write to: an array is right that is as long as its table was counted
    before it was asked for or afterwards, or between the two."""
    tables = {check.name: check.length_equals_table for check in description.endpoints}

    def judged(result: EndpointResult) -> EndpointResult:
        table = tables[result.name]
        if result.code != "ENDPOINT_LENGTH" or result.length is None or table not in before or table not in after:
            return result
        low, high = sorted((before[table], after[table]))
        return replace(result, passed=True, problem="", code="") if low <= result.length <= high else result

    return tuple(judged(result) for result in results)


def fetch_json(
    description: ApplicationDescription, check: EndpointCheck, limit: int = FIELD_BYTES
) -> tuple[int, object]:
    """(status, parsed body) of an endpoint. Raises EngineErrors."""
    with ask(description, check, limit) as answer:
        return answer.status, _parsed(answer.read_all())


def count_array(description: ApplicationDescription, check: EndpointCheck) -> int:
    """How many elements the endpoint's array has. Raises EngineErrors."""
    with ask(description, check) as answer:
        return _array_length(answer)


def ask(description: ApplicationDescription, check: EndpointCheck, limit: int = 0) -> AbstractContextManager[Answer]:
    """One GET to the endpoint, its answer read in pieces. Raises EngineErrors."""
    process = description.process(check.process)
    if process.port is None:
        raise Failed(
            "ENDPOINT_UNREACHABLE",
            f"Endpoint {check.name} is to be asked of process {process.name}, which has no port.",
            "Name a process with a port.",
        )
    return get(
        description.host,
        process.port,
        check.path,
        allowed_hosts=description.allowed_hosts,
        timeout=check.timeout_seconds or description.http_timeout_seconds,
        limit=limit or (ARRAY_BYTES if check.length_equals_table else FIELD_BYTES),
    )


def _array_length(answer: Answer) -> int:
    """Count in a stream: memory does not grow with the array. Raises Failed ENDPOINT_NOT_AN_ARRAY."""
    try:
        with JsonStream(answer) as stream:
            if not stream.take("["):
                raise Failed("ENDPOINT_NOT_AN_ARRAY", "The answer is no JSON array.", "Check the endpoint's path.")
            length = 0
            while length or stream.peek() != "]":
                stream.value()
                length += 1
                if not stream.take(","):
                    break
            stream.expect("]")
            stream.end()
    except BadJson:
        raise Failed("ENDPOINT_NOT_JSON", "The answer is no valid JSON.", "Check the endpoint's path.") from None
    return length


def _length_problem(table: str, length: int, row_counts: Mapping[str, int] | None) -> str:
    if row_counts is None:
        return ""
    if table not in row_counts:
        return f"the number of rows of table {table} is not known"
    rows = row_counts[table]
    return "" if length == rows else f"returned {length} entries, but table {table} holds {rows} rows"


def _field_problem(answer: Answer, check: EndpointCheck, dialect: Dialect) -> str:
    body = answer.read_all()
    if not check.json:
        return ""
    document = _parsed(body)
    for name, expected in check.json.items():
        wanted = dialect if expected == "{dialect}" else expected
        found = field_of(document, name)
        if found is _MISSING:
            return f"has no field {name}"
        if found != wanted or isinstance(found, bool) != isinstance(wanted, bool):
            return f"says {name} is {str(found)[:SHOWN]!r} instead of {wanted!r}"
    return ""


def field_of(document: object, name: str) -> object:
    """The value of a dotted field; `is_missing` tells when there is none."""
    value = document
    for part in name.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return _MISSING
    return value


def is_missing(value: object) -> bool:
    return value is _MISSING


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Failed("ENDPOINT_NOT_JSON", "The answer is no valid JSON.", "Check the endpoint's path.") from None


def percentile(ordered: list[float], percent: int) -> float:
    """The nearest-rank percentile of sorted values; 0.0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
