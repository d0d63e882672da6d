"""The certificate: what it says, that it is issued once, and that the same rows give the same bytes."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from controlplane.audit.models import AuditCheckpoint, AuditEvent
from migrations_app.models import Approval, Certificate, Gate, MigrationRun, SignOff
from migrations_app.models.states import ApprovalState, ItemState, RunState
from migrations_app.services.certificate import issue
from migrations_app.services.certificate.fonts import font_for, printable
from migrations_app.services.certificate.issue import issue_due, render
from tests import factories as make
from tests.migrations_app.services.conftest import Stage


def fresh(run: MigrationRun) -> MigrationRun:
    return MigrationRun.objects.get(pk=run.pk)


def test_the_same_rows_give_the_same_bytes(over: MigrationRun) -> None:
    assert render(fresh(over)) == render(fresh(over))


def test_one_changed_row_gives_others(over: MigrationRun) -> None:
    before = render(fresh(over))
    over.items.filter(prover="qa").update(state=ItemState.NOT_APPLICABLE)
    after = render(fresh(over))
    assert before.content != after.content and before.html != after.html and before.pdf != after.pdf


def test_it_names_people_counts_downtime_and_what_was_not_compared(over: MigrationRun) -> None:
    html = render(over).html.decode()
    for said in ("有給休暇管理 runs on PostgreSQL", "山田太郎", "佐藤花子", "鈴木一郎", "2,135,033", "17,080,264"):
        assert said in html
    for title in ("Downtime", "What was not compared", "Signatures", "Waivers", "Timeline", "Checklist", "Steps"):
        assert f"<h2>{title}</h2>" in html
    assert "全社員の一覧を確認しました。 &lt;script&gt;" in html and "<script" not in html


def test_lapses_waivers_and_small_team_mode_are_printed(stage: Stage, over: MigrationRun) -> None:
    stage.small_team()
    gate = Gate.objects.get(run=over, code="go")
    now = timezone.now()
    row = gate.approvals.exclude(role="lead").first()
    assert row is not None
    Approval.objects.filter(pk=row.pk).update(
        state=ApprovalState.LAPSED, ended_at=now, ended_reason="The evidence changed after it was signed."
    )
    item = over.items.filter(level="recommended").first()
    assert item is not None
    evidence = {"by": "山田太郎", "reason": "次のリリースで対応する。"}
    type(item).objects.filter(pk=item.pk).update(state=ItemState.WAIVED, evidence=evidence)
    html = render(fresh(over)).html.decode()
    assert "Small-team mode" in html
    assert "The evidence changed after it was signed." in html and "lapsed" in html
    assert "次のリリースで対応する。" in html


def test_the_pdf_embeds_its_font_and_has_no_time_of_its_own(over: MigrationRun) -> None:
    pdf = render(over).pdf
    assert pdf.startswith(b"%PDF-") and b"NotoSansJP" in pdf and b"/FontFile2" in pdf
    assert str(timezone.now().year).encode() not in re.findall(rb"/CreationDate \(D:(\d{4})", pdf)
    assert len(pdf) < 200_000


def test_the_font_has_the_shapes_and_spells_out_what_it_lacks() -> None:
    assert font_for("山田 abc") == font_for("山田 abc")
    assert font_for("山田 abc").startswith(b"\x00\x01\x00\x00")
    assert printable("山田太郎 ok 😀") == "山田太郎 ok <U+1F600>"


def test_it_is_issued_once_signed_in_the_trail_and_ends_the_run(over: MigrationRun) -> None:
    assert issue_due(now=timezone.now()) == 1
    assert issue_due(now=timezone.now()) == 0
    made = Certificate.objects.get()
    event = AuditEvent.objects.get(action="certificate.issued")
    assert event.payload["pdf"] == hashlib.sha256(bytes(made.pdf)).hexdigest()
    assert event.payload["content"] == hashlib.sha256(made.content.encode()).hexdigest()
    assert AuditCheckpoint.objects.filter(sequence=event.sequence).exists()
    kept = SignOff.objects.get(run=over).backup_kept_until
    assert over.finished_at is not None and kept == over.finished_at.date() + timedelta(days=90)


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.HELD, RunState.CANCELLED, RunState.FAILED])
def test_no_other_run_gets_one(over: MigrationRun, state: str) -> None:
    MigrationRun.objects.filter(pk=over.pk).update(state=state)
    assert issue_due(now=timezone.now()) == 0


def test_a_rollback_gets_one_and_another_when_it_is_countersigned(stage: Stage, over: MigrationRun) -> None:
    MigrationRun.objects.filter(pk=over.pk).update(state=RunState.ROLLED_BACK, facts={"delta": {"rows": 214}})
    now = timezone.now()
    over.rollback_requests.create(
        requested_by="佐藤花子",
        requester=stage.who.ops,
        requester_role="ops",
        reason="数字が合わない。",
        price="R3",
        rows_confirmed=214,
        state="done",
        created_at=now,
        break_glass=True,
        countersign_by=now + timedelta(days=1),
    )
    assert issue_due(now=now) == 1
    said = bytes(Certificate.objects.get().html).decode()
    assert "was taken back to SQLite" in said and "214 rows left the application" in said
    assert "broke the glass; not countersigned" in said
    over.rollback_requests.update(countersigned_by=stage.who.lead, countersigned_at=now + timedelta(minutes=5))
    assert issue_due(now=now + timedelta(minutes=6)) == 1
    newest = Certificate.objects.order_by("-revision").first()
    assert newest is not None and newest.revision == 2
    assert "countersigned by 山田太郎" in bytes(newest.html).decode()


def test_one_that_cannot_be_made_does_not_stand_in_the_way_of_others(
    stage: Stage, over: MigrationRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make.complete(make.run(stage.plan, stage.who.ops))
    real = issue.render

    def render_one(run: MigrationRun) -> issue.Rendered:
        if run.pk == over.pk:
            raise ValueError("no font")
        return real(run)

    monkeypatch.setattr(issue, "render", render_one)
    assert issue_due(now=timezone.now()) == 1
    assert Certificate.objects.get().run_id == other.pk


def test_no_secret_stands_in_it(over: MigrationRun) -> None:
    made = render(over)
    assert b"secret-word" not in made.content + made.html
    assert json.loads(made.content)["format"] == "causeway certificate 1"
