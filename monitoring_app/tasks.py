"""Celery tasks of monitoring: each wakes one service. They may be doubled or lost without harm."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from monitoring_app.services import collecting, daily, judging, loop, maintenance, self_test
from monitoring_app.services.rollup import roll_up


@shared_task(name="monitoring_app.tick", ignore_result=True)  # type: ignore[untyped-decorator]
def tick() -> None:
    now = timezone.now()
    if loop.tick(now=now):
        maintenance.ring_again(now=now)


@shared_task(name=loop.MEASURE_SERVER, ignore_result=True)  # type: ignore[untyped-decorator]
def measure_server(target_id: int) -> None:
    collecting.measure(target_id=target_id, part=loop.SERVER)


@shared_task(name=loop.MEASURE_HOST, ignore_result=True)  # type: ignore[untyped-decorator]
def measure_host(target_id: int) -> None:
    """On the queue of the application's host."""
    collecting.measure(target_id=target_id, part=loop.HOST)


@shared_task(name="monitoring_app.roll_up", ignore_result=True)  # type: ignore[untyped-decorator]
def roll_up_task() -> None:
    roll_up(now=timezone.now())


@shared_task(name="monitoring_app.evaluate", ignore_result=True)  # type: ignore[untyped-decorator]
def evaluate_task() -> None:
    judging.judge(now=timezone.now())


@shared_task(name="monitoring_app.verify_daily", ignore_result=True)  # type: ignore[untyped-decorator]
def verify_daily() -> None:
    daily.verify_due(now=timezone.now())


@shared_task(name=daily.VERIFY, ignore_result=True)  # type: ignore[untyped-decorator]
def verify_target(target_id: int) -> None:
    """On the queue of the application's host."""
    daily.verify(target_id=target_id, on_host=True)


@shared_task(name=maintenance.VACUUM, ignore_result=True)  # type: ignore[untyped-decorator]
def vacuum(maintenance_id: int) -> None:
    maintenance.work_on_vacuum(maintenance_id=maintenance_id)


@shared_task(name="monitoring_app.self_test", ignore_result=True)  # type: ignore[untyped-decorator]
def self_test_alerts() -> None:
    """What this week has not seen yet."""
    self_test.run_due(now=timezone.now())
