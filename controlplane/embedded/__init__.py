"""Private servers for one machine: a PostgreSQL and a broker that live and die with the command that started them.

No Django here: the demo, the tests and the bench use it before settings exist.
"""

from controlplane.embedded.broker import EmbeddedBroker
from controlplane.embedded.errors import EmbeddedError
from controlplane.embedded.ports import free_port
from controlplane.embedded.postgres import EmbeddedPostgres
from controlplane.embedded.process import TetheredProcess

__all__ = ["EmbeddedBroker", "EmbeddedError", "EmbeddedPostgres", "TetheredProcess", "free_port"]
