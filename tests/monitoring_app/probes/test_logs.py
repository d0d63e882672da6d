"""Logs are read as they grow: through rotation, truncation and half lines; what is counted is what was written."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring_app.probes.access_log import probe_access_log, status_of_json, status_of_line
from monitoring_app.probes.application_log import count_errors, level_of, probe_application_log
from monitoring_app.probes.tailing import NoLog, added

COMBINED = '10.0.0.1 - ana [23/Nov/2026:12:00:00 +0900] "GET /api/x HTTP/1.1" {} 512 "-" "Mozilla/5.0"\n'


class Log:
    """A log file, and the place up to which it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place: dict[str, Any] = {}
        path.touch()
        self.read()

    def write(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)

    def read(self) -> list[str]:
        found, place = added(self.path, self.place)
        self.place = json.loads(json.dumps(place))  # as it is kept between rounds
        return [line.decode() for line in found.lines]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "access.log")


def test_what_stood_there_before_the_first_look_is_not_news(tmp_path: Path) -> None:
    (tmp_path / "old.log").write_text("yesterday\n")
    assert Log(tmp_path / "old.log").read() == []


def test_a_half_line_waits_until_it_is_whole(log: Log) -> None:
    log.write("one\ntw")
    assert log.read() == ["one"]
    log.write("o\n")
    assert log.read() == ["two"]


def test_lines_on_both_sides_of_a_rotation_are_each_read_once(log: Log) -> None:
    log.write("one\n")
    assert log.read() == ["one"]
    log.write("two\n")
    log.path.rename(log.path.with_name("access.log.1"))
    log.write("three\n")
    assert log.read() == ["two", "three"]
    assert log.read() == []


def test_a_rotated_file_that_was_compressed_is_not_read_as_lines(log: Log) -> None:
    log.write("one\n")
    packed = log.path.with_name("access.log.1.gz")
    packed.write_bytes(gzip.compress(log.path.read_bytes()))
    log.path.unlink()
    log.path.with_name("other").touch()  # the inode that was freed is not the new log's
    log.write("two\n")
    assert log.read() == ["two"]


def test_a_file_that_was_emptied_in_place_is_read_from_its_begin(log: Log) -> None:
    log.write("one\ntwo\n")
    log.read()
    os.truncate(log.path, 0)
    log.write("three\n")
    assert log.read() == ["three"]


def test_a_file_that_was_emptied_and_grew_past_the_old_place_is_read_from_its_begin(log: Log) -> None:
    log.write("one\n")
    log.read()
    os.truncate(log.path, 0)
    log.write("a line that is longer than all before\nand another\n")
    assert log.read() == ["a line that is longer than all before", "and another"]


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "fifo"])
def test_what_is_no_file_is_said_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(NoLog):
        added(path, {})


@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(st.one_of(st.integers(0, 3), st.sampled_from(["rotate", "read"])), max_size=30))
def test_every_line_is_read_exactly_once_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int | str]
) -> None:
    """Writes, rotations and looks in any order, where one look comes between two rotations, as rounds do."""
    log = Log(tmp_path_factory.mktemp("log") / "app.log")
    written: list[str] = []
    got: list[str] = []
    rotated = 0
    for piece in pieces:
        if isinstance(piece, int):
            lines = [f"line {len(written) + number} {'x' * piece}" for number in range(piece)]
            written += lines
            log.write("".join(f"{line}\n" for line in lines))
        else:
            got += log.read()
            if piece == "rotate":
                rotated += 1
                log.path.rename(log.path.with_name(f"app.log.{rotated}"))
                log.path.touch()
    got += log.read()
    assert got == written


def measured(log: Log, format: str = "combined", seconds: float | None = 15.0) -> dict[str, Any]:
    found, log.place = probe_access_log(log.path, format, log.place, seconds)
    return {one.metric: one for one in found}


def test_error_rate_counts_5xx_alone_and_says_of_how_many_requests(log: Log) -> None:
    for status in (200, 200, 301, 404, 404, 404, 500, 503):
        log.write(COMBINED.format(status))
    found = measured(log)
    assert (found["error_rate"].value, found["error_rate"].count) == (25.0, 8)
    assert found["requests"].value == pytest.approx(8 / 15)
    assert found["error_rate"].view == "full"


def test_an_interval_without_requests_is_no_failure_and_no_request(log: Log) -> None:
    found = measured(log)
    assert (found["error_rate"].value, found["error_rate"].count, found["requests"].value) == (0.0, 0, 0.0)


def test_a_log_in_another_format_is_unknown_and_never_zero(log: Log) -> None:
    log.write("something else entirely\n")
    found = measured(log)["error_rate"]
    assert (found.value, found.view) == (None, "unknown")
    assert "none of 1 new lines" in found.note


def test_lines_in_another_format_among_others_make_the_view_partial(log: Log) -> None:
    log.write("a broken line\n" + COMBINED.format(200))
    found = measured(log)["error_rate"]
    assert (found.value, found.count, found.view) == (0.0, 1, "partial")


def test_what_was_logged_while_the_monitor_was_off_raises_no_alarm_now(log: Log) -> None:
    log.write(COMBINED.format(500) * 50)
    assert measured(log, seconds=None)["error_rate"].value is None
    log.write(COMBINED.format(200))
    assert measured(log)["error_rate"].value == 0.0


def test_log_that_is_gone_is_unknown_and_goes_on_when_it_is_back(log: Log) -> None:
    log.path.unlink()
    assert "not there" in measured(log)["error_rate"].note
    log.write(COMBINED.format(502))
    assert measured(log)["error_rate"].value == 100.0


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ('127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.0" 200 12', 200),
        ('::1 - - [01/Jan/2026:00:00:00 +0000] "GET /a\\"b HTTP/1.1" 500 -', 500),
        ('10.0.0.9 - Ana Sato [01/Jan/2026:00:00:00 +0000] "POST /x?q=500 HTTP/2" 404 3 "-" "curl"', 404),
        ('10.0.0.9 - - [01/Jan/2026:00:00:00 +0000] "\\x16\\x03\\x01" 400 157 "-" "-"', 400),
        ('10.0.0.9 - - [01/Jan/2026:00:00:00 +0000] "-" 408 - "-" "-" 0.001', 408),
        ("INFO 500 things", None),
        ('10.0.0.9 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 999 3', None),
        ("", None),
    ],
)
def test_status_of_a_line_is_the_servers_and_nothing_that_a_client_wrote(line: str, status: int | None) -> None:
    assert status_of_line(line.encode()) == status


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ('{"status": 503, "path": "/"}', 503),
        ('{"status": "200"}', 200),
        ('{"http_status": 404}', 404),
        ('{"status": true}', None),
        ('{"status": "ok", "status_code": 500}', 500),
        ('{"path": "/500"}', None),
        ("[500]", None),
        ("{", None),
        ("[" * 100_000, None),
    ],
)
def test_status_of_a_json_line_is_found_under_its_usual_names(line: str, status: int | None) -> None:
    assert status_of_json(line.encode()) == status


@given(st.binary(max_size=300))
def test_no_line_whatever_it_holds_stops_the_reading(line: bytes) -> None:
    status_of_line(line)
    status_of_json(line)
    level_of(line)
    count_errors([line])


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("2026-11-23 12:00:00,123 ERROR app.views Something", "ERROR"),
        ("[2026-11-23 12:00:00 +0900] [812] [CRITICAL] WORKER TIMEOUT", "CRITICAL"),
        ("WARNING:root:disk", "WARNING"),
        ("ERROR:    Exception in ASGI application", "ERROR"),
        ("12:00 WARN  o.h.util - deprecated", "WARNING"),
        ("FATAL:  too many connections", "CRITICAL"),
        ('{"level": "error", "msg": "x"}', "ERROR"),
        ('{"severity": "WARNING"}', "WARNING"),
        ("INFO: the ERROR page was shown", ""),
        ("2026-11-23 12:00:00 INFO no ERROR here", ""),
        ("    raise ValueError('ERROR')", ""),
        ("an errorless line", ""),
        ('{"level": 30}', ""),
    ],
)
def test_level_is_the_lines_own_and_not_a_word_of_its_text(line: str, level: str) -> None:
    assert level_of(line.encode()) == level


CHAINED = """\
2026-11-23 12:00:00 ERROR app Exception on /api/employees [POST]
Traceback (most recent call last):
  File "app.py", line 3, in add
psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint "employees_pkey"
DETAIL:  Key (name)=(SECRET-NAME) already exists.

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "orm.py", line 9, in flush
sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) duplicate key value
"""


def test_an_error_that_a_traceback_names_twice_counts_once_and_its_text_is_not_kept(tmp_path: Path) -> None:
    log = Log(tmp_path / "app.log")
    log.write(CHAINED * 2 + "2026-11-23 12:00:01 WARNING slow\n")
    measured_, place, errors = probe_application_log(log.path, log.place, 15.0)
    assert errors == Counter({"23505": 2})
    assert {one.labels["level"]: one.value for one in measured_} == {"WARNING": 1.0, "ERROR": 2.0, "CRITICAL": 0.0}
    assert "SECRET-NAME" not in repr((measured_, place, errors))


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("psycopg2.errors.InvalidTextRepresentation: invalid input syntax", "22P02"),
        ("psycopg.errors.UndefinedFunction: operator does not exist", "42883"),
        ("asyncpg.exceptions.UniqueViolationError: duplicate", "23505"),
        ("ERROR db failed (SQLSTATE 25P02)", "25P02"),
        ('{"level":"error","pgcode":"40001"}', "40001"),
        ("psycopg2.OperationalError: server closed the connection", "OperationalError"),
        ("psycopg2.errors.SomethingNew: x", "SomethingNew"),
    ],
)
def test_database_errors_are_counted_by_what_they_are(line: str, state: str) -> None:
    assert count_errors([line.encode()]) == Counter({state: 1})
