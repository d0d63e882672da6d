"""The number of the run that an event is about, as the database reads it from the payload, for an index and a filter.

An expression and no column of its own: a column would be a second truth beside the payload that is hashed, could be
changed without a trace, and could not be filled for the events that are there, which nobody may update.
"""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, F, Func
from django.db.models.sql.compiler import SQLCompiler


class RunInPayload(Func):
    """payload["run"], NULL where there is none.

    PostgreSQL reads the canonical text by a pattern: a cast to jsonb would refuse payloads that hold a \\u0000. A
    quotation mark inside a text is escaped, so what people typed can't look like the key; a run that is named deeper
    in the payload counts as well. SQLite's json_extract would fail on a text that someone has damaged.
    """

    output_field = BigIntegerField()
    arity = 1

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        template = "(CASE WHEN json_valid(%(expressions)s) THEN json_extract(%(expressions)s, '$.run') END)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        template = """(CAST(substring(%(expressions)s from '[{,]"run":([0-9]{1,18})[,}]') AS bigint))"""
        return self.as_sql(compiler, connection, template=template, **context)


def run_in_payload() -> RunInPayload:
    return RunInPayload(F("payload"))
