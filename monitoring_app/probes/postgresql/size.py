"""How large the database is. SQL gives sizes, never the capacity of the disk: that is the host's part."""

from __future__ import annotations

from monitoring_app.probes.measurement import Measurement
from monitoring_app.probes.postgresql.asking import Answer, Asked, Probe


def _ask(asked: Asked) -> Answer:
    (row,) = asked.session.rows("SELECT pg_database_size(current_database())")
    return Answer([Measurement("database_size", float(row[0]))])


SIZE = Probe("size", _ask, ("database_size",))
