"""One person rolls back alone what two should decide: it works, everyone hears of it, and it is countersigned."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.registry.models import Membership
from migrations_app.models import MigrationRun, RollbackRequest
from migrations_app.models.states import RunState
from migrations_app.services.break_glass import break_glass, countersign, remind_of_countersignatures, uncountersigned
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from migrations_app.services.rollback import request_rollback
from tests.migrations_app.services.conftest import Stage


@pytest.fixture
def run(stage: Stage) -> MigrationRun:
    """After the switch; PostgreSQL can't be asked, so a rollback costs an unknown number of rows."""
    return MigrationRun.objects.get(pk=stage.at("qa").run_id)


def broken(stage: Stage, run: MigrationRun, name: str = "ops", **more: Any) -> RollbackRequest:
    asked = {
        "actor": stage.person(name),
        "run": MigrationRun.objects.get(pk=run.pk),
        "reason": "Nobody answers, and the list is empty.",
        "typed_name": "yukyu",
        "understood": True,
        "reauthenticated": True,
    }
    return break_glass(**{**asked, **more})


def events(action: str) -> list[str]:
    return list(AuditEvent.objects.filter(action=action).values_list("actor", flat=True))


def test_one_person_rolls_back_at_once_and_it_waits_for_a_countersignature(stage: Stage, run: MigrationRun) -> None:
    request = broken(stage, run)
    run.refresh_from_db()
    assert run.state == RunState.ROLLING_BACK
    assert (request.state, request.price, request.break_glass) == ("agreed", "R3", True)
    assert request.countersign_by is not None
    assert abs(request.countersign_by - request.created_at - timedelta(hours=24)) < timedelta(seconds=1)
    assert list(uncountersigned()) == [request]
    assert events("rollback.glass_broken") == ["ana"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"understood": False}, "NOT_UNDERSTOOD"),
        ({"reauthenticated": False}, "PASSWORD_NEEDED"),
        ({"typed_name": "yuky"}, "NAME_NOT_TYPED"),
        ({"reason": " "}, "REASON_MISSING"),
        ({"name": "qa"}, "NOT_ALLOWED"),
        ({"name": "viewer"}, "NOT_ALLOWED"),
        ({"name": "stranger"}, "NOT_ALLOWED"),
        ({"name": "boss"}, "SUPERUSER_DECIDES_NOTHING"),
    ],
)
def test_glass_is_not_broken_without_every_proof(
    stage: Stage, run: MigrationRun, more: dict[str, Any], code: str
) -> None:
    with pytest.raises(ServiceRefused) as refused:
        broken(stage, run, **more)
    assert refused.value.code == code
    run.refresh_from_db()
    assert run.state == RunState.WAITING and not RollbackRequest.objects.exists()


def test_where_one_person_may_decide_no_glass_is_broken(stage: Stage) -> None:
    gate = stage.at("go")
    request = broken(stage, gate.run)
    assert (request.price, request.break_glass, request.countersign_by) == ("R0", False, None)
    assert events("rollback.glass_broken") == []


def test_request_that_waited_for_a_second_person_is_replaced(stage: Stage, run: MigrationRun) -> None:
    first = request_rollback(
        actor=stage.who.ops, run=run, reason="it is wrong", typed_name="yukyu", reauthenticated=True
    )
    assert first.state == "waiting"
    broken(stage, run)
    first.refresh_from_db()
    assert first.state == "refused"
    assert uncountersigned().count() == 1


def test_second_person_of_the_other_role_countersigns_once(stage: Stage, run: MigrationRun) -> None:
    request = broken(stage, run)
    Membership.objects.create(
        application=stage.application, user=stage.person("viewer"), role="ops"
    )  # a second pair of hands in the same role
    for name, code in (
        ("ops", "SAME_PERSON"),
        ("viewer", "SAME_ROLE"),
        ("qa", "NOT_ALLOWED"),
        ("boss", "SUPERUSER_DECIDES_NOTHING"),
    ):
        with pytest.raises(Forbidden) as refused:
            countersign(actor=stage.person(name), request=request, note="looked at it", reauthenticated=True)
        assert refused.value.code == code
    for more, code in (({"note": " "}, "REASON_MISSING"), ({"reauthenticated": False}, "PASSWORD_NEEDED")):
        with pytest.raises(ServiceRefused) as said:
            countersign(
                **{"actor": stage.who.lead, "request": request, "note": "looked", "reauthenticated": True, **more}
            )
        assert said.value.code == code
    countersign(actor=stage.who.lead, request=request, note="The delta is complete.", reauthenticated=True)
    request.refresh_from_db()
    assert (request.countersigned_by, request.countersign_note) == (stage.who.lead, "The delta is complete.")
    assert not uncountersigned().exists()
    assert events("rollback.countersigned") == ["ben"]
    with pytest.raises(Stale):
        countersign(actor=stage.who.second_lead, request=request, note="me too", reauthenticated=True)


def test_it_can_be_countersigned_after_the_run_has_ended(
    stage: Stage, run: MigrationRun, change: Callable[..., None]
) -> None:
    request = broken(stage, run)
    change(run, state=RunState.ROLLED_BACK)
    change(request, state="done")
    countersign(actor=stage.who.lead, request=request, note="Right so.", reauthenticated=True)
    assert not uncountersigned().exists()


def test_everyone_is_told_once_when_it_is_overdue(
    stage: Stage, run: MigrationRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        "migrations_app.services.break_glass.announce", lambda kind, run, actor, detail: told.append(kind)
    )
    broken(stage, run)
    now = timezone.now()
    assert remind_of_countersignatures(now=now + timedelta(hours=23)) == 0
    assert remind_of_countersignatures(now=now + timedelta(hours=25)) == 1
    assert remind_of_countersignatures(now=now + timedelta(hours=26)) == 0
    assert told == ["countersign_overdue"]
    assert events("rollback.countersign_overdue") == ["system"]


def test_everyone_is_told_when_the_glass_breaks(
    stage: Stage, run: MigrationRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "migrations_app.services.rollback.announce",
        lambda kind, run, actor, detail=None: told.append((kind, str(actor))),
    )
    broken(stage, run)
    assert ("break_glass", "ana") in told


@pytest.mark.parametrize(
    "fields",
    [
        {"break_glass": False},  # a loss that nobody agreed to
        {"break_glass": True, "countersign_by": None},
        {"countersigned_by": "ops"},  # the one who asked
    ],
)
def test_database_refuses_a_loss_decided_by_one_person_unseen(
    stage: Stage, run: MigrationRun, fields: dict[str, Any]
) -> None:
    request = broken(stage, run)
    if "countersigned_by" in fields:
        fields = {"countersigned_by": stage.person("ops")}
    with pytest.raises(IntegrityError), transaction.atomic():
        RollbackRequest.objects.filter(pk=request.pk).update(**fields)
