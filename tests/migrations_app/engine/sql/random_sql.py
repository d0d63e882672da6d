"""Random expressions and queries over one table of all kinds of columns, for tests of what is translated."""

from __future__ import annotations

import random

TABLE = """CREATE TABLE t(id INTEGER PRIMARY KEY, i INTEGER, j INT, r REAL, n NUMERIC, m DECIMAL(10,2), b BOOLEAN,
    x TEXT, y TEXT, z TEXT COLLATE NOCASE, d DATE, a DATETIME, c TIMESTAMP, h TIME, u UUID, k BLOB);
    CREATE INDEX tx ON t(x);"""
COLUMNS = ("i", "j", "r", "n", "m", "b", "x", "y", "z", "d", "a", "c", "h", "u", "k")
_VALUES: dict[str, tuple[object, ...]] = {
    "i": (0, 1, -1, 2, 5, 7, 100, -13, 10**12, 2**31, 9),
    "j": (-5, -1, 0, 1, 2, 8),
    "r": (0.0, 0.5, -1.5, 2.0, 3.25, 1e10, 0.1, -2.5),
    "n": (1, 2.5, -3, 0.1, 10, 7),
    "m": (1, 2.25, 19.99, -3.5, 0),
    "b": (0, 1),
    "x": ("", "a", "A", "abc", "ABC", "Äb", "äb", "b%", "a_c", "10", "5", "zz top", "x\\y", "it's", "é"),
    "y": ("a", "B", "abc", "b", "", " a ", "5", "A"),
    "z": ("bob", "BOB", "Äx", "äx", "al"),
    "d": ("2020-01-02", "2019-12-31", "1999-02-28"),
    "a": ("2020-01-02 00:00:00", "2020-01-02 10:11:12", "1999-12-31 23:59:59"),
    "c": ("2020-01-02T10:11:12.500000", "2020-01-02T10:11:12", "2021-05-06T00:00:00"),
    "h": ("10:11:12", "00:00:00", "23:59:59"),
    "u": ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "00000000-9dad-11d1-80b4-00c04fd430c8"),
    "k": (b"", b"a", b"\x00\xff"),
}
_INTEGERS = ("i", "j", "b", "5", "1", "0", "-3", "length(x)", "id", "instr(x, 'b')", "TRUE", "unixepoch(a)")
_REALS = ("r", "n", "m", "0.5", "2.5", "-1.25")
_TEXTS = ("x", "y", "z", "'a'", "'abc'", "''", "'B'", "lower(x)", "upper(y)", "typeof(x)", "hex(k)", "d", "a", "c", "h")
_TIMES = ("d", "a", "c", "h", "'2020-01-02'", "'2020-01-02 10:11:12'", "'10:11:12'", "date(a)", "datetime(c)", "'2020'")
_LIKES = ("'a%'", "'_b%'", "'%B%'", "'Ä%'")
_GLOBS = ("'a*'", "'[A-Z]*'", "'?b*'", "'[^a-c]*'")
_SIGNS = ("=", "<>", "<", "<=", ">", ">=", "IS", "IS NOT")


class RandomSql:
    """The same seed gives the same texts."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def rows(self, count: int) -> list[tuple[object, ...]]:
        """Rows of TABLE; every eighth cell is NULL."""
        return [
            (place, *(None if self.dice.random() < 0.12 else self.dice.choice(_VALUES[name]) for name in COLUMNS))
            for place in range(count)
        ]

    def query(self) -> str:
        one = self.dice.choice
        some = one((self.number, self.text, self.condition))
        kind = self.dice.randrange(7)
        if kind == 0:
            total = f"{one(('max', 'min', 'sum', 'count', 'avg'))}({one(('', 'DISTINCT '))}{self.number(1)})"
            return f"SELECT {self.text(1)} AS g, {total} AS v FROM t GROUP BY {one(('1', 'g'))}"
        if kind == 1:
            join = f"{one(('', 'LEFT '))}JOIN t q ON p.{one(COLUMNS)} = q.{one(COLUMNS)}"
            return f"SELECT p.id, q.id AS other, {one(('p', 'q'))}.x FROM t p {join}"
        if kind == 2:
            return f"SELECT DISTINCT {some(1)} AS v FROM t {one(('ORDER BY v', 'ORDER BY 1 DESC', ''))}"
        if kind == 3:
            word = one(("UNION", "EXCEPT", "INTERSECT", "UNION ALL"))
            return f"SELECT {some(1)} AS v FROM t {word} SELECT {some(1)} FROM t WHERE {self.condition(1)}"
        return f"SELECT id, {some(3)} AS v FROM t"

    def number(self, depth: int) -> str:
        one, n, t, c = self.dice.choice, self.number, self.text, self.condition
        if depth <= 0:
            return one(_INTEGERS if self.dice.random() < 0.6 else _REALS)
        d = depth - 1
        forms = (
            lambda: f"({n(d)} {one('+-*/%&|')} {n(d)})",
            lambda: f"({n(d)} {one('+-*/')} {n(d)})",
            lambda: f"coalesce({n(d)}, {n(d)})",
            lambda: f"{one(('abs', 'round', '-'))}({n(d)})",
            lambda: f"CASE WHEN {c(d)} THEN {n(d)} ELSE {n(d)} END",
            lambda: f"CAST({n(d)} AS {one(('INTEGER', 'REAL'))})",
            lambda: f"{one(('min', 'max', 'nullif'))}({n(d)}, {n(d)})",
            lambda: f"length({t(d)})",
            lambda: f"instr({t(d)}, {t(d)})",
            lambda: f"(SELECT {one(('max', 'min', 'sum', 'count', 'avg', 'total'))}({n(d)}) FROM t WHERE {c(d)})",
            lambda: f"({c(d)})",
        )
        return one(forms)()

    def text(self, depth: int) -> str:
        one, t, c = self.dice.choice, self.text, self.condition
        if depth <= 0:
            return one(_TEXTS)
        d = depth - 1
        forms = (
            lambda: f"({t(d)} || {one((t(d), one(_INTEGERS)))})",
            lambda: f"{one(('lower', 'upper', 'trim', 'ltrim', 'rtrim'))}({t(d)})",
            lambda: f"substr({t(d)}, {one((1, 2, 3))}{one(('', ', 2', ', 0', ', 9'))})",
            lambda: f"replace({t(d)}, {one((t(0), one(('x', 'y'))))}, {t(d)})",
            lambda: f"coalesce({t(d)}, {t(d)})",
            lambda: f"CASE WHEN {c(d)} THEN {t(d)} WHEN {c(d)} THEN {t(d)} END",
            lambda: f"CASE {t(d)} WHEN {t(d)} THEN {t(d)} END",
            lambda: f"{one(('date', 'datetime', 'time'))}({one(_TIMES)})",
            lambda: f"strftime('{one(('%Y', '%Y-%m', '%H:%M', '%s', '%j', 'day %d', '%S'))}', {one(_TIMES)})",
            lambda: f"CAST({one((t(d), one(_INTEGERS)))} AS TEXT)",
        )
        return one(forms)()

    def condition(self, depth: int) -> str:
        one, n, t, c = self.dice.choice, self.number, self.text, self.condition
        if depth <= 0:
            return one(("b", "i", "j > 2", "x IS NULL", "b = 1"))
        d = depth - 1
        no = one(("", "NOT "))
        forms = (
            lambda: f"({n(d)} {one(_SIGNS)} {n(d)})",
            lambda: f"({t(d)} {one(_SIGNS)} {t(d)})",
            lambda: f"({one(_TIMES)} {one(_SIGNS)} {one(_TIMES)})",
            lambda: f"({c(d)} {one(('AND', 'OR'))} {no}{c(d)})",
            lambda: f"({t(d)} {no}LIKE {one((*_LIKES, t(d)))})",
            lambda: f"({t(d)} {no}GLOB {one(_GLOBS)})",
            lambda: f"({t(d)} {no}IN ({t(d)}, {t(0)}, NULL))",
            lambda: f"({n(d)} {no}BETWEEN {n(d)} AND {n(d)})",
            lambda: f"({one(_TIMES)} {no}BETWEEN {one(_TIMES)} AND {one(_TIMES)})",
            lambda: f"({t(d)} COLLATE {one(('NOCASE', 'BINARY'))} {one(('=', '<', '<>'))} {t(d)})",
            lambda: f"({n(d)} IN (SELECT {n(d)} FROM t))",
            lambda: f"EXISTS (SELECT 1 FROM t q WHERE q.{one(COLUMNS)} = t.{one(COLUMNS)} AND {c(d)})",
        )
        return one(forms)()
