"""Celery tasks: each wakes one service. They take ids, trust nothing else, and may be doubled or lost without harm."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from migrations_app.services import following, hosts
from migrations_app.services.certificate.issue import issue_due
from migrations_app.services.execution import work_on_run
from migrations_app.services.looks import work_on_look
from migrations_app.services.plan_making import work_on_plan
from migrations_app.services.reality import probe_reality
from migrations_app.services.sweep import sweep


@shared_task(name="migrations_app.work", bind=True)
def work(self, run_id: int) -> bool:  # type: ignore[no-untyped-def]
    """Run the run's next step, if it is due, free and of this queue."""
    queue = (self.request.delivery_info or {}).get("routing_key", "")
    return work_on_run(run_id=run_id, queue=queue)


@shared_task(name="migrations_app.make_plan")
def make_plan(plan_id: int) -> bool:
    return work_on_plan(plan_id=plan_id)


@shared_task(name="migrations_app.probe_reality", ignore_result=True)
def probe(run_id: int) -> None:
    probe_reality(run_id=run_id)


@shared_task(name="migrations_app.sweep", ignore_result=True)
def sweep_task() -> None:
    sweep(now=timezone.now())


@shared_task(name="migrations_app.look", ignore_result=True)
def look(look_id: int) -> None:
    work_on_look(look_id=look_id)


@shared_task(name="migrations_app.describe_host", ignore_result=True)
def describe_host(host_id: int) -> None:
    hosts.describe_host(host_id=host_id)


@shared_task(name="migrations_app.issue_certificates", ignore_result=True)
def issue_certificates() -> None:
    issue_due(now=timezone.now())


@shared_task(name="migrations_app.ring_followers", ignore_result=True)
def ring_followers() -> None:
    following.ring_followers(now=timezone.now())


@shared_task(name="migrations_app.follow", ignore_result=True)
def follow(application_id: int) -> None:
    """A slice of the application's live crossing, on its host."""
    following.follow(application_id=application_id)
