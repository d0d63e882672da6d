"""A run at each point of its way, and one person of every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User

from controlplane.registry.models import Application, Role
from migrations_app.models import Gate, MigrationPlan, MigrationRun, RollbackRequest
from migrations_app.models.states import ItemState, PlanState, RunKind, RunState, StepState
from migrations_app.services import break_glass, rollback, runs
from tests import factories as make

# Who stands in the table's columns. The author is a team lead who wrote the plan; the outsider holds every role on
# another application.
PEOPLE = ("anonymous", "outsider", "viewer", "qa", "ops", "lead", "author", "superuser")


@dataclass
class World:
    """The application with its people; `run` is at the point that the scene is named for."""

    application: Application
    people: dict[str, Any]
    plan: MigrationPlan
    run: MigrationRun
    request: RollbackRequest | None = None

    def gate(self, code: str) -> Gate:
        return Gate.objects.select_related("run__application", "run__plan", "step").get(run=self.run, code=code)

    def item(self, **wanted: Any) -> Any:
        return self.run.items.select_related("run__application").filter(**wanted).order_by("position")[0]


def _people(application: Application) -> dict[str, Any]:
    who = make.people(application)
    outsider: User = who.stranger
    make.member(make.application("other"), outsider, Role.LEAD, Role.OPS, Role.QA)
    return {
        "anonymous": AnonymousUser(),
        "outsider": outsider,
        "viewer": who.viewer,
        "qa": who.qa,
        "ops": who.ops,
        "lead": who.lead,
        "author": who.second_lead,
        "superuser": who.boss,
    }


def _world(*, plan_state: str = PlanState.SUBMITTED, findings: int = 0, kind: str = RunKind.PRODUCTION) -> World:
    application = make.application()
    people = _people(application)
    plan = make.plan(application, people["author"], state=plan_state, findings=findings)
    if kind == RunKind.PRODUCTION and not findings:
        make.rehearsed(plan, people["ops"])
    return World(application, people, plan, make.run(plan, people["ops"], kind=kind))


def _at(step: str, state: str, run_state: str) -> World:
    world = _world()
    signers = {"lead": world.people["lead"], "ops": world.people["ops"], "qa": world.people["qa"]}
    make.reach(world.run, step, state=state, run_state=run_state, signers=signers)
    make.people_passed(world.run)
    world.run = MigrationRun.objects.select_related("application", "plan").get(pk=world.run.pk)
    return world


def draft() -> World:
    return _world(plan_state=PlanState.DRAFT)


def undecided() -> World:
    """A draft whose plan still asks for a choice."""
    return _world(plan_state=PlanState.DRAFT, findings=1)


def refused_plan() -> World:
    """A revision that could not be made since a choice no longer fits."""
    world = _world()
    world.plan.state, world.plan.choices = PlanState.REFUSED, {"NUL_IN_TEXT@genzai.memo": "bytea"}
    world.plan.save(update_fields=["state", "choices"])
    return world


def rehearsal() -> World:
    return _world(kind=RunKind.REHEARSAL)


def at_plan() -> World:
    world = _world()
    runs.submit_run(actor=world.people["ops"], run=world.run)
    return world


def approved() -> World:
    world = at_plan()
    make.sign(world.gate("plan"), world.people["lead"], "lead")
    world.run.refresh_from_db()
    return world


def at_go() -> World:
    return _at("gate_go", StepState.PENDING, RunState.WAITING)


def at_qa() -> World:
    return _at("gate_qa", StepState.PENDING, RunState.WAITING)


def measured_badly() -> World:
    """At gate 3, where the integrity check could not try everything."""
    world = at_qa()
    world.run.items.filter(step_name="check_integrity").update(state=ItemState.INCONCLUSIVE)
    return world


def at_sign_off() -> World:
    return _at("gate_sign_off", StepState.PENDING, RunState.WAITING)


def go_signed() -> World:
    """The lead has signed go; ops has not."""
    world = at_go()
    make.sign(world.gate("go"), world.people["lead"], "lead")
    return world


def loading() -> World:
    return _at("load", StepState.RUNNING, RunState.RUNNING)


def held() -> World:
    return _at("export", StepState.FAILED, RunState.HELD)


def rollback_asked() -> World:
    """ops asks to give up an unknown number of rows: a lead must agree."""
    world = at_qa()
    world.request = rollback.request_rollback(
        actor=world.people["ops"], run=world.run, reason="slow", typed_name="yukyu", reauthenticated=True
    )
    return world


def rolled_back_alone() -> World:
    """ops decided it alone: a lead countersigns."""
    world = at_qa()
    world.request = break_glass.break_glass(
        actor=world.people["ops"],
        run=world.run,
        reason="nobody answers",
        typed_name="yukyu",
        understood=True,
        reauthenticated=True,
    )
    return world


def followed() -> World:
    """A live crossing that no run uses: PostgreSQL follows SQLite."""
    world = draft()
    make.replicating(world.run)
    return world


def item_recorded() -> World:
    """QA has recorded a result, which can be opened again."""
    return at_qa()


Scene = Callable[[], World]
