"""Keys that are to be applied, in one temporary table of the applier's session, whatever table they are of.

Columns: `tbl`, the table's number in the log; `n`, the key's number in the spool; `h`, a digest of the key as SQLite
has it (0 where no key can be there twice); `p`, whether SQLite has such a row; k1, k2 … the key as the target prints
it, cast to the types of the target's own columns wherever rows are looked for, so that its indexes serve. A row is the
one of a key where it prints it, too: citext and numeric find 'a' and 1.00 where 'A' and 1.0 are asked for, and those
may be the keys of other rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.replay.dirty_rows import TableWay
from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target import Connection, Cursor, rows

_NAME = "causeway_keys"
_TABLE = f"pg_temp.{_NAME}"
_ANALYZED = 1000  # keys from which on PostgreSQL is told how many there are
_FETCH = 10_000
# Each table with its columns' types (without a length, which would cut; of a domain the type beneath, since its
# rules would refuse to look for a key that no row has), and with its columns under unique indexes.
_TYPES = """
WITH RECURSIVE typed (relname, attname, type) AS (
    SELECT c.relname::text, a.attname::text, a.atttypid
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %s AND c.relname = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT relname, attname, t.typbasetype FROM typed JOIN pg_type t ON t.oid = type AND t.typtype = 'd'
)
SELECT relname, attname, format_type(type, -1) FROM typed JOIN pg_type t ON t.oid = type WHERE t.typtype <> 'd'
"""
_UNIQUE = """
SELECT c.relname::text, array_agg(a.attname::text)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
 WHERE n.nspname = %s AND c.relname = ANY(%s) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
   AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
 GROUP BY c.relname, i.indexrelid
"""


@dataclass(frozen=True)
class _Target:
    """A table of the target: its qualified name, its number in the log, its key as (quoted column, k…, type)."""

    name: str
    number: int
    key: tuple[tuple[str, str, str], ...]

    def same(self, alias: str) -> str:
        """That a row `t` of the table is the one of a key."""
        parts = [
            # format() prints as COPY does; a cast to text wouldn't, of booleans and padded text.
            f"t.{column} = {alias}.{k}::{kind} AND pg_catalog.format('%s', t.{column}) = {alias}.{k}"
            for column, k, kind in self.key
        ]
        return " AND ".join([f"{alias}.tbl = {self.number}", *parts])


class KeyTable:
    """Made once a connection; its rows are gone after each transaction.

    Raises Refused ONLINE_NO_TARGET_KEY where a table of the target isn't told apart by the key that the log has.
    """

    def __init__(self, cursor: Cursor, plan: MovePlan, ways: Mapping[int, TableWay]) -> None:
        tables = [way.table.target_name for way in ways.values()]
        types = {(table, name): kind for table, name, kind in rows(cursor, _TYPES, (plan.target_schema, tables))}
        unique: dict[str, list[set[str]]] = {}
        for table, columns in rows(cursor, _UNIQUE, (plan.target_schema, tables)):
            unique.setdefault(table, []).append(set(columns))
        self.width = max((len(way.key) for way in ways.values()), default=1)
        self._columns = [f"k{place}" for place in range(1, self.width + 1)]
        self._made = False
        self._targets: dict[int, _Target] = {}
        for number, way in ways.items():
            _refuse_loose(way, unique.get(way.table.target_name, []))
            table = way.table.target_name
            pairs = zip(way.target_key, self._columns, strict=False)
            key = tuple((quote(name), k, types[table, name]) for name, k in pairs)
            self._targets[number] = _Target(qualified(plan.target_schema, table), number, key)

    def make(self, cursor: Cursor) -> None:
        if self._made:
            return
        columns = ", ".join(f"{name} text" for name in self._columns)
        cursor.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {_NAME}"
            f" (tbl integer, n bigint, h bigint, p boolean, {columns}) ON COMMIT DELETE ROWS"
        )

    def made(self) -> None:
        """Its making was committed."""
        self._made = True

    @property
    def copy_in_sql(self) -> str:
        return f"COPY {_TABLE} (tbl, n, h, p, {', '.join(self._columns)}) FROM STDIN"

    def analyze(self, cursor: Cursor, keys: int) -> None:
        """Let PostgreSQL know how many there are, where that matters."""
        if keys >= _ANALYZED:
            cursor.execute(f"ANALYZE {_TABLE}")

    def delete_targets(self, cursor: Cursor, numbers: Sequence[int]) -> None:
        """Take away the target's rows of these tables' keys."""
        targets = [self._targets[number] for number in numbers]
        if targets:  # in one message: each answer takes its time to come
            cursor.execute("; ".join(f"DELETE FROM {t.name} t USING {_TABLE} d WHERE {t.same('d')}" for t in targets))

    def drop_superseded(self, connection: Connection, cursor: Cursor) -> array[int]:
        """Of a key that was read more than once the last read counts: the numbers of the others, ascending."""
        parts = ", ".join(["tbl", "h", *self._columns])
        older = (
            f"SELECT n FROM (SELECT n, max(n) OVER (PARTITION BY {parts}) AS last FROM {_TABLE}) q"
            " WHERE n < last ORDER BY n"
        )
        found = array("q")
        with connection.cursor(name="causeway_superseded") as each:
            each.itersize = _FETCH
            each.execute(older)
            for (number,) in each:
                found.append(number)
        if found:
            cursor.execute(f"DELETE FROM {_TABLE} WHERE n IN ({older})")
        return found

    def copy_out_sql(self, way: TableWay) -> str:
        """The target's rows of these keys, each behind its key's number, in the order of the numbers.

        Two keys of SQLite may be one in the target, as 1 and '1' are in a text column: the row is that of the key that
        SQLite has, if it has one.
        """
        target = self._targets[way.number]
        wanted = ", ".join(f"t.{quote(name)}" for name in way.writer.target_columns)
        # That asks for `t` and so is only looked at for rows that are there: of keys without a row hardly any.
        twin = f"EXISTS (SELECT 1 FROM {_TABLE} e WHERE e.p AND {target.same('e')})"
        return (
            f"COPY (SELECT d.n, {wanted} FROM {_TABLE} d JOIN {target.name} t ON {target.same('d')}"
            f" WHERE d.p OR NOT {twin} ORDER BY d.n) TO STDOUT"
        )


def _refuse_loose(way: TableWay, unique: Sequence[set[str]]) -> None:
    if any(columns <= set(way.target_key) for columns in unique):
        return
    raise Refused(
        "ONLINE_NO_TARGET_KEY",
        f"The target's table {way.table.target_name} has no unique index on {', '.join(way.target_key)}.",
        "Make one, or move the application with the offline strategy.",
    )
