"""An installation in the middle of its life: a crossing, a gate, a held run, a difference, an end, a way back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.contrib.auth.models import User
from django.utils import timezone

from controlplane.people import changes
from controlplane.people.models import AccountChange
from controlplane.registry.models import Application
from migrations_app.models import ChecklistItem, Gate, MigrationPlan, MigrationRun
from migrations_app.models.states import ItemState, PlanState, RunState, StepState
from migrations_app.services import checklist, checklist_items, checklist_templates
from migrations_app.services.certificate.issue import issue_certificate
from migrations_app.services.runs import submit_run
from tests import factories as make
from tests.scene_parts import WATCHED, Shot, another, signers_of, target_with_changes, window
from tests.scenes_monitoring import Night, at_night, keep_alive
from tests.scenes_online import online_shots

DIFFERENCE = {
    "table": "leave_requests",
    "row_key": "[48213]",
    "column": "approved_at",
    "kind": "different",
    "source_value": "2025-03-31 24:00:00",
    "target_value": "2025-04-01 00:00:00",
}

# What people saw, by item; the rest was "looked at".
WAIVED = "V07"
SEEN = {
    "P14": "Pull requests 114 and 118, both reviewed by emi.",
    "P18": "212 unit tests, no failure, build 4711.",
    "P19": "38 integration tests on PostgreSQL, no failure, build 4712.",
    "P20": "6 tests of the pool, no failure, build 4712.",
    "V01": "Opened in 0.8 s in two browsers and on a phone.",
    "V02": "佐藤 太郎, 田中 花子 and 𠮷田 健太 compared with the printed lists.",
    "V09": "Ten times, the slowest took 1.1 s.",
}


UNITS = {"kind": "systemd", "units": ["jinji-web.service", "jinji-nightly.timer"], "manager": "system"}
BEHIND_PROXY = {
    "kind": "blue_green",
    "ports": {"web": 8020},
    "upstream": {
        "file": "/srv/soko/upstreams/soko.conf",
        "template": "upstream soko {\n    server {host}:{port};\n}",
        "process": "web",
        "reload": "nginx-reload",
        "front_port": 80,
    },
}


@dataclass(frozen=True)
class Scenes:
    loading: MigrationRun
    gate: MigrationRun
    go: MigrationRun
    held: MigrationRun
    different: MigrationRun
    done: MigrationRun
    back: MigrationRun
    draft: MigrationRun
    rehearsal: MigrationRun


def make_scenes() -> list[Shot]:
    """Makes the rows, and says which pages show them."""
    first = make.application("yukyu")
    who = make.people(first)
    scenes = Scenes(
        loading=_loading(first, who),
        gate=_at_the_qa_gate(another("zaiko", who, "Stock"), who),
        go=_at_the_go_gate(another("hoken", who, "Insurance"), who),
        held=_held(_own_checklist(another("kintai", who, "Attendance"), who), who),
        different=_different(another("shokudo", who, "Canteen"), who),
        done=_signed_off(another("kyuyo", who, "Payroll"), who),
        back=_rolled_back(another("soko", who, "Warehouse", driver=BEHIND_PROXY), who),
        draft=_draft(another("jinji", who, "People", driver=UNITS), who),
        rehearsal=MigrationRun.objects.filter(application=first, kind="rehearsal").get(),
    )
    User.objects.get_by_natural_key("eve")
    refused = _refused(scenes.back.application, who)
    _resting(scenes.back.application, make.user("fumi"))
    night = at_night(
        burns=scenes.done.application, well=scenes.loading.application, silent=scenes.held.application, who=who
    )
    return [*_shots(scenes), *_more_shots(scenes, refused), *online_shots(who), *_night_shots(night)]


def _shots(at: Scenes) -> list[Shot]:
    loading, gate = f"/runs/{at.loading.pk}/", f"/runs/{at.gate.pk}/"
    return [
        Shot("00-login", "/sign-in/", person=""),
        Shot("01-runs", "/"),
        Shot("01-runs-viewer", "/", person="dora"),
        Shot("02-run-loading", loading),
        Shot("03-run-gate", gate),
        Shot("03-run-gate-qa", gate, person="chika"),
        Shot("03-run-held", f"/runs/{at.held.pk}/"),
        Shot("03-run-tasks", loading, open=("#timetable > summary",)),
        Shot("03-run-go", f"/runs/{at.go.pk}/", person="ben"),
        Shot("03-run-done", f"/runs/{at.done.pk}/"),
        Shot("03-run-back", f"/runs/{at.back.pk}/"),
        Shot("03-run-rehearsal", f"/runs/{at.rehearsal.pk}/"),
        Shot("03-run-draft", f"/runs/{at.draft.pk}/"),
        Shot("04-plan", f"{loading}plan/", open=("#tables details:first-of-type > summary",)),
        Shot("04-plan-findings", f"/runs/{at.draft.pk}/plan/"),
        Shot("05-checklist", f"{gate}checklist/", person="chika"),
        Shot("05-result", f"{gate}checklist/V02/?outcome=passed", person="chika"),
        Shot("05-result-system", f"{gate}checklist/V08/", person="ben"),
        Shot("05-checklist-lead", f"{gate}checklist/", person="ben"),
        Shot("05-template", "/applications/zaiko/checklist/", person="ben"),
        Shot("05-template-own", "/applications/kintai/checklist/", person="chika"),
        Shot("05-template-item", "/applications/kintai/checklist/V01/", person="chika"),
        Shot("06-sign", f"{gate}sign/qa/", person="chika"),
        Shot("06-sign-refused", f"{gate}sign/qa/"),
        Shot("06-sign-go", f"/runs/{at.go.pk}/sign/go/", person="ben"),
        Shot("07-rollback-free", f"{loading}roll-back/"),
        Shot("07-rollback-rows", f"{gate}roll-back/"),
        Shot("07-hold", f"{loading}do/hold/"),
        Shot("08-verification", f"/runs/{at.done.pk}/verification/", person="chika"),
        Shot("08-verification-different", f"/runs/{at.different.pk}/verification/", person="chika"),
        Shot("09-evidence", f"/runs/{at.done.pk}/evidence/"),
        Shot("09-certificate", f"/runs/{at.done.pk}/certificate/"),
        Shot("09-certificate-back", f"/runs/{at.back.pk}/certificate/"),
        Shot("09-mails", "/settings/mails/", person="ben"),
        Shot("10-applications", "/applications/"),
        Shot("10-application", "/applications/yukyu/"),
        Shot("10-application-new", "/applications/new/"),
        Shot("10-application-source", "/applications/jinji/change/source/"),
        Shot("10-application-target", "/applications/jinji/change/target/"),
        Shot("10-application-processes", "/applications/jinji/change/processes/"),
        Shot("10-application-driver", "/applications/jinji/change/driver/"),
        Shot("10-application-driver-proxy", "/applications/soko/change/driver/"),
        Shot("10-application-health", "/applications/jinji/change/health/"),
        Shot("10-application-depends", "/applications/yukyu/change/pointing/"),
        Shot("10-application-people", "/applications/yukyu/people/", person="boss"),
        Shot("10-new-plan", "/applications/yukyu/plan/"),
        Shot("10-new-run", "/runs/new/"),
        Shot("11-audit", "/audit/"),
        Shot("11-audit-run", f"{gate}audit/"),
        Shot("12-empty", "/", person="eve"),
        Shot("12-not-found", "/runs/9999/"),
        Shot("13-admin", "/admin/", person="boss"),
        Shot("13-admin-runs", "/admin/migrations_app/migrationrun/", person="boss"),
        Shot("13-admin-run", f"/admin/migrations_app/migrationrun/{at.loading.pk}/change/", person="boss"),
        Shot("13-admin-history", f"/admin/migrations_app/migrationrun/{at.gate.pk}/history/", person="boss"),
        Shot("13-admin-audit", "/admin/audit/auditevent/", person="boss"),
        Shot("13-admin-application", f"/admin/registry/application/{at.loading.application_id}/change/", person="boss"),
    ]


def _more_shots(at: Scenes, refused: MigrationPlan) -> list[Shot]:
    """Accounts, what was refused, what is proved again."""
    again = "summary:has-text('Prove it again')"
    return [
        Shot("04-plan-refused", f"/plans/{refused.pk}/"),
        Shot("05-result-again", f"/runs/{at.gate.pk}/checklist/V08/", person="chika", open=(again,)),
        Shot("10-application-people-rests", f"/applications/{at.back.application.name}/people/", person="boss"),
        Shot("16-password", "/settings/password/"),
        Shot("16-password-rests", "/settings/password/", person="fumi"),
        Shot("16-second-factor", "/settings/second-factor/"),
    ]


def _night_shots(night: Night) -> list[Shot]:
    of, alert = f"/health/{night.application}/", f"/alerts/{night.alert.pk}/"
    shots = [
        Shot("14-health", "/health/"),
        Shot("14-health-empty", "/health/", person="eve"),
        Shot("14-target", of),
        Shot("14-target-sides", f"{of}?sides=1"),
        Shot("14-target-viewer", of, person="dora"),
        Shot("14-target-week", f"{of}?range=7d"),
        Shot("14-target-silent", f"/health/{night.silent}/"),
        Shot("14-target-well", f"/health/{night.well}/"),
        Shot("14-queries", f"{of}queries/"),
        Shot("14-advice", f"{of}advice/"),
        Shot("14-daily", f"{of}daily/"),
        Shot("14-rules", f"{of}rules/"),
        Shot("14-rule", f"{of}rules/query-time/"),
        Shot("14-rule-tried", f"{of}rules/query-time/", open=("button[value=preview]",)),
        Shot("14-settings", f"{of}settings/"),
        Shot("15-alerts", "/alerts/"),
        Shot("15-alerts-viewer", "/alerts/", person="dora"),
        Shot("15-alerts-empty", "/alerts/", person="eve"),
        Shot("15-alert", alert),
        Shot("15-silence", f"{of}silence/?rule=query-time"),
        Shot("15-silences", "/alerts/silences/"),
        Shot("15-recipients", "/alerts/recipients/"),
        Shot("15-recipients-of", f"{of}recipients/"),
        Shot("15-mails", "/alerts/mails/"),
    ]
    return [replace(shot, fresh=keep_alive) for shot in shots]


def _crossing(of: Application, who: make.People, **fields: object) -> tuple[MigrationPlan, MigrationRun]:
    plan = make.plan(of, who.second_lead, state=PlanState.SUBMITTED, **window(), **fields)
    make.rehearsed(plan, who.ops)
    return plan, make.run(plan, who.ops)


def _loading(of: Application, who: make.People) -> MigrationRun:
    plan, run = _crossing(of, who)
    make.finding(
        plan,
        code="NAIVE_AS_UTC",
        severity="warn",
        table="leave_requests",
        column="approved_at",
        count=412,
        message="Times without a zone go into a column with one: they are taken as UTC.",
        choices=["utc"],
        row_key="",
    )
    make.load_progress(make.reach(run, "load", minutes=19, signers=signers_of(who)))
    make.reality(run, up=False)
    return run


def _at_the_qa_gate(of: Application, who: make.People) -> MigrationRun:
    url = target_with_changes(of)
    of.target_url = url
    of.save()
    _, run = _crossing(of, who, tables=WATCHED)
    make.reach(run, "gate_qa", run_state=RunState.WAITING, minutes=52, signers=signers_of(who))
    make.people_passed(run, "prepare")
    make.verified(run)
    make.reality(run, dialect="postgresql")
    for code, outcome, note in (
        ("V01", ItemState.PASSED, "Opened in 0.8 s on the office machine and on a phone."),
        ("V05", ItemState.FAILED, "The chart of ukeoi by month is empty; the numbers below it are there."),
        ("V06", ItemState.PASSED, "2023, 2024 and 2025 each show what SQLite showed."),
    ):
        item = ChecklistItem.objects.get(run=run, code=code)
        checklist.record_result(actor=who.qa, item=item, outcome=outcome, note=note)
    _system_saw(run, "V08", ItemState.FAILED, "p95 612 ms, limit 500 ms; slower: employees")
    _system_saw(run, "V12", ItemState.INCONCLUSIVE, "No pattern is declared for an encrypted column.")
    make.event("gate.opened", "system", run, gate="qa")
    return MigrationRun.objects.get(pk=run.pk)


def _system_saw(run: MigrationRun, code: str, state: str, said: str) -> None:
    """As a step would have left it."""
    item = ChecklistItem.objects.get(run=run, code=code)
    evidence = {"step": item.step_name, "message": said, "output": [{"name": "employees", "p95_ms": 612.4}]}
    checklist_items.change_item(item=item, state=state, evidence=evidence, by="system", now=timezone.now())


def _own_checklist(of: Application, who: make.People) -> Application:
    """Copied, an item added, one left out."""
    version = checklist_templates.copy_template(actor=who.lead, application=of, reason="We have pages of our own.")
    item = {
        "code": "Q01",
        "phase": "verification",
        "section": "Ours",
        "title": "Overtime of three people is right",
        "criterion": "Compared with last month's sheet.",
        "level": "mandatory",
    }
    version = checklist_templates.add_item(
        actor=who.qa, application=of, number=version.number, item=item, reason="Payroll reads it."
    )
    checklist_templates.remove_item(
        actor=who.qa, application=of, number=version.number, code="C12", reason="No search in this application."
    )
    return of


def _at_the_go_gate(of: Application, who: make.People) -> MigrationRun:
    _, run = _crossing(of, who)
    make.reach(run, "gate_go", run_state=RunState.WAITING, minutes=24, signers=signers_of(who))
    make.people_passed(run, "prepare")
    make.reality(run)
    gate = Gate.objects.select_related("run__application", "run__plan", "step").get(run=run, code="go")
    make.sign(gate, who.ops, "ops", "Rehearsed this morning, the window is open.")
    return run


def _held(of: Application, who: make.People) -> MigrationRun:
    """Past its last safe moment: the window ends in a minute, a rollback takes two."""
    plan, run = _crossing(of, who)
    MigrationPlan.objects.filter(pk=plan.pk).update(**window(hours=1 / 60))
    make.reach(run, "load", state=StepState.FAILED, run_state=RunState.HELD, minutes=34, signers=signers_of(who))
    reason = "Load: PostgreSQL closed the connection while the table shifts was loaded."
    MigrationRun.objects.filter(pk=run.pk).update(held_reason=reason)
    make.reality(run, up=False)
    return run


def _different(of: Application, who: make.People) -> MigrationRun:
    _, run = _crossing(of, who)
    make.reach(run, "verify", state=StepState.FAILED, run_state=RunState.HELD, minutes=34, signers=signers_of(who))
    make.verified(run, differences=[DIFFERENCE])
    MigrationRun.objects.filter(pk=run.pk).update(held_reason="Verify: one value differs.")
    return run


def _signed_off(of: Application, who: make.People) -> MigrationRun:
    _, run = _crossing(of, who)
    _people_recorded(run, who)
    make.complete(run, minutes=140, signers=signers_of(who))
    make.verified(run)
    checklist_items.derive_items(run, timezone.now())
    issue_certificate(run_id=run.pk, now=timezone.now())
    return run


def _people_recorded(run: MigrationRun, who: make.People) -> None:
    """Each item of people's, by the service, with what they saw; one is waived, as a certificate may have to say."""
    for item in run.items.exclude(prover="system"):
        if item.code == WAIVED:
            checklist.waive_item(actor=who.lead, item=item, reason="No printer at this site; payslips go by mail.")
            continue
        by = who.qa if item.prover == "qa" else who.ops
        note = SEEN.get(item.code, "Looked at, as the criterion says.")
        checklist.record_result(actor=by, item=item, outcome=ItemState.PASSED, note=note)


def _rolled_back(of: Application, who: make.People) -> MigrationRun:
    _, run = _crossing(of, who)
    make.reach(run, "check_application", state=StepState.FAILED, minutes=30, signers=signers_of(who))
    make.verified(run)
    now = timezone.now()
    MigrationRun.objects.filter(pk=run.pk).update(state=RunState.ROLLED_BACK, finished_at=now, up_since=now)
    issue_certificate(run_id=run.pk, now=now)
    return run


def _refused(of: Application, who: make.People) -> MigrationPlan:
    """The way back taken, the source was mended: a choice of the first revision names a column that is gone."""
    stale = "VALUE_DOES_NOT_FIT@shifts.minutes"
    plan = make.plan(
        of,
        who.second_lead,
        state=PlanState.REFUSED,
        choices={stale: "skip_rows", "NAIVE_AS_UTC": "utc"},
        error_code="UNKNOWN_PLACE",
        error_message=f"The choice {stale!r} names no table or column of the source.",
    )
    MigrationPlan.objects.filter(pk=plan.pk).update(document=None, digest="")  # a refused one has none
    return plan


def _resting(of: Application, person: User) -> None:
    """Somebody whose password was set by the administrator a moment ago."""
    make.member(of, person, "qa")
    changes.note(person=person, what=AccountChange.What.PASSWORD, by="boss")


def _draft(of: Application, who: make.People) -> MigrationRun:
    plan = make.plan(of, who.ops, findings=2)
    make.finding(
        plan,
        severity="warn",
        code="TRIGGER_NOT_CARRIED",
        column="",
        row_key="",
        count=0,
        choices=[],
        message="Triggers are listed with their source, not translated.",
    )
    return make.run(plan, who.ops)


def submitted(of: Application, who: make.People) -> MigrationRun:
    """A production run that waits for gate 1."""
    plan = make.plan(of, who.second_lead)
    run = make.run(plan, who.ops)
    submit_run(actor=who.ops, run=run)
    return MigrationRun.objects.get(pk=run.pk)
