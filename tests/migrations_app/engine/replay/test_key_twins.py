"""Keys that SQLite keeps apart and PostgreSQL prints, or compares, alike: no row of the one goes with the other."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.conversions.conversions import Unfit, conversion
from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import MODE_EXISTING
from migrations_app.engine.replay import pace
from migrations_app.engine.replay.forward import Follower
from migrations_app.engine.target.target import rows
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.fragile import text_of
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.replay.following import assert_equal, catch_up, follow, target, writer
from tests.migrations_app.engine.sqlite_files import build

ROUNDS = 60
Held = list[tuple[str, str]]


def write(pair: Pair, script: str) -> None:
    with closing(writer(pair.source)) as connection:
        connection.executescript(script)


def held(pair: Pair) -> Held:
    with target(pair) as cursor:
        return rows(cursor, "SELECT format('%s', k), v FROM public.t ORDER BY v, 1")


UNTYPED = "CREATE TABLE t (k PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), ('x', 'b'), (0.0, 'c')"


@pytest.fixture(params=["UTF-8", "UTF-16le"])
def untyped(tmp_path: Path, applier_url: TargetUrl, request: pytest.FixtureRequest) -> Pair:
    return follow(build(tmp_path / "a.db", f"PRAGMA encoding='{request.param}'; {UNTYPED}"), applier_url)


def test_a_row_stays_when_its_twin_came_and_went_between_two_reads(untyped: Pair) -> None:
    write(untyped, "INSERT INTO t VALUES ('1', 'z'); DELETE FROM t WHERE k = '1'")
    catch_up(untyped)
    assert held(untyped) == [("1", "a"), ("x", "b"), ("0.0", "c")]
    assert_equal(untyped)


def test_a_row_whose_twin_comes_is_not_replaced_but_the_twin_is_refused_until_it_is_gone(untyped: Pair) -> None:
    write(untyped, "INSERT INTO t VALUES ('1', 'z')")
    with pytest.raises(Failed) as error:
        catch_up(untyped)
    assert error.value.code == "VALUE_REFUSED"
    assert held(untyped) == [("1", "a"), ("x", "b"), ("0.0", "c")]
    write(untyped, "DELETE FROM t WHERE k = '1'")
    catch_up(untyped)
    assert_equal(untyped)


def test_a_zero_that_changed_its_sign_is_one_row(untyped: Pair) -> None:
    write(untyped, "UPDATE t SET k = -0.0 WHERE k = 0.0")
    catch_up(untyped)
    assert held(untyped) == [("1", "a"), ("x", "b"), ("-0.0", "c")]
    write(untyped, "DELETE FROM t WHERE k = 0.0")
    catch_up(untyped)
    assert held(untyped) == [("1", "a"), ("x", "b")]


def test_a_key_that_a_domain_refuses_is_told_with_its_place_and_is_no_matter_once_it_is_gone(
    tmp_path: Path, applier_url: TargetUrl
) -> None:
    look = Look(text_of(applier_url))
    look.run("CREATE DOMAIN word AS text CHECK (VALUE ~ '^[a-z]+$'); CREATE DOMAIN low AS word")
    look.run("CREATE TABLE t (k low PRIMARY KEY, v text)")
    look.connection.close()
    script = "CREATE TABLE t (k TEXT PRIMARY KEY NOT NULL, v TEXT); INSERT INTO t VALUES ('a', '1')"
    pair = follow(build(tmp_path / "a.db", script), applier_url, MODE_EXISTING)
    write(pair, "INSERT INTO t VALUES ('B', '2')")
    with pytest.raises(Failed, match=r"t\.k in row") as error:
        catch_up(pair)
    assert error.value.code == "VALUE_REFUSED"
    write(pair, "UPDATE t SET k = 'b' WHERE k = 'B'")
    catch_up(pair)
    assert held(pair) == [("a", "1"), ("b", "2")]


@dataclass(frozen=True)
class Kind:
    """A key column on both sides, and SQLite's literals that its keys are drawn from; the first is there at once."""

    source: str
    target: str
    keys: tuple[str, ...]


_UUID = "aaaabbbb-cccc-4ddd-8eee-ffff00001111"
_UUIDS = (_UUID.replace("a", "9"), _UUID, _UUID.upper(), _UUID.replace("-", ""), _UUID.replace("-", "").upper())
_MOMENTS = ("2025-01-01 00:00:00", "2024-01-02 03:04:05", "2024-01-02T03:04:05", "2024-01-02 03:04:05.000000")
KINDS = {
    "text": Kind("", "text", ("'x'", "1", "1.0", "'1'", "'1.0'", "0.0", "-0.0", "x'31'")),
    "citext": Kind("TEXT", "citext", ("'x'", "'a'", "'A'", "'b'", "' a'")),
    "nocase": Kind("TEXT COLLATE NOCASE", "citext", ("'x'", "'a'", "'A'", "'b'", "'B'")),
    "whole": Kind("", "bigint", ("7", "1", "1.0", "'1'", "0", "0.0", "-0.0", "'01'")),
    "double": Kind("", "double precision", ("7.5", "1", "1.0", "'1'", "'1.0'", "0", "0.0", "-0.0")),
    "real": Kind("REAL", "double precision", ("7.5", "1", "0.0", "-0.0", "2.5")),
    "decimal": Kind("TEXT", "numeric", ("'7'", "'1'", "'1.0'", "'1.00'", "'2'")),
    "scaled": Kind("TEXT", "numeric(9,2)", ("'7'", "'1'", "'1.0'", "'1.00'", "'2.50'", "'2.5'")),
    "padded": Kind("", "char(4)", ("'x'", "1", "'1'", "'1 '", "'xy'")),
    "uuid": Kind("", "uuid", (*(f"'{each}'" for each in _UUIDS), f"x'{_UUIDS[3]}'")),
    "moment": Kind("TEXT", "timestamp", tuple(f"'{each}'" for each in _MOMENTS)),
}


def drawn_from(kind: Kind, path: Path, url: TargetUrl) -> Pair:
    look = Look(text_of(url))
    look.run(f"CREATE EXTENSION IF NOT EXISTS citext; CREATE TABLE t (k {kind.target} PRIMARY KEY, v text)")
    look.connection.close()
    script = (
        f"CREATE TABLE t (k {kind.source} PRIMARY KEY NOT NULL, v TEXT); INSERT INTO t VALUES ({kind.keys[0]}, '0')"
    )
    return follow(build(path, script), url, MODE_EXISTING)


class Sides:
    """What PostgreSQL holds, and what it would hold if it held what SQLite does."""

    def __init__(self, pair: Pair) -> None:
        self._pair, self._look = pair, Look(text_of(pair.url))
        column = pair.plan.table("t").columns[0]
        self._convert = conversion(column.conversion, column.target_type).convert
        self._look.run("CREATE TEMP TABLE same (LIKE public.t INCLUDING ALL)")

    def held(self, table: str = "public.t") -> Held:
        return self._look.rows(f"SELECT format('%s', k), v FROM {table} ORDER BY v, 1")

    def expected(self) -> Held | None:
        """None where it can't hold all of it."""
        self._look.run("TRUNCATE same")
        with closing(writer(self._pair.source)) as connection:
            there = connection.execute("SELECT k, v FROM t").fetchall()
        try:
            with self._look.connection.cursor() as cursor:
                for key, value in there:
                    cursor.execute("INSERT INTO same VALUES (%s, %s)", (self._convert(key), value))
        except (Unfit, psycopg2.Error):
            return None
        return self.held("same")

    def close(self) -> None:
        self._look.connection.close()


class Application:
    """Statements on table t with keys of a kind; what SQLite refuses is refused."""

    def __init__(self, path: Path, kind: Kind, seed: int) -> None:
        self._connection, self._keys, self._random, self._count = writer(path), kind.keys, random.Random(seed), 0

    def work(self, statements: int) -> None:
        for _ in range(statements):
            self._count += 1
            one, other = self._random.choice(self._keys), self._random.choice(self._keys)
            same = f"k = {one} AND typeof(k) = typeof({one})"
            sql = self._random.choice(
                (
                    f"INSERT INTO t VALUES ({one}, 'v{self._count}')",
                    f"REPLACE INTO t VALUES ({one}, 'v{self._count}')",
                    f"UPDATE t SET k = {other} WHERE {same}",
                    f"UPDATE t SET v = 'v{self._count}' WHERE {same}",
                    f"DELETE FROM t WHERE {same}",
                    f"DELETE FROM t WHERE {same}",
                )
            )
            with contextlib.suppress(sqlite3.IntegrityError):
                self._connection.execute(sql)

    def close(self) -> None:
        self._connection.close()


@pytest.mark.parametrize(("name", "in_parts"), [*((name, False) for name in sorted(KINDS)), ("text", True)])
def test_keys_that_are_one_in_postgresql_arrive_whole_or_are_refused(
    tmp_path: Path, applier_url: TargetUrl, name: str, in_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read by read both sides are equal, or PostgreSQL can't hold what SQLite holds and keeps what it had."""
    pair = drawn_from(KINDS[name], tmp_path / "a.db", applier_url)
    with (
        closing(Application(pair.source, KINDS[name], seed=3)) as application,
        closing(Sides(pair)) as sides,
        Follower(pair) as follower,
    ):
        if in_parts:  # the file isn't in WAL mode: keys come in several parts, and change between two of them
            monkeypatch.setattr(pace, "_FIRST", 2)
            monkeypatch.setattr(pace, "_MOST", 2)
            monkeypatch.setattr(pace.Pace, "took", lambda _self, _seconds: application.work(1))
        arrived = 0
        for _ in range(ROUNDS):
            before = sides.held()
            application.work(3)
            try:
                follower.catch_up()
            except Failed as error:
                assert error.code in ("VALUE_REFUSED", "VALUE_UNFIT")
                assert sides.held() == before
                assert sides.expected() is None
            else:
                arrived += 1
                assert sides.held() == sides.expected()
        assert arrived > ROUNDS / 10
