"""Who may do what: every address and every service that changes something. docs/reference/permissions.md is this table.

A new address or service without a row here fails a test: add the row, then write the page anew with
`python -m tests.permissions.page`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from migrations_app.services.evidence import evidence_digest
from tests import factories as make
from tests.permissions import monitoring
from tests.permissions import world as scenes
from tests.permissions.world import World

MEMBERS = ("viewer", "qa", "ops", "lead", "author")
SIGNED_IN = ("outsider", *MEMBERS, "superuser")
SEES = (*MEMBERS, "superuser")
DECIDERS = ("ops", "lead", "author")
LEADS = ("lead", "author")


@dataclass(frozen=True)
class Row:
    """One thing that can be done at an address. may: who can; everyone else is refused.

    data: what is sent; None: the page is opened. writes: it leaves an event in the trail; None: now and then.
    absent: whoever may not finds nothing there (404) instead of being told who can.
    outside: what people of other applications find.
    """

    name: str
    does: str
    may: tuple[str, ...]
    scene: scenes.Scene
    args: Callable[[World], list[Any]] = lambda world: [world.run.pk]
    data: Callable[[World], dict[str, Any]] | None = None
    writes: bool | None = True
    absent: bool = False
    outside: str = "absent"

    @property
    def is_of_an_application(self) -> bool:
        return "outsider" not in self.may


def _none(world: World) -> list[Any]:
    return []


def _name(world: World) -> list[Any]:
    return [world.application.name]


def _of_gate(code: str) -> Callable[[World], list[Any]]:
    return lambda world: [world.run.pk, code]


def _signature(code: str, role: str) -> Callable[[World], dict[str, Any]]:
    return lambda world: {
        "do": "sign",
        "role": role,
        "reason": "Looked at it.",
        "plan_digest": world.plan.digest,
        "evidence_digest": evidence_digest(world.run),
        "typed_name": "yukyu",
        "password": make.PASSWORD,
    }


def _sent(**fields: Any) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"password": make.PASSWORD, **fields}


def _page(name: str, does: str, **more: Any) -> Row:
    return Row(name, does, SEES, more.pop("scene", scenes.loading), **more)


def _open(name: str, does: str, **more: Any) -> Row:
    return Row(name, does, SIGNED_IN, scenes.loading, args=_none, **more)


def _action(action: str, does: str, may: tuple[str, ...], scene: scenes.Scene) -> Row:
    return Row("run_action", does, may, scene, args=_of_gate(action), data=_sent(reason="It is time."))


def _sign(code: str, role: str, may: tuple[str, ...], scene: scenes.Scene, title: str) -> Row:
    return Row("run_sign", f"sign {title}", may, scene, args=_of_gate(code), data=_signature(code, role))


def _first(prover: str) -> Callable[[World], list[Any]]:
    return lambda world: [world.run.pk, world.item(prover=prover).code]


_RESULT = _sent(do="record", outcome="passed", note="Opened it and compared it with yesterday.")

# Sections as they stand on the page; each row is tried for everyone.
SECTIONS: dict[str, tuple[Row, ...]] = {
    "Pages": (
        _open("runs", "see the runs of one's own applications"),
        _open("run_new", "open the form of a new run"),
        _open("applications", "see one's own applications"),
        _open("audit", "see the trail of one's own applications"),
        _open("mail_settings", "see one's own mails"),
        _open("second_factor", "see one's own second factor"),
        _open("password", "see the form for one's own password"),
        _page("run", "see a run"),
        _page("run_live", "follow a run"),
        _page("run_plan", "see its plan"),
        _page("plan", "see a plan", args=lambda world: [world.plan.pk]),
        _page("run_checklist", "see its checklist"),
        _page("run_result", "see an item", args=_first("qa")),
        _page("run_sign", "see what a gate asks for", args=_of_gate("go")),
        _page("run_action", "see what an action would do", args=_of_gate("hold")),
        _page("run_rollback", "see what a rollback costs"),
        _page("run_verification", "see the verification"),
        _page("run_evidence", "see the evidence"),
        _page("run_audit", "see its trail"),
        _page("application", "see an application", args=_name),
        _page("application_people", "see who holds which role", args=_name),
        _page("application_change", "see a section of its description", args=lambda world: ["yukyu", "basics"]),
        _page("checklist_template", "see its checklist's template", args=_name),
        _page("plan_new", "open the form of a new plan", args=_name),
        _page("application_replication", "see its replication", args=_name, scene=scenes.followed),
    ),
    "Plans and runs": (
        Row(
            "plan_new",
            "ask for a plan",
            DECIDERS,
            scenes.loading,
            args=_name,
            data=_sent(soak_minutes="60", endpoint_limit_ms="500"),
        ),
        Row(
            "plan_choose",
            "decide a finding",
            DECIDERS,
            scenes.undecided,
            args=lambda world: [world.plan.pk],
            data=lambda world: {"finding": world.plan.findings.get().pk, "choice": "skip_rows"},
        ),
        Row(
            "plan_drop",
            "drop a choice that no longer fits",
            DECIDERS,
            scenes.refused_plan,
            args=lambda world: [world.plan.pk],
            data=_sent(key="NUL_IN_TEXT@genzai.memo"),
        ),
        Row(
            "run_new",
            "draft a run",
            DECIDERS,
            scenes.draft,
            args=_none,
            data=lambda world: {"plan": world.plan.pk, "kind": "rehearsal"},
            outside="status 400",  # the plan is none of those that can be chosen
        ),
        _action("submit", "submit a run for approval", DECIDERS, scenes.draft),
        _action("start", "start an approved run", ("ops",), scenes.approved),
        _action("hold", "hold a run", DECIDERS, scenes.loading),
        _action("resume", "resume a held run", ("ops",), scenes.held),
        _action("retry", "do a stopped step again", ("ops",), scenes.held),
        _action("cancel", "cancel a run that has not begun", DECIDERS, scenes.draft),
        _action("fail", "give up a held run before the stop", DECIDERS, scenes.held),
    ),
    "Gates": (
        _sign("plan", "lead", ("lead",), scenes.at_plan, "gate 1 as team lead"),
        _sign("go", "lead", LEADS, scenes.at_go, "gate 2 as team lead"),
        _sign("go", "ops", ("ops",), scenes.at_go, "gate 2 as ops"),
        _sign("qa", "qa", ("qa",), scenes.at_qa, "gate 3 as QA"),
        _sign("sign_off", "lead", LEADS, scenes.at_sign_off, "gate 4 as team lead"),
        _sign("sign_off", "qa", ("qa",), scenes.at_sign_off, "gate 4 as QA"),
        _sign("sign_off", "ops", ("ops",), scenes.at_sign_off, "gate 4 as ops"),
        Row(
            "run_sign",
            "refuse gate 1",
            LEADS,
            scenes.at_plan,
            args=_of_gate("plan"),
            data=_sent(do="refuse", role="lead", reason="The window is too short."),
        ),
        Row(
            "run_sign",
            "refuse gate 3",
            ("qa",),
            scenes.at_qa,
            args=_of_gate("qa"),
            data=_sent(do="refuse", role="qa", reason="A chart is empty."),
        ),
        Row(
            "run_sign",
            "take a signature back (the signer: here the team lead)",
            ("lead",),
            scenes.go_signed,
            args=_of_gate("go"),
            data=_sent(do="withdraw", reason="Saw something."),
            absent=True,
        ),
    ),
    "Rollback": (
        Row(
            "run_rollback",
            "roll back where nothing is lost",
            DECIDERS,
            scenes.loading,
            data=_sent(do="request", reason="Too slow.", typed_name="yukyu"),
        ),
        Row(
            "run_rollback",
            "ask for a rollback that costs rows",
            DECIDERS,
            scenes.at_qa,
            data=_sent(do="request", reason="Too slow.", typed_name="yukyu"),
        ),
        Row("run_rollback", "agree to it (ops asked)", LEADS, scenes.rollback_asked, data=_sent(do="agree")),
        Row(
            "run_rollback",
            "refuse or withdraw it",
            DECIDERS,
            scenes.rollback_asked,
            data=_sent(do="refuse", reason="It is fast again."),
        ),
        Row(
            "run_rollback",
            "break the glass: decide it alone",
            DECIDERS,
            scenes.at_qa,
            data=_sent(do="break_glass", reason="Nobody answers.", typed_name="yukyu", understood="on"),
        ),
        Row(
            "run_rollback",
            "countersign it (ops decided alone)",
            LEADS,
            scenes.rolled_back_alone,
            data=_sent(do="countersign", reason="The delta is complete."),
        ),
        Row(
            "application_replication",
            "end a replication that no run uses",
            ("ops",),
            scenes.followed,
            args=_name,
            data=_sent(reason="We cross offline.", typed_name="yukyu"),
        ),
    ),
    "Checklist": (
        Row("run_result", "record what QA proves", ("qa",), scenes.at_qa, args=_first("qa"), data=_RESULT),
        Row("run_result", "record what ops prove", DECIDERS, scenes.at_qa, args=_first("ops"), data=_RESULT),
        Row(
            "run_result",
            "open QA's item again",
            ("qa",),
            scenes.at_qa,
            args=_first("qa"),
            data=_sent(do="reopen", reason="Looked at the wrong page."),
        ),
        Row(
            "run_result",
            "have a system's item proved again",
            ("qa", "ops"),
            scenes.measured_badly,
            args=lambda world: [world.run.pk, world.item(step_name="check_integrity").code],
            data=_sent(do="again", reason="The index was mended."),
        ),
        Row(
            "run_checklist_seen",
            "remember what one has seen",
            SEES,
            scenes.loading,
            data=_sent(at="2026-03-01T12:00:00+00:00"),
            writes=False,
        ),
        Row(
            "checklist_template",
            "copy the checklist for a team",
            ("qa", *LEADS),
            scenes.loading,
            args=_name,
            data=_sent(do="copy", number="0", reason="Ours has more pages."),
        ),
    ),
    "Applications and roles": (
        Row(
            "application_people",
            "give a role",
            ("superuser",),
            scenes.loading,
            args=_name,
            data=_sent(person="dora", role="qa"),
        ),
    ),
    **monitoring.sections(Row, signed_in=SIGNED_IN, sees=SEES, may=DECIDERS),
    "Oneself": (
        Row("theme", "switch the theme", (*SIGNED_IN, "anonymous"), scenes.loading, _none, _sent(), writes=False),
        Row("logout", "sign out", (*SIGNED_IN, "anonymous"), scenes.loading, _none, _sent(), writes=False),
        Row("second_factor", "add an authenticator", SIGNED_IN, scenes.loading, _none, _sent(do="begin"), writes=False),
        Row(
            "password",
            "change one's own password",
            SIGNED_IN,
            scenes.loading,
            _none,
            _sent(new_password="known-to-one-alone", again="known-to-one-alone"),
        ),
        Row("mail_settings", "choose one's mails", SIGNED_IN, scenes.loading, _none, _sent(), writes=None),
        Row("audit_verify", "verify the trail", SIGNED_IN, scenes.loading, _none, _sent()),
        Row(
            "audit_export",
            "export the trail (and who has that right as an account)",
            ("superuser",),
            scenes.loading,
            _none,
            _sent(),
            outside="no",
        ),
    ),
}
ROWS = tuple(row for section in SECTIONS.values() for row in section)

# Addresses that a row can't show in one request, with the test that holds them.
ELSEWHERE = {
    "login": "open to everyone; tests/migrations_app/views/test_session.py",
    "login_code": "after a right password; tests/migrations_app/views/test_second_factor.py",
    "told_*": "whoever holds the signed link of a mail; tests/monitoring_app/views/test_links.py",
    "healthz": "open to everyone; tests/monitoring_app/test_views.py",
    "readyz": "open to everyone, details for the token; tests/monitoring_app/test_views.py",
    "metrics": "for the token; tests/monitoring_app/test_views.py",
    "run_certificate*": "members, once the run is over; tests/migrations_app/views",
    "run_bundle": "members, once the run is over; tests/migrations_app/views",
    "run_file": "members; tests/migrations_app/views",
    "alert_mail_again": "ops and leads of its application; tests/monitoring_app/views/test_pages.py",
    "mail_again": "ops and leads of its application; tests/migrations_app/services/test_sent_again.py",
    "application_new": "ops and superusers; tests/migrations_app/views/test_applications.py",
    "application_check": "ops and superusers; tests/migrations_app/views/test_applications.py",
    "application_look": "ops and superusers; tests/migrations_app/views/test_applications.py",
    "checklist_template_item": "QA and leads; tests/migrations_app/views",
    "admin:*": "staff look on, services rule; tests/migrations_app/test_admin.py",
}
