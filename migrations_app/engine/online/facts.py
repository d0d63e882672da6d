"""What is really true of a live crossing: SQLite's mode, PostgreSQL's phase, the configuration.

Three durable facts, each changed by one commit (or one rename). What any process remembers decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

NONE, UNKNOWN = "none", "unknown"
CAPTURE, FENCED = "capture", "fenced"  # SQLite's mode
FOLLOWING, TAKEN_OVER, GIVEN_BACK = "following", "taken_over", "given_back"  # PostgreSQL's phase
SQLITE, POSTGRESQL = "sqlite", "postgresql"  # which database the configuration names; also: which one is live


@dataclass(frozen=True)
class Facts:
    """The facts of one look. 'none': that side keeps nothing of ours; 'unknown': it couldn't be asked (`problem`).

    head, position: of SQLite's log, and how far PostgreSQL has it (-1 where that side keeps nothing).
    queue_waiting: whether changes made on PostgreSQL wait for their way to SQLite.
    same: whether both sides bear the same identity, the pair's where it has one, and the plan is the one that runs.
    """

    sqlite: str
    postgresql: str
    configuration: str
    head: int = -1
    position: int = -1
    queue_waiting: bool = False
    same: bool = True
    problem: str = ""
