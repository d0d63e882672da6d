"""The two sides of a live crossing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from migrations_app.engine.plan import MovePlan
from migrations_app.engine.target.target_url import TargetUrl


@dataclass(frozen=True)
class Pair:
    """The application's SQLite file and the PostgreSQL database that it crosses over to, by a plan.

    identity: hex text that is made when capture is installed and then stands on both sides, so that a restored or
    swapped file, or another database, is noticed. '' before that.
    """

    source: Path
    plan: MovePlan
    url: TargetUrl
    identity: str = ""
