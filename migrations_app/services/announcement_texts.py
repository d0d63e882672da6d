"""What a mail about a run says: its subject, its sentence, its few facts and the one link that matters.

Plain text from states, titles and what people wrote as their reason. What a step answered is never quoted: it may
name a row or a value, and mails travel in the open; its title and its code are enough to know where to look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from controlplane.mail.models import MailTopic
from controlplane.registry.models import Role
from migrations_app.models import Gate, MigrationRun
from migrations_app.models.states import STEP_HOLDS_RUN, GateCode, Price, RunState, Strategy

Facts = tuple[tuple[str, str], ...]
Detail = Mapping[str, Any]
REASON_LIMIT = 400


@dataclass(frozen=True)
class Text:
    """todo: what the reader should do, the end of the subject. path: the page of the one link."""

    todo: str
    sentence: str
    facts: Facts
    link_label: str
    path: str
    tone: str = "live"  # live, good, care, alarm: the colour of the HTML mail's edge


@dataclass(frozen=True)
class Kind:
    """A kind of event: the topic that people switch, and how its text is made."""

    topic: MailTopic
    write: Callable[[MigrationRun, str, Detail], Text]


def _gate_opened(run: MigrationRun, actor: str, detail: Detail) -> Text:
    gate = _gate(run, detail)
    signed = ", ".join(_signed(gate)) or "nobody yet"
    facts: Facts = (("Signed so far", signed),)
    if gate.code == GateCode.GO and run.plan.window_end:
        facts = (*facts, ("Window ends", f"{run.plan.window_end:%Y-%m-%d %H:%M} UTC"))
    return Text(
        f"sign {_named(gate)} of run {run.pk}",
        f"{_named(gate)} of run {run.pk} waits for your signature.",
        facts,
        "Review and sign",
        _sign_page(run, gate),
    )


def _signature_ended(run: MigrationRun, actor: str, detail: Detail) -> Text:
    gate = _gate(run, detail)
    what = "withdrew the signature" if detail.get("withdrawn") else "is no longer signed: the signature lapsed"
    return Text(
        f"sign {_named(gate)} of run {run.pk} again",
        f"{detail.get('signer') or 'Somebody'} {what} as {_role(detail)}. The gate waits for that signature again.",
        _reason(detail),
        "Look and sign",
        _sign_page(run, gate),
        "care",
    )


def _gate_passed(run: MigrationRun, actor: str, detail: Detail) -> Text:
    gate = _gate(run, detail)
    if gate.code == GateCode.PLAN:
        todo, then = f"start run {run.pk} when you are ready", "The run is approved; ops can start it."
    elif gate.code == GateCode.GO:
        online = "Writes wait for a moment, then the application is restarted on PostgreSQL."
        offline = "The application is stopped and the crossing begins."
        todo, then = f"run {run.pk} goes: watch it", online if run.strategy == Strategy.ONLINE else offline
    elif gate.code == GateCode.QA:
        todo, then = f"QA accepted run {run.pk}, nothing to do", "The run is watched now."
    else:
        todo, then = f"run {run.pk} is signed off, nothing to do", "What is left of the crossing is removed."
    facts = (("Signed by", ", ".join(_signed(gate)) or "–"),)
    return Text(todo, f"{_named(gate)} of run {run.pk} is passed. {then}", facts, "Open the run", _run(run), "good")


def _gate_refused(run: MigrationRun, actor: str, detail: Detail) -> Text:
    gate = _gate(run, detail)
    todo = "mend the plan" if gate.code == GateCode.PLAN else "mend and resume, or roll back"
    return Text(
        f"{_named(gate)} of run {run.pk} is refused: {todo}",
        f"{actor} refused {_named(gate)} of run {run.pk}.",
        _reason(detail),
        "Open the run",
        _run(run),
        "alarm",
    )


def _held(run: MigrationRun, actor: str, detail: Detail) -> Text:
    step = run.steps.filter(state__in=sorted(STEP_HOLDS_RUN)).order_by("-position").first()
    facts: Facts = ()
    if step is not None:
        facts = (("Step", step.title), ("It is", step.get_state_display().lower()), ("Code", step.error_code or "–"))
    back = " The rollback goes on as soon as somebody resumes it." if detail.get("back") else ""
    why = "a step stopped" if step is not None else "somebody asked for it"
    return Text(
        f"run {run.pk} is held: look and decide",
        f"Run {run.pk} is held, because {why}. Nothing happens until a person decides.{back}",
        facts,
        "Look and decide",
        _run(run),
        "alarm",
    )


def _finished(run: MigrationRun, actor: str, detail: Detail) -> Text:
    if run.state == RunState.COMPLETED and run.kind == "production":
        return Text(
            f"run {run.pk} is completed, nothing to do",
            f"{run.application.name} runs on PostgreSQL; run {run.pk} is signed off. Its certificate is being made.",
            (),
            "Open the certificate",
            reverse("run_certificate", args=[run.pk]),
            "good",
        )
    state = run.get_state_display().lower()
    todo = f"run {run.pk} is {state}, nothing to do"
    return Text(todo, f"Run {run.pk} is {state}.", _reason(detail), "Open the run", _run(run))


def _rollback_requested(run: MigrationRun, actor: str, detail: Detail) -> Text:
    rows = detail.get("rows")
    price = str(detail.get("price", ""))
    facts: Facts = (
        ("Costs", f"{price} · {Price(price).label}" if price in Price.values else "–"),
        ("Rows that would leave", "not known" if rows is None else f"{rows:,}"),
    )
    return Text(
        f"agree or refuse: rollback of run {run.pk}",
        f"{actor} asks to roll back run {run.pk}. Nothing happens until a second person agrees.",
        (*facts, *_reason(detail)),
        "Agree or refuse",
        reverse("run_rollback", args=[run.pk]),
        "alarm",
    )


def _rollback_refused(run: MigrationRun, actor: str, detail: Detail) -> Text:
    todo = f"the rollback of run {run.pk} is refused: the run goes on"
    return Text(todo, f"{actor} refused to roll back run {run.pk}.", _reason(detail), "Open the run", _run(run), "care")


def _rollback_started(run: MigrationRun, actor: str, detail: Detail) -> Text:
    itself = " by itself, as its plan says, since nothing is lost by it" if detail.get("automatic") else ""
    sentence = f"Run {run.pk} is being rolled back{itself}: {run.application.name} goes back to SQLite."
    return Text(f"run {run.pk} is rolled back now: watch it", sentence, _reason(detail), "Watch it", _run(run), "care")


def _rollback_withheld(run: MigrationRun, actor: str, detail: Detail) -> Text:
    facts: Facts = (
        ("Step", str(detail.get("step", ""))),
        ("Code", str(detail.get("code") or "–")),
        *_reason(detail),
    )
    return Text(
        f"run {run.pk} did not go back by itself: look and decide",
        f"A check of run {run.pk} failed soon after the switch. Its plan says to go back by itself where nothing is "
        "lost, but that isn't so. The run is held until a person decides.",
        facts,
        "Look and decide",
        reverse("run_rollback", args=[run.pk]),
        "alarm",
    )


def _rolled_back(run: MigrationRun, actor: str, detail: Detail) -> Text:
    if run.kind == "rehearsal":
        sentence = f"The rehearsal, run {run.pk}, was taken down. Production was not touched."
        return Text(f"rehearsal {run.pk} is taken down, nothing to do", sentence, (), "Open the run", _run(run))
    rows = (run.facts.get("delta") or {}).get("rows")
    facts: Facts = (("Rows saved to a file", f"{rows:,}"),) if rows else ()
    if run.facts.get("changes_unknown"):
        facts = (("Not saved", "what was written to PostgreSQL since the switch: it is still there, and only there"),)
    return Text(
        f"run {run.pk} is rolled back: check the application",
        f"{run.application.name} runs on SQLite again; run {run.pk} is rolled back.",
        facts,
        "Open the certificate",
        reverse("run_certificate", args=[run.pk]),
        "care",
    )


def _break_glass(run: MigrationRun, actor: str, detail: Detail) -> Text:
    rows = detail.get("rows")
    facts: Facts = (("Rows that leave", "not known" if rows is None else f"{rows:,}"),)
    return Text(
        f"BREAK GLASS: look at run {run.pk}, countersign within a day",
        f"{actor} alone decided to roll back run {run.pk}, which two people should decide. "
        "Another team lead or ops must look at it and countersign.",
        (*facts, *_reason(detail)),
        "Look and countersign",
        reverse("run_rollback", args=[run.pk]),
        "alarm",
    )


def _countersign_overdue(run: MigrationRun, actor: str, detail: Detail) -> Text:
    return Text(
        f"OVERDUE: countersign the rollback of run {run.pk}",
        f"{detail.get('requested_by') or 'One person'} rolled back run {run.pk} alone; nobody has countersigned it.",
        _reason(detail),
        "Look and countersign",
        reverse("run_rollback", args=[run.pk]),
        "alarm",
    )


def _replication_broken(run: MigrationRun, actor: str, detail: Detail) -> Text:
    name = run.application.name
    facts: Facts = (("Code", str(detail.get("code") or "–")),)
    if detail.get("closed"):
        sentence = (
            f"Rows of {name} can no longer flow back from PostgreSQL to SQLite. Going back may lose what is written "
            "from now on."
        )
        return Text(f"the way back of {name} has ended: look and decide", sentence, facts, "Look", _run(run), "alarm")
    side = "SQLite no longer follows PostgreSQL" if detail.get("back") else "PostgreSQL no longer follows SQLite"
    sentence = f"{side} for {name}. The application itself is not touched; a run that relies on it is held."
    return Text(f"the live crossing of {name} is broken: look and decide", sentence, facts, "Look", _run(run), "alarm")


def _countersigned(run: MigrationRun, actor: str, detail: Detail) -> Text:
    sentence = f"{actor} countersigned the rollback of run {run.pk}."
    return Text(f"rollback of run {run.pk} is countersigned, nothing to do", sentence, (), "Open the run", _run(run))


KINDS: dict[str, Kind] = {
    "gate_opened": Kind(MailTopic.SIGNATURE, _gate_opened),
    "signature_ended": Kind(MailTopic.SIGNATURE, _signature_ended),
    "gate_passed": Kind(MailTopic.GATE, _gate_passed),
    "gate_refused": Kind(MailTopic.GATE, _gate_refused),
    "run_held": Kind(MailTopic.HELD, _held),
    "run_finished": Kind(MailTopic.FINISHED, _finished),
    "rollback_requested": Kind(MailTopic.SIGNATURE, _rollback_requested),
    "rollback_refused": Kind(MailTopic.ROLLBACK, _rollback_refused),
    "rollback_started": Kind(MailTopic.ROLLBACK, _rollback_started),
    "rollback_held": Kind(MailTopic.ROLLBACK, _held),
    "rollback_withheld": Kind(MailTopic.HELD, _rollback_withheld),
    "rolled_back": Kind(MailTopic.ROLLBACK, _rolled_back),
    "replication_broken": Kind(MailTopic.HELD, _replication_broken),
    "break_glass": Kind(MailTopic.BREAK_GLASS, _break_glass),
    "countersign_overdue": Kind(MailTopic.BREAK_GLASS, _countersign_overdue),
    "countersigned": Kind(MailTopic.BREAK_GLASS, _countersigned),
}


def _gate(run: MigrationRun, detail: Detail) -> Gate:
    return run.gates.get(code=detail["gate"])


def _named(gate: Gate) -> str:
    """Gate 2 (Go or no-go): in plain characters, which no mail program spells otherwise."""
    number, _, title = gate.get_code_display().partition(" · ")
    return f"{number} ({title})" if title else number


def _signed(gate: Gate) -> list[str]:
    rows = gate.approvals.filter(state__in=["valid", "consumed"])
    return [f"{row.user_name} as {row.get_role_display()}" for row in rows]


def _role(detail: Detail) -> str:
    role = str(detail.get("role", ""))
    return Role(role).label if role in Role.values else "signer"


def _reason(detail: Detail) -> Facts:
    """A person's own words, or the product's about a signature; not what a step answered."""
    reason = " ".join(str(detail.get("reason") or "").split())
    return (("Reason", reason if len(reason) <= REASON_LIMIT else reason[: REASON_LIMIT - 1] + "…"),) if reason else ()


def _sign_page(run: MigrationRun, gate: Gate) -> str:
    return reverse("run_sign", args=[run.pk, gate.code])


def _run(run: MigrationRun) -> str:
    return reverse("run", args=[run.pk])
