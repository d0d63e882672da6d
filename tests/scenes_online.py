"""A live crossing at its points: followed, switched with the way back open, ended, broken, in doubt, fallen back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from controlplane.registry.models import Application
from migrations_app.models import Gate, MigrationPlan, MigrationRun, Replication, RunStep
from migrations_app.models.states import GateState, PlanState, RunState, StepState, Strategy
from migrations_app.services.certificate.issue import issue_certificate
from tests import factories as make
from tests.scene_parts import WATCHED, Shot, another, signers_of, target_with_changes, window

OBSTACLES = [
    {
        "code": "ONLINE_NO_KEY",
        "table": "audit_log",
        "message": "audit_log has no primary key and no UNIQUE index of NOT NULL columns: its rows can't be followed. "
        "Give it a key, or leave the table out. Move with the strategy offline otherwise.",
    },
    {
        "code": "ONLINE_VIRTUAL_TABLE",
        "table": "search",
        "message": "search is a virtual table: writes to it can't be seen, nor kept off. Move offline.",
    },
]
MEND = [
    {
        "code": "ONLINE_NO_APPLIER_RIGHT",
        "message": "The target's role may not apply rows without firing the application's own triggers and foreign "
        "keys: the preflight refuses that. An administrator gives the right:",
        "line": 'GRANT SET ON PARAMETER session_replication_role TO "choubo";',
    },
]
NOTES = [
    {
        "code": "SPELLING",
        "table": "shifts",
        "column": "starts_at",
        "message": "values written on PostgreSQL come back in the form of most others (41 are written otherwise, and "
        "stay).",
    },
]
DOUBT = {
    "live": "nobody",
    "sqlite": "fenced",
    "postgresql": "taken_over",
    "configuration": "sqlite",
    "queue": 0,
    "lag": 0,
    "action": "finish_crossing",
    "sentence": "SQLite is closed and PostgreSQL holds all: it is started there.",
}


@dataclass(frozen=True)
class Online:
    following: MigrationRun
    after: MigrationRun
    ended: MigrationRun
    broken: MigrationRun
    doubt: MigrationRun
    back: MigrationRun


def online_shots(who: make.People) -> list[Shot]:
    """Makes the rows, and says which pages show them."""
    at = Online(
        following=_following(another("tenki", who, "Weather"), who),
        after=_after(another("haiso", who, "Delivery"), who),
        ended=_way_back_ended(another("yoyaku", who, "Booking"), who),
        broken=_broken(another("shiire", who, "Purchasing"), who),
        doubt=_in_doubt(another("kaikei", who, "Accounts"), who),
        back=_fallen_back(another("tenpo", who, "Shops"), who),
    )
    refused = _refused(another("kensaku", who, "Search"), who)
    mended = _told(another("choubo", who, "Books"), who, online_mend=MEND)
    told = _told(another("meibo", who, "Members"), who, online_notes=NOTES)

    def fresh() -> None:
        Replication.objects.exclude(application=at.broken.application).update(seen_at=timezone.now())

    def shot(name: str, run: MigrationRun, rest: str = "", **more: Any) -> Shot:
        return Shot(f"17-online-{name}", f"/runs/{run.pk}/{rest}", fresh=fresh, **more)

    return [
        shot("following", at.following),
        shot("following-lead", at.following, person="ben"),
        shot("sign", at.following, "sign/go/", person="ben"),
        shot("after", at.after),
        shot("after-table", at.after, open=("#times-table > summary",)),
        shot("roll-back", at.after, "roll-back/"),
        shot("ended", at.ended),
        shot("ended-roll-back", at.ended, "roll-back/"),
        shot("broken", at.broken),
        shot("doubt", at.doubt),
        shot("back", at.back),
        shot("certificate", at.back, "certificate/"),
        shot("verification", at.after, "verification/", person="chika"),
        shot("checklist", at.after, "checklist/", person="chika"),
        Shot("17-replication", f"/applications/{at.back.application.name}/replication/", fresh=fresh),
        Shot("17-replication-live", f"/applications/{at.after.application.name}/replication/", fresh=fresh),
        Shot("17-replication-viewer", f"/applications/{at.back.application.name}/replication/", "dora", fresh=fresh),
        Shot("17-new-run", "/runs/new/?application=tenki"),
        Shot("17-new-run-refused", "/runs/new/?application=kensaku"),
        Shot("17-plan-refused", f"/plans/{refused.pk}/"),
        Shot("17-plan-mend", f"/plans/{mended.pk}/"),
        Shot("17-plan-notes", f"/plans/{told.pk}/"),
    ]


def _crossing(of: Application, who: make.People, **fields: Any) -> MigrationRun:
    plan = make.plan(of, who.second_lead, state=PlanState.SUBMITTED, **window(), **fields)
    make.rehearsed(plan, who.ops, strategy=Strategy.ONLINE)
    return make.run(plan, who.ops, strategy=Strategy.ONLINE)


def _following(of: Application, who: make.People) -> MigrationRun:
    """At gate 2: copied, compared, twelve rows behind."""
    run = _crossing(of, who)
    make.reach(run, "gate_go", run_state=RunState.WAITING, minutes=24, signers=signers_of(who))
    make.people_passed(run, "prepare")
    make.verified(run)
    row = make.replicating(run)
    make.reality(run, crossing={**row.facts, "lag": 12})
    gate = Gate.objects.select_related("run__application", "run__plan", "step").get(run=run, code="go")
    make.sign(gate, who.ops, "ops", "Twelve rows behind, the window is open.")
    return run


def _switched(of: Application, who: make.People, **fields: Any) -> MigrationRun:
    of.target_url = target_with_changes(of)
    of.save()
    run = _crossing(of, who, tables=WATCHED)
    make.reach(run, "gate_qa", run_state=RunState.WAITING, minutes=38, signers=signers_of(who))
    make.people_passed(run, "prepare")
    make.verified(run)
    make.endpoint_times(run, slow=fields.pop("slow", ()))
    row = make.replicating(run, back=True, **fields)
    make.reality(run, dialect="postgresql", crossing={**row.facts, "queue": row.queue_rows})
    return MigrationRun.objects.get(pk=run.pk)


def _after(of: Application, who: make.People) -> MigrationRun:
    return _switched(of, who, queue_rows=214, flowed_rows=1_820)


def _way_back_ended(of: Application, who: make.People) -> MigrationRun:
    """A value came that SQLite's column can't hold as it was."""
    reason = "leave_requests.approved_at of row [48213] has microseconds; the column's form in SQLite has none."
    closed = timezone.now() - timedelta(minutes=4)
    return _switched(
        of, who, slow=("charts",), state="paused", direction="none", queue_rows=214, window_open=False,
        window_since=closed, window_reason=f"The way back has ended: {reason}",
    )  # fmt: skip


def _broken(of: Application, who: make.People) -> MigrationRun:
    """Before gate 2: the file was restored under the follower's feet."""
    run = _crossing(of, who)
    make.reach(run, "catch_up", state=StepState.FAILED, run_state=RunState.HELD, minutes=20, signers=signers_of(who))
    said = {
        "error_code": "LOG_WENT_BACK",
        "error_message": "The log of changes is shorter than what was applied: the file was restored or swapped.",
        "error_hint": "Copy anew: end the replication, then begin the run again.",
    }
    RunStep.objects.filter(run=run, name="catch_up").update(**said)
    make.replicating(run, state="broken", lag_rows=None, lag_seconds=None, checked_at=None, head=11_020, **said)
    MigrationRun.objects.filter(pk=run.pk).update(held_reason=f"Catch up: {said['error_message']}")
    make.reality(run)
    return run


def _in_doubt(of: Application, who: make.People) -> MigrationRun:
    """Killed between the fence and the configuration: nobody is live."""
    run = _crossing(of, who)
    make.reach(run, "cut_over", state=StepState.IN_DOUBT, run_state=RunState.HELD, minutes=30, signers=signers_of(who))
    MigrationRun.objects.filter(pk=run.pk).update(held_reason="Cut over: its worker fell silent.")
    make.replicating(run, state="paused", direction="none", facts=DOUBT, lag_rows=0)
    make.reality(run, up=False, crossing=DOUBT)
    return run


def _fallen_back(of: Application, who: make.People) -> MigrationRun:
    """On SQLite again with every write; PostgreSQL goes on following."""
    run = _crossing(of, who)
    make.reach(run, "gate_qa", run_state=RunState.WAITING, minutes=50, signers=signers_of(who))
    make.verified(run)
    now = timezone.now()
    MigrationRun.objects.filter(pk=run.pk).update(state=RunState.ROLLED_BACK, finished_at=now)
    Gate.objects.filter(run=run, state=GateState.OPEN).update(state=GateState.CLOSED)
    make.replicating(run, head=18_411, lag_rows=0, lag_seconds=0.0)
    issue_certificate(run_id=run.pk, now=now)
    return MigrationRun.objects.get(pk=run.pk)


def _refused(of: Application, who: make.People) -> MigrationPlan:
    """A plan that can't cross online."""
    plan = make.plan(of, who.second_lead)
    plan.profile = {**plan.profile, "online": OBSTACLES}
    plan.save(update_fields=["profile"])
    return plan


def _told(of: Application, who: make.People, **looked: Any) -> MigrationPlan:
    """A plan whose worker looked at all of it, and has something to tell."""
    plan = make.plan(of, who.second_lead)
    plan.profile = {**plan.profile, "online": [], "online_forms": {"learned": True, "why": ""}, **looked}
    plan.save(update_fields=["profile"])
    return plan
