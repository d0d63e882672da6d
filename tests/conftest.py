"""Fixtures and arrangements that all tests share; servers are started by tests/servers.py."""

from tests.audit_flush import allow_flush

allow_flush()
