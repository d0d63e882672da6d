"""What needs this person now: one line a run, the oldest first. Asked on every page, so never run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Max, Sum
from django.utils import timezone

from controlplane.registry.models import Membership, Role
from migrations_app.models import Approval, ChecklistItem, Gate, MigrationRun, RollbackRequest
from migrations_app.models.states import RUN_FINISHED, GateState, ItemState, RunState
from migrations_app.services.break_glass import uncountersigned
from migrations_app.services.checklist import FINE, phases_before
from migrations_app.services.gate_rules import COUNTED, required_roles
from migrations_app.services.gate_view import can_sign

# A verdict on a gate is kept for this long where its run has not changed: windows open and signatures expire by the
# clock alone.
VERDICT_SECONDS = 120
COUNT_SECONDS = 20
_LEFT = (ItemState.OPEN, ItemState.STALE, ItemState.INCONCLUSIVE)
# What the list doesn't read and may be large: a plan's document has every column of every table.
HEAVY = ("plan__document", "plan__profile", "plan__choices", "reality", "facts")


@dataclass(frozen=True)
class Need:
    """A run that waits for this person, and the one thing to do about it."""

    run: MigrationRun
    why: str
    action_label: str
    url_name: str
    gate_code: str = ""


def needs_me(user: Any) -> list[Need]:
    """The runs that wait for something this user can supply. Seven queries, and a look at each gate that has
    changed, asks for one of the user's roles, and against which no item of the checklist stands."""
    roles = _roles(user)
    if not roles:
        return []
    alone = _to_countersign(user, roles)
    rows = MigrationRun.objects.filter(application__in=roles).exclude(state__in=sorted(RUN_FINISHED))
    runs = list(rows.select_related("application", "plan").defer(*HEAVY).order_by("created_at"))
    if not runs:
        return alone
    facts = _Facts.of(user, roles, runs)
    found = (_need(run, user, roles[run.application_id], facts) for run in runs)
    return [*alone, *(need for need in found if need is not None)]


def count_needs(user: Any) -> int:
    """How many runs need the user. Asked anew only when one of the unfinished runs has changed, or after a while."""
    runs = MigrationRun.objects.exclude(state__in=sorted(RUN_FINISHED)).visible_to(user)
    stamp = runs.aggregate(count=Count("pk", distinct=True), versions=Sum("version"), newest=Max("pk"))
    key = f"needs-{user.pk}-{stamp['count']}-{stamp['versions']}-{stamp['newest']}"
    count = cache.get(key)
    if count is None:
        count = len(needs_me(user))  # also where no run is unfinished: one may wait for a countersignature
        cache.set(key, count, COUNT_SECONDS)
    return int(count)


def _to_countersign(user: Any, roles: Mapping[int, frozenset[str]]) -> list[Need]:
    """Rollbacks that one person decided: first of all, and also of runs that are over."""
    rows = uncountersigned().filter(run__application__in=roles).select_related("run__application")
    return [
        Need(
            request.run,
            f"{request.requested_by} decided a rollback alone: {request.reason}",
            "Look and countersign",
            "run_rollback",
        )
        for request in rows
        if request.requester_id != user.pk
        and roles[request.run.application_id] & {Role.OPS, Role.LEAD} - {request.requester_role}
    ]


@dataclass(frozen=True)
class _Facts:
    """What was asked for all runs at once, by the run's number."""

    requests: dict[int, RollbackRequest]
    gates: dict[int, Gate]
    left: dict[int, dict[str, int]]  # mandatory items to record, by prover
    verdicts: dict[int, str | None]  # the sentence of a gate that the user can sign, None of another

    @classmethod
    def of(cls, user: Any, roles: Mapping[int, frozenset[str]], runs: Sequence[MigrationRun]) -> _Facts:
        waiting = RollbackRequest.objects.filter(run__in=runs, state=RollbackRequest.State.WAITING)
        gates = _open_gates(runs)
        against = _against(gates)
        return cls(
            requests={request.run_id: request for request in waiting},
            gates=gates,
            left=_left(against),
            verdicts=_verdicts(user, roles, [gate for run, gate in gates.items() if run not in against]),
        )


def _roles(user: Any) -> dict[int, frozenset[str]]:
    """By application. A superuser has none: superusers sign nothing."""
    if not user.is_authenticated or user.is_superuser:
        return {}
    held: dict[int, set[str]] = {}
    for application, role in Membership.objects.filter(user=user).values_list("application", "role"):
        held.setdefault(application, set()).add(role)
    return {application: frozenset(roles) for application, roles in held.items()}


def _open_gates(runs: Sequence[MigrationRun]) -> dict[int, Gate]:
    by_number = {run.pk: run for run in runs if run.state in (RunState.WAITING, RunState.AWAITING_APPROVAL)}
    found = {}
    for gate in Gate.objects.filter(run__in=by_number, state=GateState.OPEN).select_related("step"):
        gate.run = by_number[gate.run_id]
        found[gate.run_id] = gate
    return found


def _against(gates: Mapping[int, Gate]) -> dict[int, list[tuple[str, str, int]]]:
    """By run, the mandatory items that stand against its open gate: prover, state, how many. Those of later phases
    don't; nor is a run here against whose gate none stands."""
    items = ChecklistItem.objects.filter(run__in=gates, level="mandatory").exclude(state__in=sorted(FINE))
    found: dict[int, list[tuple[str, str, int]]] = {}
    rows = items.values_list("run", "prover", "state", "phase").annotate(Count("pk")).order_by()
    for run, prover, state, phase, count in rows:
        if phase in phases_before(gates[run].code):
            found.setdefault(run, []).append((prover, state, count))
    return found


def _left(against: Mapping[int, Sequence[tuple[str, str, int]]]) -> dict[int, dict[str, int]]:
    """How many are still to be recorded, by prover; what failed waits for something else than a record."""
    left: dict[int, dict[str, int]] = {}
    for run, items in against.items():
        for prover, state, count in items:
            if state in _LEFT:
                of_run = left.setdefault(run, {})
                of_run[prover] = of_run.get(prover, 0) + count
    return left


def _verdicts(user: Any, roles: Mapping[int, frozenset[str]], gates: Sequence[Gate]) -> dict[int, str | None]:
    """Whether the user can sign is decided by the gates' own rules; the answer is kept while the run stays as it is.

    A gate that asks for no role of the user's, or has that signature, is not looked at.
    """
    signed = _signed(gates)
    mine = [
        gate
        for gate in gates
        if (roles[gate.run.application_id] & set(required_roles(gate))) - {role for role, _ in signed.get(gate.pk, [])}
    ]
    keys = {f"signable-{gate.pk}-{gate.run.version}-{user.pk}": gate for gate in mine}
    known: dict[str, str | None] = cache.get_many(list(keys))
    fresh = {key: _verdict(gate, user, signed.get(gate.pk, [])) for key, gate in keys.items() if key not in known}
    cache.set_many(fresh, VERDICT_SECONDS)
    return {keys[key].run_id: sentence for key, sentence in {**known, **fresh}.items()}


def _signed(gates: Sequence[Gate]) -> dict[int, list[tuple[str, str]]]:
    """By gate, who signed in which role."""
    rows = Approval.objects.filter(gate__in=gates, state__in=COUNTED).order_by("signed_at")
    found: dict[int, list[tuple[str, str]]] = {}
    for gate, role, name in rows.values_list("gate", "role", "user_name"):
        found.setdefault(gate, []).append((role, name))
    return found


def _verdict(gate: Gate, user: Any, signatures: Sequence[tuple[str, str]]) -> str | None:
    if not can_sign(gate, user, timezone.now()):
        return None
    signed = ", ".join(f"{name} as {Role(role).label}" for role, name in signatures)
    return f"{gate.get_code_display()}. {f'Signed by {signed}. ' if signed else ''}Your signature is missing."


def _need(run: MigrationRun, user: Any, roles: frozenset[str], facts: _Facts) -> Need | None:
    request = facts.requests.get(run.pk)
    if request and request.requester_id != user.pk and roles & {Role.OPS, Role.LEAD} - {request.requester_role}:
        rows = "an unknown number of" if request.rows_confirmed is None else f"{request.rows_confirmed:,}"
        why = f"{request.requested_by} asks to roll back and give up {rows} rows: {request.reason}"
        return Need(run, why, "Agree or refuse", "run_rollback")
    if run.state == RunState.HELD and roles & {Role.OPS, Role.LEAD}:
        return Need(run, run.held_reason or "Held: a person must decide.", "Look and decide", "run")
    if run.state == RunState.APPROVED and Role.OPS in roles:
        return Need(run, "Approved. It can be started.", "Start the run", "run")
    gate = facts.gates.get(run.pk)
    return _at_gate(run, gate, roles, facts) if gate else None


def _at_gate(run: MigrationRun, gate: Gate, roles: frozenset[str], facts: _Facts) -> Need | None:
    sentence = facts.verdicts.get(run.pk)
    if sentence:
        return Need(run, sentence, "Review and sign", "run_sign", gate.code)
    left = facts.left.get(run.pk, {})
    count = sum(left.get(prover, 0) for prover in _provers(roles))
    if not count:
        return None
    checks = "One check is" if count == 1 else f"{count} checks are"
    why = f"{checks} yours to record before {gate.get_code_display()}."
    return Need(run, why, "Open the checklist", "run_checklist")


def _provers(roles: frozenset[str]) -> list[str]:
    provers = ["qa"] if Role.QA in roles else []
    return provers + (["ops"] if roles & {Role.OPS, Role.LEAD} else [])
