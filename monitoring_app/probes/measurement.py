"""What a probe measures: one number of one series, or the reason why there is none. NULL is never green."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FULL = "full"
PARTIAL = "partial"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Measurement:
    """One value of one series at the moment of the probe.

    metric: a name of monitoring_app/metrics.py, which gives its unit. value: in that unit; None when it could not be
    measured, and then `note` says why, in words for a person, without a secret. labels: what tells this series from
    others of the metric ({"volume": "archive"}); few and stable, since each combination is a series for ever.
    view: full, partial (the role may not see everything; `note` says what is missing) or unknown.
    count: how many events the value is made of (requests of an error rate); None where that means nothing.
    detail: more for a page (a statement's text without its values); plain JSON, never stored with the samples.
    """

    metric: str
    value: float | None
    labels: Mapping[str, str] = field(default_factory=dict)
    view: str = FULL
    note: str = ""
    count: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def unknown(cls, metric: str, why: str, labels: Mapping[str, str] | None = None) -> Measurement:
        return cls(metric, None, labels or {}, UNKNOWN, why)
