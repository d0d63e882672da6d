"""Lets a test database be emptied although its audit trail, and the records beside it, refuse to be.

Django empties the tables after each test that uses real transactions (`transactional_db`, `live_server`); the triggers
of controlplane/audit/guards.py and append_only.py refuse that. So they are dropped for the moment of the emptying and
put back before the next test. This is about the test database alone: nothing of it is importable from the product.
"""

from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import TransactionTestCase

from controlplane.audit import append_only, guards

_MARK = "causeway_lifts_audit_guards"


def allow_flush() -> None:
    """Wraps TransactionTestCase's teardown, once a process."""
    original = TransactionTestCase._fixture_teardown
    if getattr(original, _MARK, False):
        return

    def teardown(self: TransactionTestCase) -> None:
        aliases = [alias for alias in self._databases_names(include_mirrors=False) if _has_trail(alias)]
        for alias in aliases:
            guards.remove(connections[alias])
            append_only.remove(connections[alias], _others(alias))
        try:
            original(self)
        finally:
            for alias in aliases:
                guards.install(connections[alias])
                append_only.install(connections[alias], _others(alias))

    setattr(teardown, _MARK, True)
    TransactionTestCase._fixture_teardown = teardown


def _others(alias: str) -> list[str]:
    return append_only.declared(MigrationRecorder(connections[alias]).applied_migrations())


def _has_trail(alias: str) -> bool:
    return guards.EVENT in connections[alias].introspection.table_names()
