"""Every address of the product, for tests that walk them all."""

from __future__ import annotations

from django.urls import reverse

from migrations_app.models import MigrationRun
from migrations_app.models.states import GateCode
from migrations_app.services.sections import SECTIONS
from migrations_app.views.actions import QUESTIONS

OF_A_RUN = (
    "run",
    "run_live",
    "run_plan",
    "run_checklist",
    "run_rollback",
    "run_verification",
    "run_evidence",
    "run_audit",
    "run_certificate",
)
OF_A_TARGET = ("live", "queries", "advice", "daily", "rules", "settings", "recipients")


def of_everyone() -> list[str]:
    return [
        reverse(name)
        for name in (
            "password",
            "second_factor",
            "runs",
            "run_new",
            "applications",
            "application_new",
            "audit",
            "mail_settings",
        )
    ]


def of_run(run: MigrationRun) -> list[str]:
    """Those that show something of the run's application."""
    return [
        *(reverse(name, args=[run.pk]) for name in OF_A_RUN),
        *(reverse("run_sign", args=[run.pk, code]) for code in GateCode.values),
        *(reverse("run_action", args=[run.pk, action]) for action in QUESTIONS),
        *(reverse("run_result", args=[run.pk, code]) for code in ("V01", "P01")),
        reverse("checklist_template", args=[run.application.name]),
        *(reverse("checklist_template_item", args=[run.application.name, code]) for code in ("new", "V01", "P01")),
        reverse("plan", args=[run.plan_id]),
        reverse("application", args=[run.application.name]),
        reverse("application_people", args=[run.application.name]),
        reverse("application_replication", args=[run.application.name]),
        *(reverse("application_change", args=[run.application.name, section]) for section in SECTIONS),
        reverse("plan_new", args=[run.application.name]),
    ]


def of_watching(name: str, alert: int) -> list[str]:
    """Those of monitoring: an application that is watched, and one of its alerts."""
    depth = reverse("target", args=[name])
    return [
        *(reverse(page) for page in ("health", "alerts", "silences", "recipients", "alert_mails")),
        *(f"{depth}{asked}" for asked in ("", "?range=24h", "?range=7d", "?sides=1", "?metric=query_time")),
        *(reverse(f"target_{page}", args=[name]) for page in OF_A_TARGET),
        reverse("target_rule", args=[name, "query-time"]),
        reverse("silence_new", args=[name]),
        reverse("alert", args=[alert]),
    ]


def that_post(run: MigrationRun) -> list[str]:
    """Those that change something, with a run's where there is one."""
    return [
        *(reverse("run_sign", args=[run.pk, code]) for code in GateCode.values),
        *(reverse("run_action", args=[run.pk, action]) for action in QUESTIONS),
        reverse("run_rollback", args=[run.pk]),
        reverse("run_result", args=[run.pk, "V01"]),
        reverse("run_checklist_seen", args=[run.pk]),
        reverse("checklist_template", args=[run.application.name]),
        reverse("checklist_template_item", args=[run.application.name, "new"]),
        reverse("run_bundle", args=[run.pk]),
        reverse("plan_choose", args=[run.plan_id]),
        reverse("plan_new", args=[run.application.name]),
        reverse("application_people", args=[run.application.name]),
        reverse("application_check", args=[run.application.name, "source"]),
        reverse("application_replication", args=[run.application.name]),
        *(reverse("application_change", args=[run.application.name, section]) for section in SECTIONS),
    ]
