"""A real worker of the host answers what a page asks, and tells what its operator's file names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.embedded import EmbeddedBroker
from controlplane.registry.models import Application, Host, Look, LookState
from migrations_app.services import looks, registration
from tests import factories as make
from tests.hosts import Machine, make_machine
from tests.migrations_app.runs.workers import Workers, wait_for, workers_on


@pytest.fixture
def machine(tmp_path: Path, settings: Any, transactional_db: None) -> Machine:
    settings.CAUSEWAY_ARTIFACTS_DIR = tmp_path / "artifacts"
    return make_machine(tmp_path, settings)


@pytest.fixture
def workers(machine: Machine, servers_dir: Path, tmp_path: Path) -> Iterator[Workers]:
    with EmbeddedBroker(servers_dir / "broker") as broker, workers_on(tmp_path, broker.url) as started:
        yield started


def test_a_question_that_was_asked_before_the_worker_came_up_is_answered(machine: Machine, workers: Workers) -> None:
    ana = make.user("ana")
    make.member(make.application("other", host="elsewhere"), ana, "ops")
    draft = registration.register_application(actor=ana, name="yukyu", title="", host=machine.name)
    look = looks.ask_look(
        actor=ana,
        application=draft,
        kind="source",
        values={"source_path": str(machine.file), "busy_timeout_ms": 5000},
        address=None,
        version=draft.version,
    )
    assert looks.await_answer(look, 0.2).state == LookState.ASKED
    workers.start(machine.name)
    wait_for("the look's answer", lambda: Look.objects.get(pk=look.pk).state == LookState.ANSWERED, 60)
    wait_for("the host's own words", lambda: Host.objects.get(name=machine.name).is_known, 60)
    assert Host.objects.get(name=machine.name).roots == [str(machine.root)]
    looks.save_look(actor=ana, look=Look.objects.select_related("application").get(pk=look.pk))
    assert Application.objects.get(name="yukyu").seen["source"]["facts"]["journal_mode"] == "wal"
