"""Endpoint checks against a real server: what passes, what is refused, and what is bounded."""

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from migrations_app.applications.description import ApplicationDescription, EndpointCheck
from migrations_app.applications.endpoints import check_endpoint, check_endpoints, counted_around, percentile
from migrations_app.engine.errors import Refused
from tests.migrations_app.applications.conftest import Tiny


@pytest.fixture
def running(tiny: Tiny) -> ApplicationDescription:
    tiny.driver().start("sqlite")
    return tiny.describe()


def test_a_well_application_passes_all(running: ApplicationDescription) -> None:
    results = check_endpoints(running, "sqlite", {"items": 7})
    assert [(result.name, result.passed, result.length) for result in results] == [
        ("health", True, None),
        ("items", True, 7),
    ]
    assert all(result.milliseconds > 0 and result.status == 200 for result in results)


def test_the_wrong_database_and_a_missing_row_are_told(running: ApplicationDescription) -> None:
    health, items = check_endpoints(running, "postgresql", {"items": 8})
    assert health.code == "ENDPOINT_FIELD" and "'sqlite' instead of 'postgresql'" in health.problem
    assert items.code == "ENDPOINT_LENGTH" and "7 entries, but table items holds 8 rows" in items.problem


def test_an_unknown_table_does_not_pass(running: ApplicationDescription) -> None:
    assert not check_endpoints(running, "sqlite", {})[1].passed


def test_while_users_write_an_array_is_read_to_its_end_and_its_length_not_compared(
    running: ApplicationDescription,
) -> None:
    health, items = check_endpoints(running, "sqlite", None)
    assert health.passed and items.passed and items.length == 7
    assert check_endpoints(running, "postgresql", None)[0].code == "ENDPOINT_FIELD"


@pytest.mark.parametrize(
    ("before", "after", "passed"),
    [(6, 8, True), (8, 6, True), (7, 9, True), (8, 9, False), (6, 6, False)],
)
def test_while_users_write_an_array_is_as_long_as_its_table_was_around_the_answer(
    running: ApplicationDescription, before: int, after: int, passed: bool
) -> None:
    results = check_endpoints(running, "postgresql", {"items": before})
    health, items = counted_around(running, results, {"items": before}, {"items": after})
    assert items.passed == passed and bool(items.problem) != passed
    assert health.code == "ENDPOINT_FIELD", "no other fault is forgiven"


@pytest.mark.parametrize(
    ("check", "code"),
    [
        (EndpointCheck("x", "/nowhere", "web"), "ENDPOINT_STATUS"),
        (EndpointCheck("x", "/moved", "web"), "ENDPOINT_STATUS"),
        (EndpointCheck("x", "/health", "web", json={"state.name": "up"}), "ENDPOINT_FIELD"),
        (EndpointCheck("x", "/health", "web", length_equals_table="items"), "ENDPOINT_NOT_AN_ARRAY"),
        (EndpointCheck("x", "/huge", "web", json={"status": "healthy"}), "ENDPOINT_TOO_LARGE"),
        (EndpointCheck("x", "/slow", "web", timeout_seconds=0.5), "ENDPOINT_TIMEOUT"),
        (EndpointCheck("x", "/items", "web", length_equals_table="items", max_ms=0), "ENDPOINT_SLOW"),
    ],
)
def test_each_fault_has_its_code(running: ApplicationDescription, check: EndpointCheck, code: str) -> None:
    result = check_endpoint(running, check, "sqlite", {"items": 7})
    assert not result.passed and result.code == code and result.problem


def test_a_drip_of_header_lines_ends_at_the_deadline(running: ApplicationDescription) -> None:
    result = check_endpoint(running, EndpointCheck("x", "/slow", "web", timeout_seconds=0.5), "sqlite", {})
    assert result.milliseconds < 5_000  # the server itself would go on for ten seconds


def test_an_application_that_is_down_is_a_result(tiny: Tiny) -> None:
    results = check_endpoints(tiny.describe(), "sqlite", {"items": 7})
    assert {result.code for result in results} == {"ENDPOINT_UNREACHABLE"}


def test_a_redirect_can_be_expected_but_is_not_followed(running: ApplicationDescription) -> None:
    assert check_endpoint(running, EndpointCheck("x", "/moved", "web", status=302), "sqlite", {}).passed


@pytest.mark.parametrize("host", ["192.0.2.1", "169.254.169.254", "0.0.0.0"])
def test_other_hosts_are_refused_before_a_connection(tiny: Tiny, host: str) -> None:
    with pytest.raises(Refused) as error:
        check_endpoints(replace(tiny.describe(), host=host), "sqlite", {})
    assert error.value.code == "HOST_NOT_ALLOWED"


def test_a_host_on_the_operators_list_is_asked(running: ApplicationDescription) -> None:
    named = replace(running, host="127.0.0.1", allowed_hosts=("127.0.0.1",))
    assert check_endpoints(named, "sqlite", {"items": 7})[0].passed


@pytest.mark.parametrize("path", ["health", "/a b", "/a\r\nX: 1"])
def test_a_path_that_is_none_is_refused(tiny: Tiny, path: str) -> None:
    with pytest.raises(Refused) as error:
        check_endpoint(tiny.describe(), EndpointCheck("x", path, "web"), "sqlite", {})
    assert error.value.code == "BAD_PATH"


class Large(http.server.BaseHTTPRequestHandler):
    """An array of a hundred thousand rows, 20 MB, sent in pieces; nested arrays and objects within."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        row = b'{"id": 1, "list": [1, [2], {"a": []}], "text": "' + b"x" * 150 + b'"}'
        self.wfile.write(b"[" + row)
        for _ in range(99):
            self.wfile.write((b"," + row) * 1000)
        self.wfile.write((b"," + row) * 999 + b"]")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def large(tiny: Tiny) -> Iterator[ApplicationDescription]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", tiny.port), Large)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tiny.describe()
    server.shutdown()
    server.server_close()


def test_a_large_array_is_counted_in_a_stream(large: ApplicationDescription) -> None:
    import tracemalloc

    check = EndpointCheck("rows", "/", "web", length_equals_table="rows", timeout_seconds=60)
    tracemalloc.start()
    result = check_endpoint(large, check, "sqlite", {"rows": 100_000})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.passed and result.length == 100_000
    assert peak < 2_000_000


def test_percentiles_are_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 95), percentile([], 95), percentile([3.0], 50)) == (50, 95, 0, 3)
