"""One round of judging: claimed like every other part of the loop, so that two never judge at once."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from monitoring_app.services import loop
from monitoring_app.services.evaluation import EvaluationFailed, evaluate


def judge(*, now: datetime) -> bool:
    """Judge all targets, where no other worker does; whether all could be judged."""
    held = loop.claim(part=loop.EVALUATE, now=now)
    if held is None:
        return False
    problem = ""
    try:
        evaluate(now=now)
    except EvaluationFailed as failed:
        problem = str(failed)
    finally:
        loop.finish(held=held, now=timezone.now(), problem=problem)
    return not problem
