"""A run that was signed off, or rolled back, with all that a certificate speaks of; its certificate and its bundle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from controlplane.audit import signing, standalone
from controlplane.audit.trail import record
from migrations_app.models import Approval, Certificate, MigrationRun, ResultFile, TestResult
from migrations_app.models.states import ItemState, RunState
from migrations_app.services.certificate.bundle import make_bundle
from migrations_app.services.certificate.issue import issue_certificate
from migrations_app.services.checklist_files import path_of
from tests import factories as make
from tests.migrations_app.services.conftest import Stage

SCREENSHOT = b"\x89PNG\r\n\x1a\n and what was seen"
NAMES = {"lead": "山田太郎", "ops": "佐藤花子", "qa": "鈴木一郎"}


@pytest.fixture
def over(stage: Stage, settings: Any, tmp_path: Path) -> MigrationRun:
    """Signed off by three people with Japanese names; QA attached a file, a signature had lapsed before."""
    settings.CAUSEWAY_ARTIFACTS_DIR = tmp_path / "artifacts"
    settings.CAUSEWAY_AUDIT_KEY_FILE = str(tmp_path / "keys" / "audit.pem")
    for role, name in NAMES.items():
        person = stage.person(role)
        User.objects.filter(pk=person.pk).update(username=name)
        person.refresh_from_db()
    stage.application.title = "有給休暇管理"
    stage.application.save()
    make.rehearsed(stage.plan, stage.who.ops)
    run = make.run(stage.plan, stage.who.ops)
    signers = {role: stage.person(role) for role in NAMES}
    last = run.steps.order_by("-position").first()
    assert last is not None
    make.reach(run, last.name, state="succeeded", run_state=RunState.COMPLETED, minutes=140, signers=signers)
    make.verified(run)
    _attach(run, stage.who.qa)
    run.items.exclude(prover="system").update(state=ItemState.PASSED)
    MigrationRun.objects.filter(pk=run.pk).update(finished_at=timezone.now())
    witness(run)
    return MigrationRun.objects.get(pk=run.pk)


def _attach(run: MigrationRun, person: User) -> None:
    item = run.items.filter(prover="qa").first()
    assert item is not None
    note = "全社員の一覧を確認しました。 <script>alert(1)</script>"
    result = TestResult.objects.create(
        item=item, recorded_by=person, outcome=ItemState.PASSED, note=note, recorded_at=timezone.now()
    )
    digest = standalone.hashlib.sha256(SCREENSHOT).hexdigest()
    ResultFile.objects.create(
        result=result, name="一覧.png", content_type="image/png", size=len(SCREENSHOT), sha256=digest
    )
    path = path_of(run, digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(SCREENSHOT)


def witness(run: MigrationRun) -> None:
    """The events of signatures that the factories wrote as rows only."""
    for row in Approval.objects.filter(gate__run=run).select_related("gate", "user"):
        with transaction.atomic():
            record(
                action="gate.signed",
                actor=row.user,
                role=row.role,
                obj=row.gate,
                application=run.application.name,
                payload={
                    "run": run.pk,
                    "gate": row.gate.code,
                    "plan": row.plan_digest,
                    "evidence": row.evidence_digest,
                },
                checkpoint=True,
            )


@pytest.fixture
def certificate(over: MigrationRun) -> Certificate:
    made = issue_certificate(run_id=over.pk, now=timezone.now())
    assert made is not None
    return made


@pytest.fixture
def bundle(over: MigrationRun, certificate: Certificate, stage: Stage, tmp_path: Path) -> Path:
    """The bundle as it was downloaded."""
    return save_bundle(stage.who.ops, over, tmp_path / "evidence.zip")


def save_bundle(actor: Any, run: MigrationRun, path: Path) -> Path:
    made = make_bundle(actor=actor, run=run)
    try:
        with path.open("wb") as file:
            for chunk in made:
                file.write(chunk)
    finally:
        made.close()
    return path


@pytest.fixture
def public_key(over: MigrationRun, tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    path.write_text(signing.public_pem())
    return path


Verify = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def verify(public_key: Path) -> Verify:
    """As an auditor: another process without our packages, our settings or our database."""

    def run(bundle: Path, *more: str, key: Path = public_key) -> subprocess.CompletedProcess[str]:
        return audit(bundle, key, *more)

    return run


def audit(bundle: Path, key: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`python -I -S verify.py BUNDLE --public-key KEY`, in an empty environment, in an empty folder."""
    verifier = Path(standalone.__file__)
    return subprocess.run(
        [sys.executable, "-I", "-S", str(verifier), str(bundle), "--public-key", str(key), *more],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONIOENCODING": "utf-8", "PATH": "/usr/bin:/bin"},
        cwd=bundle.parent,
        check=False,
    )
