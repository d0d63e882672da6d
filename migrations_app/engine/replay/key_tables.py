"""Keys that are to be applied, in temporary tables of the applier's session: one a table of the target.

Columns: `n`, the key's number in the spool; `h`, a digest of the key as SQLite has it (0 where no key can be there
twice); `p`, whether SQLite has such a row; k1, k2 … in the target's own types, so that its indexes serve.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target import Connection, Cursor, rows

ANALYZED = 1000  # keys from which on PostgreSQL is told how many there are
_FETCH = 10_000


class KeyTable:
    """The keys of one table. `target_key`: the target's column names, in the log's order."""

    def __init__(self, plan: MovePlan, table: TablePlan, number: int, target_key: Sequence[str]) -> None:
        self.target = qualified(plan.target_schema, table.target_name)
        self.table = table
        self.key = tuple(target_key)
        self.name = f"pg_temp.causeway_keys_{number}"
        self._bare = f"causeway_keys_{number}"
        self._columns = [f"k{place}" for place in range(1, len(self.key) + 1)]

    def make(self, cursor: Cursor) -> None:
        """For the session; its rows are gone after each transaction."""
        cursor.execute("SELECT to_regclass(%s)", (self.name,))
        if cursor.fetchone() != (None,):
            return
        wanted = ", ".join(f"t.{quote(n)} AS {k}" for n, k in zip(self.key, self._columns, strict=True))
        cursor.execute(
            f"CREATE TEMPORARY TABLE {self._bare} ON COMMIT DELETE ROWS AS"
            f" SELECT 0::bigint AS n, 0::bigint AS h, true AS p, {wanted} FROM {self.target} t WITH NO DATA"
        )

    @property
    def copy_in_sql(self) -> str:
        return f"COPY {self.name} (n, h, p, {', '.join(self._columns)}) FROM STDIN"

    def analyze(self, cursor: Cursor) -> None:
        cursor.execute(f"ANALYZE {self.name}")

    def delete_targets(self, cursor: Cursor) -> int:
        """Take away the target's rows of these keys; how many there were."""
        cursor.execute(f"DELETE FROM {self.target} t USING {self.name} d WHERE {self._same}")
        return int(cursor.rowcount)

    def drop_superseded(self, connection: Connection, cursor: Cursor) -> array[int]:
        """Of a key that was read more than once the last read counts: the numbers of the others, ascending."""
        parts = ", ".join(["h", *self._columns])
        older = (
            f"SELECT n FROM (SELECT n, max(n) OVER (PARTITION BY {parts}) AS last FROM {self.name}) q"
            " WHERE n < last ORDER BY n"
        )
        found = array("q")
        with connection.cursor(name="causeway_superseded") as each:
            each.itersize = _FETCH
            each.execute(older)
            for (number,) in each:
                found.append(number)
        if found:
            cursor.execute(f"DELETE FROM {self.name} WHERE n IN ({older})")
        return found

    def copy_out_sql(self, columns: Sequence[str]) -> str:
        """The target's rows of these keys, each behind its key's number, in the order of the numbers.

        Two keys of SQLite may be one in the target, as 1 and '1' are in a text column: the row is that of the key that
        SQLite has, if it has one.
        """
        wanted = ", ".join(f"t.{quote(name)}" for name in columns)
        twin = " AND ".join(f"e.{k} = d.{k}" for k in self._columns)
        return (
            f"COPY (SELECT d.n, {wanted} FROM {self.name} d JOIN {self.target} t ON {self._same}"
            f" WHERE d.p OR NOT EXISTS (SELECT 1 FROM {self.name} e WHERE e.p AND {twin}) ORDER BY d.n) TO STDOUT"
        )

    @property
    def _same(self) -> str:
        return " AND ".join(f"t.{quote(n)} = d.{k}" for n, k in zip(self.key, self._columns, strict=True))


def refuse_loose_key(cursor: Cursor, key_table: KeyTable) -> None:
    """The key must tell the target's rows apart, by an index of the target: else one key would take away many rows.

    Raises Refused ONLINE_NO_TARGET_KEY.
    """
    found = rows(
        cursor,
        """SELECT array_agg(a.attname::text)
             FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
            WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
              AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
            GROUP BY i.indexrelid""",
        (key_table.target,),
    )
    if any(set(columns) <= set(key_table.key) for (columns,) in found):
        return
    raise Refused(
        "ONLINE_NO_TARGET_KEY",
        f"The target's table {key_table.table.target_name} has no unique index on {', '.join(key_table.key)}.",
        "Make one, or move the application with the offline strategy.",
    )
