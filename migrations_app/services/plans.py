"""Plans: asked for here, made by a worker on the application's host (plan_making.py), frozen when submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max

from controlplane.audit.trail import record
from controlplane.registry.models import Application, Role
from migrations_app import doorbell
from migrations_app.engine.plan import EMPTY_THEN_LOAD, LOAD
from migrations_app.engine.planning.findings import CATALOGUE
from migrations_app.engine.planning.plan_existing_around import FOLLOW, INTEGERS
from migrations_app.models import Finding, MigrationPlan
from migrations_app.models.plan_settings import FLAGS, NUMBERS
from migrations_app.models.states import PlanState
from migrations_app.services.errors import ServiceRefused, Stale
from migrations_app.services.gaps import PLAN, require_described
from migrations_app.services.permissions import require_role

MAKE_PLAN = "migrations_app.make_plan"
LONGEST_CHOICE = 1024  # characters, as the model's field


def request_plan(
    *,
    actor: Any,
    application: Application,
    settings: Mapping[str, Any] | None = None,
    choices: Mapping[str, str] | None = None,
    excluded: Sequence[str] | None = None,
    window_start: datetime | None = None,
    window_end: datetime | None = None,
    window_zone: str = "UTC",
) -> MigrationPlan:
    """Ask for a new revision of the application's plan; a worker on its host makes it."""
    role = require_role(actor, application, (Role.OPS, Role.LEAD), "make a plan")
    require_described(application, PLAN)
    if window_start and window_end and window_start >= window_end:
        raise ServiceRefused("BAD_WINDOW", "The window must end after it starts.", status=400)
    with transaction.atomic():
        last = application.plans.aggregate(last=Max("revision"))["last"] or 0
        plan = MigrationPlan.objects.create(
            application=application,
            revision=last + 1,
            author=actor,
            settings=check_settings(settings or {}),
            choices=dict(choices or {}),
            excluded=list(excluded or []),
            window_start=window_start,
            window_end=window_end,
            window_zone=window_zone,
        )
        record(
            action="plan.created",
            actor=actor,
            role=role,
            obj=plan,
            application=application.name,
            payload={"revision": plan.revision, "choices": plan.choices, "excluded": plan.excluded},
        )
        doorbell.ring(MAKE_PLAN, plan.pk, application.host_queue)
    return plan


def choose(*, actor: Any, plan: MigrationPlan, finding_id: int, choice: str) -> MigrationPlan:
    """Decide a finding: makes a new revision with that choice, since a plan's mapping follows from its choices."""
    finding = plan.findings.get(pk=finding_id)
    choice = choice.strip()
    _refuse_unknown(plan, finding, choice)
    where = f"@{finding.table}" + (f".{finding.column}" if finding.column else "") if finding.table else ""
    with transaction.atomic():
        new = request_plan(
            actor=actor,
            application=plan.application,
            settings=plan.settings,
            choices={**plan.choices, f"{finding.code}{where}": choice},
            excluded=plan.excluded,
            window_start=plan.window_start,
            window_end=plan.window_end,
            window_zone=plan.window_zone,
        )
        MigrationPlan.objects.filter(pk=plan.pk, state=PlanState.DRAFT).update(state=PlanState.SUPERSEDED)
        record(
            action="plan.choice_made",
            actor=actor,
            obj=plan,
            application=plan.application.name,
            payload={"code": finding.code, "table": finding.table, "column": finding.column, "choice": choice},
        )
    return new


def stale_choices(plan: MigrationPlan) -> list[str]:
    """Of a refused revision, the choices that its refusal is about: the source or the target has changed since."""
    if plan.state != PlanState.REFUSED:
        return []
    return [key for key, choice in sorted(plan.choices.items()) if _spoils(plan, key, choice)]


def _spoils(plan: MigrationPlan, key: str, choice: str) -> bool:
    """By the words of the refusals in engine/planning/findings.py."""
    code, _, where = key.partition("@")
    said = plan.error_message
    if plan.error_code == "UNKNOWN_PLACE":
        return repr(key) in said
    if plan.error_code == "UNKNOWN_FINDING":
        return repr(code) in said
    if plan.error_code == "UNKNOWN_CHOICE":
        begins = f"{choice!r} is no choice for {code}"
        return f"{begins}." in said or (f"{begins} at {where}" in said)
    return plan.error_code == "UNKNOWN_COLUMN" and choice.startswith(FOLLOW) and where in said


def drop_choices(*, actor: Any, plan: MigrationPlan, keys: Sequence[str]) -> MigrationPlan:
    """Make a new revision without these choices: the way out when one no longer fits and so the plan is refused."""
    role = require_role(actor, plan.application, (Role.OPS, Role.LEAD), "drop a choice")
    dropped = sorted(set(keys))
    if not dropped or not set(dropped) <= set(plan.choices):
        raise ServiceRefused("UNKNOWN_CHOICE", "Tick a choice of this revision that is to be dropped.", status=400)
    if plan.application.plans.filter(revision__gt=plan.revision).exists():
        raise Stale("There is a newer revision of this plan.")
    with transaction.atomic():
        new = request_plan(
            actor=actor,
            application=plan.application,
            settings=plan.settings,
            choices={key: choice for key, choice in plan.choices.items() if key not in dropped},
            excluded=plan.excluded,
            window_start=plan.window_start,
            window_end=plan.window_end,
            window_zone=plan.window_zone,
        )
        MigrationPlan.objects.filter(pk=plan.pk, state=PlanState.DRAFT).update(state=PlanState.SUPERSEDED)
        record(
            action="plan.choice_dropped",
            actor=actor,
            role=role,
            obj=plan,
            application=plan.application.name,
            payload={"dropped": {key: plan.choices[key] for key in dropped}},
        )
    return new


def _refuse_unknown(plan: MigrationPlan, finding: Finding, choice: str) -> None:
    """Refuse at once what would make the planning fail: a plan that was refused has no findings to choose again on."""
    kind = CATALOGUE[finding.code]
    if not kind.knows(choice, finding.choices) or len(choice) > LONGEST_CHOICE:
        typed = f", or {kind.worded} and columns" if kind.worded else ""
        raise ServiceRefused(
            "UNKNOWN_CHOICE",
            f"{choice[:200]!r} is not a choice for {finding.code}.",
            hint=f"Choose one of: {', '.join(finding.choices)}{typed}.",
            status=400,
        )
    if choice.startswith(FOLLOW) and choice not in finding.choices:
        numbers = _whole_numbers(plan.document or {})
        for where in choice.removeprefix(FOLLOW).split(","):
            if where.strip() not in numbers:
                raise ServiceRefused(
                    "UNKNOWN_COLUMN",
                    f"The sequence {finding.table} can't follow {where.strip()[:200]!r}: no column of whole numbers of"
                    " that name is moved.",
                    hint="Write TABLE.COLUMN as the target spells them; several with commas between.",
                    status=400,
                )


def _whole_numbers(document: Mapping[str, Any]) -> set[str]:
    """TABLE.COLUMN, in the target's names, of all columns of whole numbers that are loaded."""
    return {
        f"{table['target_name']}.{column['target_name']}"
        for table in document.get("tables", [])
        if table["rule"] in (LOAD, EMPTY_THEN_LOAD)
        for column in table["columns"]
        if column["load"] and column["target_type"] in INTEGERS
    }


def submit_plan(*, actor: Any, plan: MigrationPlan, now: datetime) -> None:
    """Freeze a plan. Idempotent for one that is submitted. Call inside the transaction of the run's submission."""
    plan.refresh_from_db()
    if plan.state == PlanState.SUBMITTED:
        return
    missing = plan.findings.filter(severity="refuse", choice="").count()
    if missing:
        raise ServiceRefused(
            "FINDINGS_WITHOUT_CHOICE", f"{missing} findings need a choice first.", hint="Open the plan and choose."
        )
    frozen = MigrationPlan.objects.filter(pk=plan.pk, state=PlanState.DRAFT).update(
        state=PlanState.SUBMITTED, submitted_at=now
    )
    if frozen != 1:
        raise ServiceRefused("PLAN_NOT_READY", f"{plan} is {plan.get_state_display().lower()}.")
    plan.refresh_from_db()
    record(
        action="plan.submitted",
        actor=actor,
        obj=plan,
        application=plan.application.name,
        payload={"revision": plan.revision, "digest": plan.digest},
    )


def plan_difference(plan: MigrationPlan) -> list[str]:
    """What changed against the last revision, a sentence a line; [] for the first."""
    last = (
        plan.application.plans.filter(revision__lt=plan.revision, document__isnull=False).order_by("-revision").first()
    )
    if last is None or plan.document is None or last.document is None:
        return []
    lines = _mapping_difference(last.document, plan.document)
    for key in sorted(set(last.choices) | set(plan.choices)):
        if last.choices.get(key) != plan.choices.get(key):
            lines.append(f"Choice {key}: {last.choices.get(key, 'none')} → {plan.choices.get(key, 'none')}")
    for key in sorted(set(last.settings) | set(plan.settings)):
        if last.settings.get(key) != plan.settings.get(key):
            lines.append(f"Setting {key}: {last.settings.get(key)} → {plan.settings.get(key)}")
    if (last.window_start, last.window_end) != (plan.window_start, plan.window_end):
        lines.append("The window changed.")
    return lines


def check_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with their defaults. Raises ServiceRefused for an unknown name or a value out of bounds."""
    unknown = set(given) - set(NUMBERS) - set(FLAGS)
    if unknown:
        raise ServiceRefused("UNKNOWN_SETTING", f"Unknown settings: {', '.join(sorted(unknown))}.", status=400)
    answer: dict[str, Any] = {}
    for name, (default, lowest, highest) in NUMBERS.items():
        value = given.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise ServiceRefused("BAD_SETTING", f"{name} must be between {lowest} and {highest}.", status=400)
        answer[name] = value
    for name, default_flag in FLAGS.items():
        answer[name] = bool(given.get(name, default_flag))
    return answer


def _mapping_difference(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before, after = _columns(old), _columns(new)
    lines = [f"{name}: new" for name in sorted(after.keys() - before.keys())]
    lines += [f"{name}: gone" for name in sorted(before.keys() - after.keys())]
    lines += [
        f"{name}: {before[name]} → {after[name]}"
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name]
    ]
    return lines


def _columns(document: dict[str, Any]) -> dict[str, str]:
    answer = {}
    for table in document["tables"]:
        answer[table["name"]] = table["rule"]
        for column in table["columns"]:
            answer[f"{table['name']}.{column['name']}"] = f"{column['target_type']} ({column['conversion']})"
    return answer
