"""How far the oldest transaction id is on the way to wraparound, over all databases: the server stops for all.

PostgreSQL refuses writes about 3 million transactions before 2^31 (PostgreSQL's manual, Routine Vacuuming).
"""

from __future__ import annotations

from monitoring_app.probes.measurement import Measurement
from monitoring_app.probes.postgresql.asking import Answer, Asked, Probe

_STOP = 2**31 - 3_000_000
_OLDEST = """
SELECT datname, greatest(age(datfrozenxid), mxid_age(datminmxid))::bigint FROM pg_database ORDER BY 2 DESC LIMIT 1
"""


def _ask(asked: Asked) -> Answer:
    ((name, age),) = asked.session.rows(_OLDEST)
    share = min(100.0, 100.0 * age / _STOP)
    return Answer([Measurement("wraparound", share, note=f"database {name}", detail={"database": name, "age": age})])


WRAPAROUND = Probe("wraparound", _ask, ("wraparound",))
